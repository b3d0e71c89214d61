"""The part of a network's cost that no genotype changes: stem, preprocessing of the cells, classifier."""

from collections.abc import Sequence

import keras

from keras_pibnas import layers
from keras_pibnas.costs.count import Count, count_call
from keras_pibnas.topology import CellPlan, ChainPlan


def sides(plans: Sequence[CellPlan | ChainPlan], input_shape: tuple, stem: str) -> list[tuple]:
    """The (height, width) of the states that each cell's edges read, in pixels.

    Args: plans: of `topology.network_plan`; input_shape: (height, width, channels); stem: its name.

    Returns:
        For each cell, ((h, w) of the output of the cell before the last, (h, w) of the cell's input states, (h, w) of
        its nodes).

    Example:
        >>> kp.costs.sides(kp.topology.plan(2, 2), (9, 8, 3), "conv3x3")[0]
        ((9, 8), (9, 8), (5, 4))
    """
    shapes = [(None, *input_shape)]
    for layer in layers.make_stems(stem, 2):
        shapes.append(layer.compute_output_shape(shapes[-1]))
    before, states = (tuple(shape[1:3]) for shape in (shapes[1], shapes[-1]))
    found = []
    for plan in plans:
        nodes = tuple(-(-side // 2) for side in states) if plan.reduction else states
        found.append((before, states, nodes))
        before, states = states, nodes
    return found


def fixed_cost(plans: Sequence[CellPlan | ChainPlan], input_shape: tuple, num_classes: int, stem: str) -> Count:
    """Stem, preprocessing of each cell and classifier, as `build_network` has them.

    Args: plans: of `topology.network_plan`; input_shape: (height, width, channels); num_classes; stem: its name.

    Example:
        >>> kp.costs.fixed_cost(kp.topology.plan(2, 2), (8, 8, 3), num_classes=10, stem="conv3x3").params
        776
    """
    counted = {}

    def count(make, key, shape):
        if (key, shape) not in counted:
            counted[key, shape] = count_call(make(), shape)[0]
        return counted[key, shape]

    chain = isinstance(plans[0], ChainPlan)
    total, shape = Count(0, 0, 0), tuple(input_shape)
    for number, layer in enumerate(layers.make_stems(stem, plans[0].channels if chain else plans[0].in_channels_prev)):
        total = total + count(lambda layer=layer: layer, ("stem", number), shape)
        shape = layer.compute_output_shape((None, *shape))[1:]
    places = sides(plans, input_shape, stem)
    for plan, place in zip(plans, places, strict=True):
        for key, make, shape in _between(plan, *place):
            total = total + count(make, key, shape)
    features = plans[-1].out_channels
    if chain:
        last = (*places[-1][2], features)
        total = total + count(layers.BatchNorm, "last_norm", last) + count(keras.layers.ReLU, "last_relu", last)
    pooling = lambda: keras.layers.GlobalAveragePooling2D(data_format="channels_last")  # noqa: E731
    total = total + count(pooling, "pooling", (*places[-1][2], features))
    return total + count(lambda: keras.layers.Dense(num_classes), "classifier", (features,))


def _between(plan, before, states, nodes):
    """(key, () -> layer, shape of its input) of what stands between the nodes of cells: preprocessing, or a block."""
    if isinstance(plan, ChainPlan):
        block = plan.kind is None
        shape = (*states, plan.channels // 2)
        return [(("block", plan.channels), lambda: layers.ResidualBlock(plan.channels), shape)] if block else []
    inputs = ((plan.in_channels_prev_prev, before, plan.reduction_prev), (plan.in_channels_prev, states, False))
    return [
        (
            ("preprocess", plan.channels, reduces),
            lambda width=width, reduces=reduces: layers.preprocess(plan.channels, width, reduces),
            (*side, width),
        )
        for width, side, reduces in inputs
    ]
