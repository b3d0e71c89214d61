"""From scores to a genotype."""

from dataclasses import dataclass

import numpy as np
from keras import ops

from keras_pibnas.genotypes import Genotype
from keras_pibnas.methods.cells import CellSpec, cells_of
from keras_pibnas.methods.part import Part, registered
from keras_pibnas.methods.sampled import best_edges
from keras_pibnas.spaces import canonical


@dataclass(frozen=True)
class Discretization(Part):
    """How scores become a genotype, in NumPy. `none` is never taken, nor what has a score of 0, as masked entries do.

    Where a node is left with fewer than two edges, `none` stands for those that a Genotype wants: it adds zeros.

    Example:
        >>> kp.methods.get("fair_darts").discretization
        Threshold(least=0.85, edges=2)
    """

    def __call__(self, scores, space, topology) -> Genotype:
        """The genotype.

        Args:
            scores: (normal, reduce), each (edges, ops), as `Relaxation.scores` gives them.
            space: SearchSpace, whose primitives are the columns.
            topology: has the number of `nodes`; or that number.

        Raises:
            ValueError: scores of another shape.
        """
        cells = cells_of(space, getattr(topology, "nodes", topology))
        pairs = [self.pairs(_checked(table, cell), cell) for table, cell in zip(scores, cells, strict=True)]
        return genotype_of(pairs, cells)

    def pairs(self, scores: np.ndarray, cell: CellSpec) -> tuple:
        """(op name, source) pairs of a cell, node by node, strongest edges first. Args: scores (edges, ops)."""
        raise NotImplementedError(f"{type(self).__name__} must define pairs(scores, cell)")

    def kept(self, scores, cell: CellSpec):
        """(edges,) of bool, as a tensor: the edges that the genotype takes. Args: scores: a tensor (edges, ops)."""
        raise NotImplementedError(f"{type(self).__name__} must define kept(scores, cell)")


@registered
@dataclass(frozen=True)
class TopEdges(Discretization):
    """On each node, the `edges` incoming ones with the largest score of an op other than none, each with that op.

    DARTS (arXiv:1806.09055). Of equal scores the first edge and the first op win. Args: edges: 1 or 2;
    None: as many as the space's topology keeps. Where that is all, `none` is an op like the others.

    Example:
        >>> space, scores = kp.spaces.SearchSpace("two", ("skip_connect", "sep_conv_3x3")), [[0.6, 0.4], [0.3, 0.7]]
        >>> kp.methods.TopEdges(2)((scores, scores), space, 1).normal
        (('sep_conv_3x3', 1), ('skip_connect', 0))
    """

    edges: int | None = None

    def __post_init__(self):
        if self.edges not in (None, 1, 2):
            raise ValueError(f"A genotype holds 1 or 2 edges a node. Received: edges={self.edges!r}")

    def pairs(self, scores, cell):
        return _strongest(scores, cell, self.edges, 0.0)

    def kept(self, scores, cell):
        best = ops.max(ops.where(cell.derivable, scores, 0.0), axis=-1)
        return ops.logical_and(best_edges(best, cell, cell.keeps(self.edges)), best > 0)


@registered
@dataclass(frozen=True)
class Threshold(Discretization):
    """As TopEdges(edges), but only edges whose score is at least `least`. FairDARTS (arXiv:1911.12126).

    Args: least: of a score; edges: how many at most on a node, as of TopEdges.

    Example:
        >>> space, scores = kp.spaces.SearchSpace("two", ("skip_connect", "sep_conv_3x3")), [[0.9, 0.4], [0.3, 0.7]]
        >>> kp.methods.Threshold(0.85)((scores, scores), space, 1).normal
        (('skip_connect', 0), ('none', 1))
    """

    least: float = 0.85
    edges: int | None = None

    def __post_init__(self):
        TopEdges(self.edges)
        if not 0 <= self.least <= 1:
            raise ValueError(f"A threshold of scores is from 0 to 1. Received: least={self.least!r}")

    def pairs(self, scores, cell):
        return _strongest(scores, cell, self.edges, self.least)

    def kept(self, scores, cell):
        best = ops.max(ops.where(cell.derivable, scores, 0.0), axis=-1)
        return ops.logical_and(TopEdges(self.edges).kept(scores, cell), best >= self.least)


@registered
@dataclass(frozen=True)
class SkipLimited(Discretization):
    """As TopEdges(), with at most `skips` skip connections in the normal cell. P-DARTS (arXiv:1904.12760).

    While there are more, the weakest of them loses its score, and the cell is derived again.
    `kept` does not know of the limit. Args: skips: how many at most.

    Example:
        >>> space, scores = kp.spaces.SearchSpace("two", ("skip_connect", "sep_conv_3x3")), [[0.9, 0.1], [0.8, 0.2]]
        >>> kp.methods.SkipLimited(1)((scores, scores), space, 1).normal
        (('skip_connect', 0), ('sep_conv_3x3', 1))
    """

    skips: int = 2

    def __post_init__(self):
        if not isinstance(self.skips, int) or self.skips < 0:
            raise ValueError(f"A limit of skip connections is at least 0. Received: skips={self.skips!r}")

    def pairs(self, scores, cell):
        scores = scores.copy()
        while cell.kind == "normal":
            skips = _skips(_strongest(scores, cell, None, 0.0), cell)
            if len(skips) <= self.skips:
                break
            scores[min(skips, key=lambda place: scores[place])] = 0.0
        return _strongest(scores, cell, None, 0.0)

    def kept(self, scores, cell):
        return TopEdges().kept(scores, cell)


def _checked(scores, cell):
    scores = np.asarray(scores, "float64")
    if scores.shape != cell.shape:
        raise ValueError(
            f"Scores of the {cell.kind} cell must have the shape {cell.shape} of (edges, ops). Received: {scores.shape}"
        )
    return np.where(cell.derivable, scores, 0.0)


def _strongest(scores, cell, edges, least):
    """Pairs of the best edges whose score is above 0 and at least `least`, with `none` where a node lacks some.

    The strongest edges come first; where all are kept, they come by source.
    """
    best, op = scores.max(axis=1), scores.argmax(axis=1)
    pairs = []
    for node in range(cell.nodes):
        rows = np.flatnonzero(np.array(cell.targets) == node)
        ranked = rows[np.argsort(-best[rows], kind="stable")][: cell.keeps(edges)]
        taken = [row for row in ranked if best[row] > 0 and best[row] >= least]
        own = [(cell.primitives[op[row]], cell.sources[row]) for row in taken]
        unused = [source for source in range(node + cell.inputs) if source not in {source for _, source in own}]
        own += [("none", source) for source in unused[: cell.topology.kept(node) - len(own)]]
        pairs += sorted(own, key=lambda pair: pair[1]) if cell.keep is None else own
    return tuple(pairs)


def genotype_of(pairs, cells) -> Genotype:
    """The genotype of the pairs of each kind of cell, as `Discretization.pairs` gives them. Args: cells: CellSpec."""
    topology = cells[0].topology
    counts = tuple(map(topology.kept, range(topology.nodes)))
    parts = {"normal": (), "reduce": (), "normal_concat": (), "reduce_concat": ()}
    for cell, own in zip(cells, pairs, strict=True):
        parts |= {cell.kind: own, f"{cell.kind}_concat": topology.states, f"{cell.kind}_edges": counts}
    return Genotype(**parts, inputs=topology.inputs, output=topology.output)


def _skips(pairs, cell):
    """The (row, column) of each skip connection among pairs."""
    rows = {edge: row for row, edge in enumerate(zip(cell.sources, cell.targets, strict=True))}
    nodes = [node for node in range(cell.nodes) for _ in range(cell.topology.kept(node))]
    return [
        (rows[source, node], cell.primitives.index(name))
        for node, (name, source) in zip(nodes, pairs, strict=True)
        if canonical(name) == "skip_connect"
    ]
