"""What an op is worth in a table: cells that differ in it alone, and cells of equal cost."""

from collections import Counter, defaultdict

import numpy as np

from keras_pibnas.genotypes import Genotype
from keras_pibnas.tabular.table import Table


def swaps(table: Table) -> list[dict]:
    """By how much mean test accuracy changes where one op of a cell is replaced by another, all else equal.

    Returns:
        A dictionary for each pair of ops: "from", "to", "mean" and "deviation" of the differences (0 to 1), "better":
        share of the pairs of cells in which the second op is better, "pairs": their number.

    Example:
        >>> table = kp.tabular.load("digits")
        >>> len(kp.tabular.swaps(table))  # of five ops
        10
    """
    found = defaultdict(list)
    for number, cell in enumerate(table.space.cells):
        for edge, (op, source) in enumerate(cell):
            for other in table.space.primitives[table.space.primitives.index(op) + 1 :]:
                pairs = (*cell[:edge], (other, source), *cell[edge + 1 :])
                changed = table.space.index(Genotype(pairs, table.space.reduce, (2, 3), (2, 3)))
                found[op, other].append(table.mean_test[changed] - table.mean_test[number])
    return [
        {"from": first, "to": second, "mean": float(np.mean(values)), "deviation": float(np.std(values)),
         "better": float(np.mean(np.array(values) > 0)), "pairs": len(values)}
        for (first, second), values in found.items()
    ]  # fmt: skip


def equal_macs(table: Table) -> list[dict]:
    """Cells of different ops whose MACs are the same, by what their convolutions are.

    Ops without MACs of their own, such as pools, are not told apart.

    Returns:
        A dictionary for each kind of cell, by MACs: "macs", "ops": {op: number}, "cells", "mean", "deviation" and
        "best" of their mean test accuracies (0 to 1).

    Example:
        >>> table = kp.tabular.load("digits")
        >>> rows = kp.tabular.equal_macs(table)
        >>> len({row["macs"] for row in rows}) < len(rows)
        True
    """
    free = _without_macs(table)
    groups = defaultdict(list)
    for cell, macs, accuracy in zip(table.space.cells, table.macs, table.mean_test, strict=True):
        counts = Counter(op for op, _ in cell if op not in free)
        groups[int(macs), tuple(sorted(counts.items()))].append(accuracy)
    shared = Counter(macs for macs, _ in groups)
    return [
        {"macs": macs, "ops": dict(ops), "cells": len(values), "mean": float(np.mean(values)),
         "deviation": float(np.std(values)), "best": float(np.max(values))}
        for (macs, ops), values in sorted(groups.items()) if shared[macs] > 1
    ]  # fmt: skip


def _without_macs(table):
    """The ops that cost least, of cells which have nothing else."""
    whole = {cell[0][0]: macs for cell, macs in zip(table.space.cells, table.macs, strict=True)
             if len({op for op, _ in cell}) == 1}  # fmt: skip
    return {op for op, macs in whole.items() if macs == min(whole.values())}
