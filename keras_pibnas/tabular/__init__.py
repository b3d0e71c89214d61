"""Tables of cells that were all trained: how good a search's result is among all that it could have found.

Example:
    >>> table = load("digits")
    >>> best = table.entry(table.ranking()[0])
    >>> best.rank, best.regret
    (1, 0.0)
"""

from .cells import OPS, CellSpace
from .nas_bench_201 import NASBench201, read_nas_bench_201
from .settings import Settings
from .statistics import Spread, best_of, expectation, kendall_tau, spread
from .table import NAMES, Entry, Table, load, write
from .training import train

__all__ = [
    "NAMES",
    "OPS",
    "CellSpace",
    "Entry",
    "NASBench201",
    "Settings",
    "Spread",
    "Table",
    "best_of",
    "expectation",
    "kendall_tau",
    "load",
    "read_nas_bench_201",
    "spread",
    "train",
    "write",
]
