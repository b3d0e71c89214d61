"""The cells of a table: which there are, and which of them are one and the same."""

import itertools
from dataclasses import dataclass

from keras_pibnas.genotypes import Genotype

# States that the two pairs of node 1 may read; those of node 0 read states 0 and 1.
SOURCES = ((0, 1), (0, 2), (1, 2))
OPS = ("skip_connect", "max_pool_3x3", "sep_conv_3x3", "pib_conv_3x3")
UNREAD = ("noise",)  # ops that do not look at what they read
REDUCE = (("skip_connect", 0), ("skip_connect", 1), ("skip_connect", 0), ("skip_connect", 1))
CONCAT = (2, 3)


@dataclass(frozen=True)
class CellSpace:
    """Normal cells of two nodes, each the sum of two ops on two different states, as DARTS derives them.

    The reduction cell is one and the same in all. Of n ops there are 3 n^4 genotypes. Where node 1 reads no node, both
    nodes read the inputs, and may change places: the cell's output has its channels in another order. Such isomorphic
    genotypes are one cell, so there are 2 n^4 + n^2 (n^2 + 1) / 2 cells: 648 of four ops. Where one of them is `noise`,
    which does not look at what it reads, genotypes that differ in that alone are one cell, too.

    Args:
        primitives: op names other than `none`.
        reduce: the four (op name, source state) pairs of the reduction cell.

    Raises:
        ValueError: no ops, an op twice, or `none`.

    Example:
        >>> len(CellSpace().cells)
        648
    """

    primitives: tuple = OPS
    reduce: tuple = REDUCE

    def __post_init__(self):
        object.__setattr__(self, "primitives", tuple(self.primitives))
        object.__setattr__(self, "reduce", tuple((op, int(source)) for op, source in self.reduce))
        if not self.primitives or len(set(self.primitives)) < len(self.primitives) or "none" in self.primitives:
            raise ValueError(f"primitives should be different ops other than none. Received: {self.primitives}")
        object.__setattr__(self, "cells", tuple(self._cells()))
        object.__setattr__(self, "_index", {cell: index for index, cell in enumerate(self.cells)})

    def __len__(self):
        return len(self.cells)

    def _cells(self):
        """The four (op name, source) pairs of every cell, isomorphic ones once."""
        for sources, ops in itertools.product(SOURCES, itertools.product(self.primitives, repeat=4)):
            pairs = tuple(zip(ops, (0, 1, *sources), strict=True))
            if pairs == self._ordered(pairs):
                yield pairs

    def _ordered(self, pairs):
        """The form in which a cell stands in the table: sources in order, and nodes that may change places by op."""
        first, second = (_node(*pairs[:2]), _node(*pairs[2:]))
        if second[1][1] < 2:
            first, second = sorted((first, second), key=lambda node: [self.primitives.index(op) for op, _ in node])
        return (*first, *second)

    def genotype(self, index: int) -> Genotype:
        """The genotype of a cell, by its number."""
        return Genotype(self.cells[index], self.reduce, CONCAT, CONCAT)

    def index(self, genotype: Genotype) -> int:
        """The number of a genotype's cell, whatever the order of its pairs, and of its nodes where they may change.

        Raises:
            ValueError: the genotype is none of this space; the message says why.
        """
        genotype = genotype.resolved()
        if genotype.inputs != 2 or genotype.nodes != 2 or genotype.normal_edges or genotype.output != "concatenate":
            raise ValueError(f"The table's cells have two nodes, two pairs each. Received: {genotype}")
        if sorted(genotype.normal_concat) != sorted(CONCAT):
            raise ValueError(f"The table's cells concatenate states 2 and 3. Received: {genotype.normal_concat}")
        if unknown := sorted({op for op, _ in genotype.normal} - set(self.primitives)):
            raise ValueError(f"The table's ops are {', '.join(self.primitives)}. Received: {', '.join(unknown)}")
        self._check_reduce(genotype)
        if any(genotype.normal[i][1] == genotype.normal[i + 1][1] for i in (0, 2)):
            raise ValueError(f"A node of the table's cells reads two different states. Received: {genotype.normal}")
        return self._index[self._ordered(genotype.normal)]

    def _check_reduce(self, genotype):
        nodes = [[sorted(pairs[:2]), sorted(pairs[2:])] for pairs in (self.reduce, genotype.reduce)]
        if nodes[0] != nodes[1] and nodes[0] != nodes[1][::-1]:
            raise ValueError(f"The table's reduction cell is {self.reduce}. Received: {genotype.reduce}")


def _node(*pairs):
    """A node's two pairs by source, of which an op that does not look at it has the first that is free."""
    (first, source), (second, other) = sorted(pairs, key=lambda pair: (pair[0] in UNREAD, pair[1]))
    source = 0 if first in UNREAD else source
    other = int(source == 0) if second in UNREAD else other
    return tuple(sorted(((first, source), (second, other)), key=lambda pair: pair[1]))
