"""The edges of a cell that are computed together. Their order, the rows of alpha: see `keras_pibnas.topology`."""

from dataclasses import dataclass

import numpy as np

from keras_pibnas.methods import CellSpec


@dataclass(frozen=True)
class Bundle:
    """Edges that leave one state and allow the same ops.

    Attributes:
        source: the state.
        nodes: the node that each edge enters.
        rows: of alpha, one for each edge.
        columns: of the ops, `none` left out.
    """

    source: int
    nodes: tuple
    rows: tuple
    columns: tuple


def bundles_of(cell: CellSpec) -> tuple:
    """The bundles of a cell, by source; an edge that allows no op, or nothing but `none`, stands in none."""
    found = []
    for source in range(cell.inputs + cell.nodes - 1):
        groups = {}
        for row in np.flatnonzero(np.array(cell.sources) == source).tolist():
            columns = tuple(np.flatnonzero(cell.computed[row]).tolist())
            groups.setdefault(columns, []).append(row)
        found += [
            Bundle(source, tuple(cell.targets[row] for row in rows), tuple(rows), columns)
            for columns, rows in groups.items()
            if columns
        ]
    return tuple(found)
