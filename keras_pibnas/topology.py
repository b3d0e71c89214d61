"""The topology of a cell, and the macro plan of a network of cells: which cell reduces, with how many channels.

Supernet and discrete network both read it. References: DARTS (arXiv:1806.09055), section 3, and its published code;
NAS-Bench-201 (arXiv:2001.00326), section 2.
"""

from dataclasses import dataclass

STEMS = ("conv3x3", "patchify", "imagenet")
KINDS = ("normal", "reduce")
_STEM_MULTIPLIER = {"conv3x3": 3, "patchify": 3, "imagenet": 1}  # channels of the stem, by those of a node

# How nodes leave a cell: the Keras layer that joins the states (those that a genotype names, or the last one alone).
OUTPUTS = {
    "concatenate": "Concatenate",
    "last": "Concatenate",
    "sum": "Add",
    "mean": "Average",
}


@dataclass(frozen=True)
class Topology:
    """The graph of a cell: node i is state inputs + i, and has an edge from each state before it.

    Args:
        inputs: number of input states: the outputs of so many cells before.
        nodes: number of nodes.
        keep: how many of its edges a node keeps when a genotype is derived; None for all of them.
        output: how nodes leave the cell, one of `OUTPUTS`; "last" is the last node alone.

    Raises:
        ValueError: names the argument and its value.

    Example:
        >>> Topology(inputs=1, nodes=3, keep=None, output="last").edge_count
        6
    """

    inputs: int = 2
    nodes: int = 4
    keep: int | None = 2
    output: str = "concatenate"

    def __post_init__(self):
        for name in ("inputs", "nodes", "keep"):
            value = getattr(self, name)
            if not (isinstance(value, int) and value >= 1 or name == "keep" and value is None):
                raise ValueError(f"{name} of a topology is a whole number of at least 1. Received: {name}={value!r}")
        if self.output not in OUTPUTS:
            raise ValueError(f"output must be one of {', '.join(OUTPUTS)}. Received: output={self.output!r}")

    @property
    def kinds(self) -> tuple:
        """The kinds of cells: in a chain of cells, which read the one before, residual blocks reduce."""
        return KINDS[:1] if self.inputs == 1 else KINDS

    @property
    def layers(self) -> int:
        """How many layers a supernet has as published: 8 cells; in a chain 15, and two residual blocks."""
        return 17 if self.inputs == 1 else 8

    def kept(self, node: int) -> int:
        """How many edges of a node a genotype lists."""
        return self.inputs + node if self.keep is None else min(self.keep, self.inputs + node)

    @property
    def states(self) -> tuple:
        """The states that leave the cell."""
        nodes = tuple(range(self.inputs, self.inputs + self.nodes))
        return nodes[-1:] if self.output == "last" else nodes

    @property
    def edge_count(self) -> int:
        """Number of edges, the rows of alpha: node by node, sources in order."""
        return self.edge_row(0, self.nodes)

    def edge_row(self, source: int, node: int) -> int:
        """The row of the edge from a source state to a node."""
        return node * self.inputs + node * (node - 1) // 2 + source

    def node_rows(self, node: int) -> list:
        """The rows of a node's edges, by source."""
        return [self.edge_row(source, node) for source in range(self.inputs + node)]

    def bundles(self) -> tuple:
        """The edges that are computed in one pass: for each state, those that leave it, (source, node) pairs.

        The last node's state has none.
        """
        sources = range(self.inputs + self.nodes - 1)
        first = [max(0, source - self.inputs + 1) for source in sources]
        return tuple(tuple((source, node) for node in range(first[source], self.nodes)) for source in sources)

    def bundle_rows(self) -> list:
        """For each bundle, the rows of its edges."""
        return [[self.edge_row(*edge) for edge in edges] for edges in self.bundles()]


def output_width(output: str, states: int) -> int:
    """By how much a cell's output is wider than a node, if so many states leave it.

    Example:
        >>> kp.topology.output_width("concatenate", 4), kp.topology.output_width("sum", 4)
        (4, 1)
    """
    return states if OUTPUTS[output] == "Concatenate" else 1


def edge_count(nodes: int) -> int:
    """Number of edges of a DARTS cell.

    Example:
        >>> kp.topology.edge_count(nodes=4)  # 2 + 3 + 4 + 5
        14
    """
    return Topology(nodes=nodes).edge_count


def edge_row(source: int, node: int) -> int:
    """The row of alpha of the edge from a source state to a node of a DARTS cell.

    Example:
        >>> kp.topology.edge_row(source=0, node=1)  # after the two edges of node 0
        2
    """
    return Topology().edge_row(source, node)


def node_rows(node: int) -> list:
    """The rows of alpha of the edges of a DARTS cell's node, by source.

    Example:
        >>> kp.topology.node_rows(1)
        [2, 3, 4]
    """
    return Topology().node_rows(node)


def bundle_rows(nodes: int) -> list:
    """`Topology.bundle_rows` of a DARTS cell.

    Example:
        >>> kp.topology.bundle_rows(nodes=2)  # of states 0, 1 and 2
        [[0, 2], [1, 3], [4]]
    """
    return Topology(nodes=nodes).bundle_rows()


def bundles(nodes: int) -> tuple:
    """`Topology.bundles` of a DARTS cell.

    Example:
        >>> kp.topology.bundles(nodes=2)
        (((0, 0), (0, 1)), ((1, 0), (1, 1)), ((2, 1),))
    """
    return Topology(nodes=nodes).bundles()


@dataclass(frozen=True)
class CellPlan:
    """Place and channels of one cell of a network.

    Attributes:
        index: place in the network, from 0.
        reduction: halves the side, and doubles the channels of the cell before.
        reduction_prev: the cell before reduces, so the state from before it has twice the side.
        channels: of every node.
        in_channels_prev_prev, in_channels_prev: of input states 0 and 1, before preprocessing.
        out_channels: of the cell's output, channels times the number of states that it concatenates.
        kind: of the cell.

    Example:
        >>> cell = kp.topology.plan(layers=3, channels=16)[1]
        >>> cell.reduction, cell.channels, cell.in_channels_prev, cell.out_channels
        (True, 32, 64, 128)
    """

    index: int
    reduction: bool
    reduction_prev: bool
    channels: int
    in_channels_prev_prev: int
    in_channels_prev: int
    out_channels: int

    @property
    def kind(self) -> str:
        return KINDS[self.reduction]


def plan(
    layers: int,
    channels: int,
    normal_states: int = 4,
    reduce_states: int = 4,
    stem_channels: int | None = None,
    after_reduction: bool = False,
) -> tuple:
    """The cells of a network, first to last.

    Args:
        layers: number of cells, at least 2; cells layers // 3 and 2 * layers // 3 reduce.
        channels: of a node in the first cell, even; the reductions double it.
        normal_states, reduce_states: how many states a normal and a reduction cell concatenate.
        stem_channels: of the stem's output, both inputs of cell 0; 3 * channels if not given.
        after_reduction: whether input state 0 of cell 0 has twice the side of state 1 (the ImageNet stem).

    Returns:
        A tuple of `CellPlan`.

    Raises:
        ValueError: a count out of range; the message names the value.

    Example:
        >>> [(cell.reduction, cell.channels, cell.out_channels) for cell in kp.topology.plan(layers=3, channels=16)]
        [(False, 16, 64), (True, 32, 128), (True, 64, 256)]
    """
    _check(layers, channels, normal_states, reduce_states)
    reductions = (layers // 3, 2 * layers // 3)
    prev_prev = prev = _STEM_MULTIPLIER["conv3x3"] * channels if stem_channels is None else stem_channels
    cells = []
    for index in range(layers):
        reduction = index in reductions
        channels *= 2 if reduction else 1
        out = channels * (reduce_states if reduction else normal_states)
        reduction_prev = index - 1 in reductions or (after_reduction and index == 0)
        cells.append(CellPlan(index, reduction, reduction_prev, channels, prev_prev, prev, out))
        prev_prev, prev = prev, out
    return tuple(cells)


@dataclass(frozen=True)
class ChainPlan:
    """One place of a network whose cells stand in a chain, each reading the one before (NAS-Bench-201).

    Attributes:
        index: place in the network, from 0.
        reduction: a residual block that halves the side stands here, in place of a cell.
        channels: of the output; a block's input has half of them.
        kind: of the cell; None of a block.

    Example:
        >>> kp.topology.chain_plan(layers=17, channels=16)[5]
        ChainPlan(index=5, reduction=True, channels=32)
    """

    index: int
    reduction: bool
    channels: int

    @property
    def kind(self) -> str | None:
        return None if self.reduction else KINDS[0]

    @property
    def out_channels(self) -> int:
        return self.channels


def chain_plan(layers: int, channels: int) -> tuple:
    """The places of a chain of cells, first to last; residual blocks stand at layers // 3 and 2 * layers // 3.

    Args: layers: number of places, at least 3; 17 in NAS-Bench-201. channels: of the first cells; a block doubles them.

    Returns:
        A tuple of `ChainPlan`.

    Raises:
        ValueError: a count out of range; the message names the value.

    Example:
        >>> [place.index for place in kp.topology.chain_plan(layers=17, channels=16) if place.reduction]
        [5, 11]
    """
    if layers < 3:
        raise ValueError(f"A chain of cells and residual blocks has at least 3 layers. Received: layers={layers}")
    if channels < 1:
        raise ValueError(f"channels should be at least 1. Received: channels={channels}")
    reductions = (layers // 3, 2 * layers // 3)
    counts = [channels * 2 ** sum(index >= at for at in reductions) for index in range(layers)]
    return tuple(ChainPlan(index, index in reductions, count) for index, count in enumerate(counts))


def network_plan(topology: Topology, layers: int, channels: int, stem: str = "conv3x3") -> tuple:
    """The cells of a network, first to last: as `plan`, or in a chain as `chain_plan`.

    Raises:
        ValueError: a count out of range, or cells that no network has; the message names the value.

    Example:
        >>> chain = kp.topology.Topology(inputs=1, nodes=3, keep=None, output="last")
        >>> len(kp.topology.network_plan(chain, layers=17, channels=16))
        17
    """
    width = output_width(topology.output, len(topology.states))
    if topology.inputs > 2:
        raise ValueError(f"Cells read the one or two cells before them. Received: inputs={topology.inputs}")
    if topology.inputs == 2:
        return plan(layers, channels, width, width, stem_channels(stem, channels), after_reduction=stem == "imagenet")
    if stem != "conv3x3":
        raise ValueError(f"A chain of cells has the stem conv3x3. Received: stem={stem!r}")
    if width > 1:
        raise ValueError(f"Cells of a chain give as many channels as they take. Received: output={topology.output!r}")
    return chain_plan(layers, channels)


def auxiliary_index(layers: int) -> int:
    """Index of the cell whose output feeds the auxiliary head: the second reduction.

    Example:
        >>> kp.topology.auxiliary_index(layers=20)
        13
    """
    return 2 * layers // 3


def _check(layers, channels, normal_states, reduce_states):
    if layers < 2:
        raise ValueError(f"A network has at least 2 layers (cells). Received: layers={layers}")
    if channels < 2 or channels % 2:
        raise ValueError(
            "channels should be even and at least 2: a factorized reduction halves them; "
            f"try {max(2, channels + 1)}. Received: channels={channels}"
        )
    for name, states in (("normal_states", normal_states), ("reduce_states", reduce_states)):
        if states < 1:
            raise ValueError(f"A cell concatenates at least one state. Received: {name}={states}")


def stem_channels(stem: str, channels: int, inputs: int = 2) -> int:
    """Channels that a stem gives, by those of a node in the first cell; in a chain (inputs=1) as many.

    Example:
        >>> kp.topology.stem_channels("conv3x3", 16)
        48
    """
    return channels if inputs == 1 else _STEM_MULTIPLIER[stem] * channels


def check_images(input_shape: tuple[int, int, int], num_classes: int, stem: str) -> None:
    """Raises ValueError if these cannot be images, classes and a stem.

    Example:
        >>> kp.topology.check_images((32, 32, 3), num_classes=10, stem="conv3x3")
    """
    if len(tuple(input_shape)) != 3 or any(not isinstance(n, int) or n < 1 for n in input_shape):
        raise ValueError(f"input_shape must be (height, width, channels), in pixels. Received: {input_shape!r}")
    if not isinstance(num_classes, int) or num_classes < 1:  # 1: a regression of one number
        raise ValueError(f"num_classes must be an integer of at least 1. Received: num_classes={num_classes!r}")
    if stem not in STEMS:
        raise ValueError(f"stem must be one of {', '.join(STEMS)}. Received: stem={stem!r}")
    if stem == "imagenet" and min(input_shape[:2]) < 64:
        raise ValueError(f"The imagenet stem needs a side of at least 64 pixels. Received: input_shape={input_shape!r}")
    if stem == "patchify" and min(input_shape[:2]) < 2:
        raise ValueError(f"The patchify stem needs a side of at least 2 pixels. Received: input_shape={input_shape!r}")
