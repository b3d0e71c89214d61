"""The macro plan of a network of cells: which cell reduces, with how many channels.

Supernet and discrete network both read it. Reference: DARTS (arXiv:1806.09055), section 3, and its
published code.
"""

from dataclasses import dataclass

_STEM_MULTIPLIER = 3
STEMS = ("conv3x3", "patchify")


@dataclass(frozen=True)
class CellPlan:
    """What one cell of a network is given and gives; all counts are channels.

    Attributes:
        index: place in the network, from 0.
        reduction: halves the side, and doubles the channels of the cell before.
        reduction_prev: the cell before reduces, so the state from before it has twice the side.
        channels: of every node.
        in_channels_prev_prev, in_channels_prev: of input states 0 and 1, before preprocessing.
        out_channels: of the cell's output, channels times the number of states that it concatenates.
    """

    index: int
    reduction: bool
    reduction_prev: bool
    channels: int
    in_channels_prev_prev: int
    in_channels_prev: int
    out_channels: int


def plan(layers, channels, normal_states=4, reduce_states=4, stem_channels=None):
    """The cells of a network, first to last.

    Args:
        layers: number of cells, at least 2; cells layers // 3 and 2 * layers // 3 reduce.
        channels: of a node in the first cell, even; the reductions double it.
        normal_states, reduce_states: how many states a normal and a reduction cell concatenate.
        stem_channels: what the stem gives to both inputs of cell 0; 3 * channels if not given.

    Returns:
        A tuple of `CellPlan`.

    Raises:
        ValueError: a count out of range; the message names the value.
    """
    _check(layers, channels, normal_states, reduce_states)
    reductions = (layers // 3, 2 * layers // 3)
    prev_prev = prev = _STEM_MULTIPLIER * channels if stem_channels is None else stem_channels
    cells = []
    for index in range(layers):
        reduction = index in reductions
        channels *= 2 if reduction else 1
        out = channels * (reduce_states if reduction else normal_states)
        cells.append(CellPlan(index, reduction, index - 1 in reductions, channels, prev_prev, prev, out))
        prev_prev, prev = prev, out
    return tuple(cells)


def auxiliary_index(layers):
    """Index of the cell whose output feeds the auxiliary head: the second reduction."""
    return 2 * layers // 3


def _check(layers, channels, normal_states, reduce_states):
    if layers < 2:
        raise ValueError(f"A network has at least 2 layers (cells). Received: layers={layers}")
    if channels < 2 or channels % 2:
        raise ValueError("channels should be even and at least 2: a factorized reduction halves them; "
                         f"try {max(2, channels + 1)}. Received: channels={channels}")
    for name, states in (("normal_states", normal_states), ("reduce_states", reduce_states)):
        if states < 1:
            raise ValueError(f"A cell concatenates at least one state. Received: {name}={states}")


def check_images(input_shape, num_classes, stem):
    """Raises ValueError if these cannot be images, classes and a stem."""
    if len(tuple(input_shape)) != 3 or any(not isinstance(n, int) or n < 1 for n in input_shape):
        raise ValueError(
            f"input_shape must be (height, width, channels), in pixels. Received: {input_shape!r}"
        )
    if not isinstance(num_classes, int) or num_classes < 2:
        raise ValueError(
            f"num_classes must be an integer of at least 2. Received: num_classes={num_classes!r}"
        )
    if stem not in STEMS:
        raise ValueError(f"stem must be one of {', '.join(STEMS)}. Received: stem={stem!r}")
    if stem == "patchify" and min(input_shape[:2]) < 2:
        raise ValueError(
            f"The patchify stem needs a side of at least 2 pixels. Received: input_shape={input_shape!r}"
        )
