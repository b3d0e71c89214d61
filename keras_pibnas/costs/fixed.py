"""The part of a network's cost that no genotype changes: stem, preprocessing of the cells, classifier."""

from collections.abc import Sequence

import keras

from keras_pibnas import layers
from keras_pibnas.costs.count import Count, count_call
from keras_pibnas.layers.preprocess import STEMS
from keras_pibnas.topology import CellPlan


def sides(plans: Sequence[CellPlan], input_shape: tuple, stem: str) -> list[tuple]:
    """The (height, width) of the states that each cell's edges read, in pixels.

    Args: plans: of `topology.plan`; input_shape: (height, width, channels); stem: its name.

    Returns:
        For each cell, ((h, w) of the output of the cell before the last, (h, w) of the cell's input states, (h, w) of
        its nodes).

    Example:
        >>> kp.costs.sides(kp.topology.plan(2, 2), (9, 8, 3), "conv3x3")[0]
        ((9, 8), (9, 8), (5, 4))
    """
    shape = STEMS[stem](2, name="stem").compute_output_shape((None, *input_shape))
    before = states = tuple(shape[1:3])
    found = []
    for plan in plans:
        nodes = tuple(-(-side // 2) for side in states) if plan.reduction else states
        found.append((before, states, nodes))
        before, states = states, nodes
    return found


def fixed_cost(plans: Sequence[CellPlan], input_shape: tuple, num_classes: int, stem: str) -> Count:
    """Stem, preprocessing of each cell and classifier, as `build_network` has them.

    Args: plans: of `topology.plan`; input_shape: (height, width, channels); num_classes; stem: its name.

    Example:
        >>> kp.costs.fixed_cost(kp.topology.plan(2, 2), (8, 8, 3), num_classes=10, stem="conv3x3").params
        776
    """
    counted = {}

    def count(make, key, shape):
        if (key, shape) not in counted:
            counted[key, shape] = count_call(make(), shape)[0]
        return counted[key, shape]

    stem_channels = plans[0].in_channels_prev
    total = count(lambda: STEMS[stem](stem_channels), "stem", tuple(input_shape))
    places = sides(plans, input_shape, stem)
    for plan, (before, states, _) in zip(plans, places, strict=True):
        inputs = ((plan.in_channels_prev_prev, before, plan.reduction_prev), (plan.in_channels_prev, states, False))
        for width, side, reduces in inputs:
            key = ("preprocess", plan.channels, reduces)
            make = lambda w=width, r=reduces, c=plan.channels: layers.preprocess(c, w, r)  # noqa: E731
            total = total + count(make, key, (*side, width))
    features = plans[-1].out_channels
    pooling = lambda: keras.layers.GlobalAveragePooling2D(data_format="channels_last")  # noqa: E731
    total = total + count(pooling, "pooling", (*places[-1][2], features))
    return total + count(lambda: keras.layers.Dense(num_classes), "classifier", (features,))
