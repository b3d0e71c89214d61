"""Callbacks for `fit`: thin shells around functions that can be called without training."""

from .drop_path import DropPathSchedule, set_drop_path
from .files import atomic_write, read_lines, read_table, save_model, write_arrays, write_json, written_aside
from .progress import TimeLeft, duration, seconds_left
from .record import HistoryRecorder, SearchRecorder, record_alphas, record_genotype, record_history

__all__ = [
    "DropPathSchedule",
    "HistoryRecorder",
    "SearchRecorder",
    "TimeLeft",
    "atomic_write",
    "duration",
    "read_lines",
    "read_table",
    "record_alphas",
    "record_genotype",
    "record_history",
    "save_model",
    "seconds_left",
    "set_drop_path",
    "write_arrays",
    "write_json",
    "written_aside",
]
