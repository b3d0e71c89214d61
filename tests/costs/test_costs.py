"""Costs of a layer at a place, and of what no genotype changes."""

import keras
import pytest

import keras_pibnas as kp
from keras_pibnas import costs, topology

pytestmark = pytest.mark.usefixtures("shapes_alone")


def test_an_op_at_a_place():
    """sep_conv_3x3 of 4 channels, stride 2, on 9x7 pixels: twice depthwise 3x3, 1x1 and BN on 5x4."""
    count, shape = costs.count_call(kp.spaces.build_op("sep_conv_3x3", 4, 2), (9, 7, 4))
    assert shape == (5, 4, 4)
    assert count.macs == 2 * 20 * (9 * 4 + 4 * 4) and count.params == 2 * (9 * 4 + 4 * 4 + 2 * 4)


def test_a_layer_that_cannot_be_counted_is_named():
    with pytest.raises(ValueError, match="UnitNormalization"):
        costs.count_call(keras.layers.UnitNormalization(), (4,))


@pytest.mark.parametrize(("stem", "shape"), [("conv3x3", (13, 10, 3)), ("patchify", (32, 29, 1))])
@pytest.mark.parametrize("layers", [2, 3, 5])
def test_fixed_cost_is_that_of_a_network_of_identities(stem, shape, layers):
    """A network whose ops are `none`: what it costs is stem, preprocessing and classifier, ReLU and BN counts too."""
    pairs = (("none", 0), ("none", 1), ("none", 0), ("none", 1))
    genotype = kp.Genotype(pairs, pairs, (2, 3), (2, 3))
    whole = kp.analysis.complexity(kp.build_network(genotype, shape, 7, 4, layers, stem))
    count = costs.fixed_cost(topology.plan(layers, 4, 2, 2), shape, 7, stem)
    assert (count.params, count.macs, count.extra) == (whole.params, whole.macs, whole.extra)


def test_sides():
    """Three cells on 9 x 8 pixels: cells 1 and 2 reduce."""
    found = costs.sides(topology.plan(3, 4), (9, 8, 3), "conv3x3")
    assert found == [((9, 8), (9, 8), (9, 8)), ((9, 8), (9, 8), (5, 4)), ((9, 8), (5, 4), (3, 2))]


def test_analysis_counts_with_costs():
    assert kp.analysis.complexity is costs.complexity
