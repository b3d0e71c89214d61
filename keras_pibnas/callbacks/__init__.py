"""Callbacks for `fit`: thin shells around functions that can be called without training."""

from .checkpoint import Checkpoint
from .drop_path import DropPathSchedule, set_drop_path
from .files import atomic_write, read_lines, read_table, save_model, write_arrays, write_json, written_aside
from .progress import TimeLeft, duration, seconds_left
from .record import HistoryRecorder, SearchRecorder, record_alphas, record_genotype, record_history
from .snapshots import DamagedCheckpoint, newest_snapshot, read_snapshot, snapshots, write_snapshot
from .state import read_state, set_state
from .trouble import FiniteLoss, Interrupted, NotFinite, halving

__all__ = [
    "Checkpoint",
    "DamagedCheckpoint",
    "DropPathSchedule",
    "FiniteLoss",
    "HistoryRecorder",
    "Interrupted",
    "NotFinite",
    "SearchRecorder",
    "TimeLeft",
    "atomic_write",
    "duration",
    "halving",
    "newest_snapshot",
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
    "snapshots",
    "write_arrays",
    "write_json",
    "write_snapshot",
    "written_aside",
]
