"""The cell that a relaxation works on: its edges, their order, and what the space allows on each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from keras_pibnas.genotypes import Genotype
from keras_pibnas.spaces import SearchSpace, canonical
from keras_pibnas.topology import KINDS, Topology


@dataclass(frozen=True)
class CellSpec:
    """One of the two kinds of cell. Node i is state i + inputs and has an edge from each state before it.

    Rows of alphas and op weights are edges, node by node, sources in order; columns are the primitives.

    Args:
        kind: "normal" or "reduce".
        nodes: number of nodes.
        primitives: op names, by column.
        mask: (edges, ops), true where the space allows the op on the edge; None allows all.
        inputs: number of input states, 2 in DARTS.
        keep: how many of its edges a node keeps when a genotype is derived; None for all, `none` among their ops.
        output: how nodes leave the cell, see `topology.Topology`.

    Raises:
        ValueError: names the argument, its value and what would be right.

    Example:
        >>> cell = CellSpec("normal", 4, ("none", "skip_connect", "sep_conv_3x3"))
        >>> cell.edges
        14
    """

    kind: str
    nodes: int
    primitives: tuple
    mask: tuple | None = None
    inputs: int = 2
    keep: int | None = 2
    output: str = "concatenate"

    def __post_init__(self):
        object.__setattr__(self, "primitives", tuple(self.primitives))
        if self.kind not in KINDS:
            raise ValueError(f"A kind of cell is one of {', '.join(KINDS)}. Received: kind={self.kind!r}")
        if not isinstance(self.nodes, int) or self.nodes < 1:
            raise ValueError(f"A cell has at least one node. Received: nodes={self.nodes!r}")
        if self.mask is not None:
            object.__setattr__(self, "mask", mask_rows(self.mask, (self.edges, len(self.primitives))))

    @property
    def edges(self) -> int:
        """Number of edges: the sum of (i + inputs) over nodes i."""
        return sum(node + self.inputs for node in range(self.nodes))

    @property
    def shape(self) -> tuple[int, int]:
        """(edges, ops)."""
        return self.edges, len(self.primitives)

    @property
    def sources(self) -> tuple[int, ...]:
        """The state that each edge leaves, by row."""
        return tuple(source for node in range(self.nodes) for source in range(node + self.inputs))

    @property
    def targets(self) -> tuple[int, ...]:
        """The node that each edge enters, by row."""
        return tuple(node for node in range(self.nodes) for _ in range(node + self.inputs))

    @property
    def strides(self) -> tuple[int, ...]:
        """The stride of each edge: 2 from the inputs of a reduction cell, else 1."""
        reduces = self.kind == "reduce"
        return tuple(2 if reduces and source < self.inputs else 1 for source in self.sources)

    @property
    def allowed(self) -> np.ndarray:
        """(edges, ops) of bool: the mask, true everywhere without one."""
        return np.ones(self.shape, bool) if self.mask is None else np.array(self.mask, bool)

    @property
    def computed(self) -> np.ndarray:
        """(edges, ops) of bool: what a supernet has a layer for, allowed and not `none`."""
        return self.allowed & np.array([canonical(name) != "none" for name in self.primitives])

    @property
    def derivable(self) -> np.ndarray:
        """(edges, ops) of bool: what a genotype may take: what is allowed; `none` only where all edges are kept."""
        return self.allowed if self.keep is None else self.computed

    @property
    def topology(self) -> Topology:
        """What the cell is."""
        return Topology(self.inputs, self.nodes, self.keep, self.output)

    def keeps(self, wanted: int | None = None) -> int:
        """How many edges a node keeps: all where the topology says so; else as wanted, or as it says."""
        if self.keep is None:
            return self.inputs + self.nodes
        return self.keep if wanted is None else wanted

    @property
    def same_node(self) -> np.ndarray:
        """(edges, edges) of bool: whether two edges enter one node."""
        targets = np.array(self.targets)
        return targets[:, None] == targets[None]

    def masked(self, mask) -> "CellSpec":
        """The cell with less allowed: its mask and this one, (edges, ops)."""
        return replace(self, mask=self.allowed & np.array(mask_rows(mask, self.shape), bool))


def cells_of(space: SearchSpace, nodes: int | None = None) -> tuple[CellSpec, ...]:
    """The kinds of cells of a space, of so many nodes: (normal, reduce), or (normal,) where residual blocks reduce.

    Example:
        >>> kp.methods.cells_of(kp.spaces.get("s1"))[0].allowed.sum()
        np.int64(28)
    """
    topology = space.cell(nodes)
    return tuple(
        CellSpec(
            kind,
            topology.nodes,
            space.primitives,
            space.mask(kind, topology.nodes),
            topology.inputs,
            topology.keep,
            topology.output,
        )  # fmt: skip
        for kind in topology.kinds
    )


def mask_rows(mask, shape: tuple[int, int]) -> tuple:
    """A mask (edges, ops) as tuples of bool, so that it compares and hashes. Raises ValueError on another shape."""
    found = np.shape(mask)
    if found != tuple(shape):
        raise ValueError(f"A mask must have the shape {tuple(shape)} of (edges, ops). Received: shape {found}")
    return tuple(tuple(bool(value) for value in row) for row in np.asarray(mask))


def genotype_mix(genotype: Genotype, cells: Sequence[CellSpec]) -> list[np.ndarray]:
    """The op weights of a genotype: 1 where it has an op on an edge, else 0.

    Args:
        genotype: of as many nodes as the cells.
        cells: (normal, reduce).

    Returns:
        [normal, reduce], each (edges, ops) of float64; `none` has no effect and stays 0.

    Raises:
        ValueError: an op that the space does not have, or another number of nodes.

    Example:
        >>> cells = [kp.methods.CellSpec(kind, 1, ("none", "skip_connect")) for kind in ("normal", "reduce")]
        >>> pairs = (("skip_connect", 0), ("skip_connect", 1))
        >>> kp.methods.genotype_mix(kp.Genotype(pairs, pairs, (2,), (2,)), cells)[0].tolist()
        [[0.0, 1.0], [0.0, 1.0]]
    """
    genotype = genotype.resolved()
    if any((cell.inputs, cell.nodes) != (genotype.inputs, genotype.nodes) for cell in cells):
        raise ValueError(
            f"The genotype has {genotype.nodes} nodes a cell, and {genotype.inputs} inputs. "
            f"Received: cells of {cells[0].nodes} nodes and {cells[0].inputs} inputs"
        )
    return [_one_hot(genotype.cell(cell.kind), cell) for cell in cells]


def _one_hot(genotype, cell):
    mix, columns = np.zeros(cell.shape), {canonical(name): i for i, name in enumerate(cell.primitives)}
    rows = {edge: row for row, edge in enumerate(zip(cell.sources, cell.targets, strict=True))}
    for node, pairs in enumerate(genotype.nodes):
        for op, source in pairs:
            if canonical(op) != "none":
                place = rows[source, node], column_of(op, columns)
                if not cell.allowed[place]:
                    raise ValueError(
                        f"The space does not allow {op!r} on the edge from state {source} to node {node} of the "
                        f"{cell.kind} cell."
                    )
                mix[place] += 1.0
    return mix


def column_of(op: str, columns: dict) -> int:
    """The column of an op by its canonical name. Raises ValueError if there is none."""
    if canonical(op) not in columns:
        raise ValueError(f"The space has no op {op!r}. Its ops: {', '.join(columns)}")
    return columns[canonical(op)]
