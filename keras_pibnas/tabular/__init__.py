"""Tables of cells that were all trained: how good a search's result is among all that it could have found."""

from .cells import OPS, CellSpace
from .effects import equal_macs, swaps
from .nas_bench_201 import NASBench201, read_nas_bench_201
from .settings import Settings
from .statistics import Spread, best_of, expectation, kendall_tau, spread
from .table import Entry, Table, load, names, write
from .training import train

__all__ = [
    "OPS",
    "CellSpace",
    "Entry",
    "NASBench201",
    "Settings",
    "Spread",
    "Table",
    "best_of",
    "equal_macs",
    "expectation",
    "kendall_tau",
    "load",
    "names",
    "read_nas_bench_201",
    "spread",
    "swaps",
    "train",
    "write",
]
