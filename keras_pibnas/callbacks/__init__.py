"""Callbacks for `fit`: thin shells around functions, in `keras_pibnas.runs`, that can be called without training."""

import warnings

from keras_pibnas import network, runs

from .board import Board
from .checkpoint import Checkpoint
from .collapse import SkipLimit, StableRanking
from .curvature import Eigenvalues, EigenvalueStop
from .drop_path import DropPathSchedule
from .finite import FiniteLoss
from .progress import Progress, TimeLeft
from .record import HistoryRecorder, SearchRecorder

__all__ = [
    "Board",
    "Checkpoint",
    "DropPathSchedule",
    "EigenvalueStop",
    "Eigenvalues",
    "FiniteLoss",
    "HistoryRecorder",
    "Progress",
    "SearchRecorder",
    "SkipLimit",
    "StableRanking",
    "TimeLeft",
]

# Old name here -> the part that has it now; to be removed after one version.
_MOVED = {
    **dict.fromkeys(
        (
            "CheckpointError", "DamagedCheckpoint", "Interrupted", "NotFinite", "alpha_ranking", "atomic_write",
            "duration", "halving", "is_chief", "mark", "mix_entropy", "newest_snapshot", "no_space", "read_lines",
            "read_snapshot", "read_state", "read_table", "record_alphas", "record_genotype", "record_history",
            "save_model", "seconds_left", "set_state", "skip_connections", "snapshots", "write_arrays", "write_json",
            "write_snapshot", "written_aside",
        ),
        runs,
    ),
    "set_drop_path": network,
}  # fmt: skip


def __getattr__(name):
    if name not in _MOVED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    part = _MOVED[name]
    warnings.warn(f"{__name__}.{name} is now {part.__name__}.{name}", DeprecationWarning, stacklevel=2)
    return getattr(part, name)
