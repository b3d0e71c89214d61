"""Run directories: writing and reading the files of a run.

`keras_pibnas.runs.trials` and `keras_pibnas.runs.processes` run trainings side by side.
"""

from .alphas import alpha_ranking, mix_entropy, skip_connections
from .curvature import sharpened_since
from .directory import create_run_directory, free_path, read_config
from .files import atomic_write, is_chief, read_lines, read_table, save_model, write_arrays, write_json, written_aside
from .progress import duration, mark, one_line, seconds_left, words
from .record import record_alphas, record_genotype, record_history
from .snapshot import DamagedCheckpoint, newest_snapshot, no_space, read_snapshot, snapshots, write_snapshot
from .state import CheckpointError, read_state, set_state
from .trouble import Interrupted, NotFinite, halving

__all__ = [
    "CheckpointError",
    "DamagedCheckpoint",
    "Interrupted",
    "NotFinite",
    "alpha_ranking",
    "atomic_write",
    "create_run_directory",
    "duration",
    "free_path",
    "halving",
    "is_chief",
    "mark",
    "mix_entropy",
    "newest_snapshot",
    "no_space",
    "one_line",
    "read_config",
    "read_lines",
    "read_snapshot",
    "read_state",
    "read_table",
    "record_alphas",
    "record_genotype",
    "record_history",
    "save_model",
    "seconds_left",
    "set_state",
    "sharpened_since",
    "skip_connections",
    "snapshots",
    "words",
    "write_arrays",
    "write_json",
    "write_snapshot",
    "written_aside",
]
