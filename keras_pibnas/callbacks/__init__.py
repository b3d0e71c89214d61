"""Callbacks for `fit`: thin shells around functions that can be called without training."""

from .board import Board, mix_entropy
from .checkpoint import Checkpoint
from .collapse import SkipLimit, StableRanking, alpha_ranking, skip_connections
from .drop_path import DropPathSchedule, set_drop_path
from .files import atomic_write, is_chief, read_lines, read_table, save_model, write_arrays, write_json, written_aside
from .progress import Progress, TimeLeft, duration, mark, seconds_left
from .record import HistoryRecorder, SearchRecorder, record_alphas, record_genotype, record_history
from .snapshot import DamagedCheckpoint, newest_snapshot, no_space, read_snapshot, snapshots, write_snapshot
from .state import CheckpointError, read_state, set_state
from .trouble import FiniteLoss, Interrupted, NotFinite, halving

__all__ = [
    "Board",
    "Checkpoint",
    "CheckpointError",
    "DamagedCheckpoint",
    "DropPathSchedule",
    "FiniteLoss",
    "HistoryRecorder",
    "Interrupted",
    "NotFinite",
    "Progress",
    "SearchRecorder",
    "SkipLimit",
    "StableRanking",
    "TimeLeft",
    "alpha_ranking",
    "atomic_write",
    "duration",
    "halving",
    "is_chief",
    "mark",
    "mix_entropy",
    "newest_snapshot",
    "no_space",
    "read_lines",
    "read_snapshot",
    "read_state",
    "read_table",
    "record_alphas",
    "record_genotype",
    "record_history",
    "save_model",
    "seconds_left",
    "set_drop_path",
    "set_state",
    "skip_connections",
    "snapshots",
    "write_arrays",
    "write_json",
    "write_snapshot",
    "written_aside",
]
