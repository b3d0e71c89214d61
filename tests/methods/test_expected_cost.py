"""The expected cost of the derived network, against counts of networks that are built."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_pibnas as kp
from keras_pibnas import methods

from .conftest import PRIMITIVES, arch_of, cell_of, central_differences, gradients

pytestmark = pytest.mark.usefixtures("shapes_alone")

KINDS = ("normal", "reduce")
SMALL = {"input_shape": (9, 8, 3), "num_classes": 3, "stem": "conv3x3"}


def cells_of(space="darts", nodes=2):
    if isinstance(space, str):
        return list(methods.cells_of(kp.spaces.get(space), nodes))
    return [methods.CellSpec(kind, nodes, space) for kind in KINDS]


def one_hot_arch(cells, seed=0, sharpness=1e3):
    """Alphas whose softmax is exactly one-hot, of random ops that their edges allow."""
    generator = np.random.default_rng(seed)
    ops = [[generator.choice(np.flatnonzero(row)) for row in cell.allowed] for cell in cells]
    return [
        {"alpha": tf.constant(sharpness * np.eye(c.shape[1])[o], "float32")} for c, o in zip(cells, ops, strict=True)
    ]


def counted(cells, arch, discretization, space, channels, layers, relaxation=None, **shape):
    relaxation = relaxation or methods.Softmax()
    scores = [relaxation.scores(a, cell) for a, cell in zip(arch, cells, strict=True)]
    genotype = discretization(scores, space, cells[0].nodes)
    return kp.analysis.complexity(kp.build_network(genotype, channels=channels, layers=layers, **shape))


@pytest.mark.parametrize("space", kp.spaces.names())
def test_one_hot_op_weights_give_the_count_of_the_derived_network(space):
    """To the last digit, in every space; the rows of a `none` that wins cost nothing, and are not derived."""
    cells = cells_of(space, 3)
    prices = {u: methods.ExpectedCost(u, channels=4, layers=3).bind(cells=cells, **SMALL) for u in ("params", "macs")}
    for seed in range(3):
        arch = one_hot_arch(cells, seed)
        count = counted(cells, arch, methods.TopEdges(), kp.spaces.get(space), 4, 3, **SMALL)
        for unit, penalty in prices.items():
            found = penalty.expected(methods.Softmax(), arch, [()] * len(cells), 0.0, cells)
            assert found.dtype == "float64" and float(found) == getattr(count, unit)
            assert penalty.prices.least <= float(found) <= penalty.prices.most


def test_at_the_size_of_the_paper():
    """36 channels, 20 layers, CIFAR-10, `PIBCONV`: 6,006,790 parameters and 933,568,128 MACs (tests/analysis)."""
    genotype, cells = kp.genotypes.get("PIBCONV"), cells_of("pibconv_published", 4)
    mixes = methods.genotype_mix(genotype, cells)
    arch = [{"alpha": tf.constant(1e3 * mix - 1e3, "float32")} for mix in mixes]
    for a, mix in zip(arch, mixes, strict=True):  # edges that the genotype lacks are all `none`
        empty = tf.constant(mix.sum(axis=1) == 0)[:, None]
        a["alpha"] = tf.where(empty, tf.one_hot([0] * 14, 8) * 2e3, a["alpha"])
    shape = {"input_shape": (32, 32, 3), "num_classes": 10, "stem": "conv3x3"}
    for unit, want in (("params", 6006790), ("macs", 933568128)):
        penalty = methods.ExpectedCost(unit).bind(cells=cells, **shape)
        assert float(penalty.expected(methods.Softmax(), arch, ((), ()), 0.0, cells)) == want


@pytest.mark.parametrize("stem", ["conv3x3", "patchify"])
@pytest.mark.parametrize(
    "relaxation", [methods.Sigmoid(), methods.EdgeNormalized(methods.Softmax()), methods.Gumbel(0.1)]
)
def test_other_relaxations_and_stems(relaxation, stem):
    cells = cells_of("darts", 2)
    arch = one_hot_arch(cells, 5)
    arch = [a | {"beta": tf.constant(np.random.default_rng(6).normal(size=5), "float32")} for a in arch]
    if isinstance(relaxation, methods.Sigmoid):
        arch = [{"alpha": 2.0 * a["alpha"] - 1e3} for a in arch]
    shape = SMALL | {"input_shape": (16, 12, 1), "stem": stem}
    count = counted(cells, arch, methods.TopEdges(), kp.spaces.get("darts"), 4, 3, relaxation, **shape)
    penalty = methods.ExpectedCost("macs", channels=4, layers=3).bind(cells=cells, **shape)
    assert float(penalty.expected(relaxation, arch, ((), ()), 0.0, cells)) == count.macs


def test_the_discretization_says_which_edges_are_kept():
    """The only op of edge 0 has a score of 0.73: below the threshold, so the edge is not derived and costs nothing."""
    cells, relaxation, space = cells_of("darts", 2), methods.Sigmoid(), kp.spaces.get("darts")
    arch = [{"alpha": 2.0 * a["alpha"] - 1e3} for a in one_hot_arch(cells, 5)]
    row = np.full((1, 8), -1e3, "float32")
    row[0, 4] = 1.0
    arch[0]["alpha"] = tf.concat([row, arch[0]["alpha"][1:]], 0)
    found = []
    for discretization in (methods.TopEdges(), methods.Threshold(0.85)):
        penalty = methods.ExpectedCost("params", channels=4, layers=3)
        bound = penalty.bind(cells=cells, discretization=discretization, **SMALL)
        found.append(float(bound.expected(relaxation, arch, ((), ()), 0.0, cells)))
        assert found[-1] == counted(cells, arch, discretization, space, 4, 3, relaxation, **SMALL).params
    assert found[0] > found[1]


def test_expected_by_hand():
    """A table of seconds: one node, rows (none, skip, conv); both edges of each cell are kept.

    Two cells of 2 and 4 channels; layers // 3 = 0 and 1: both reduce, so only the reduction cell counts.
    """
    cells = [cell_of(kind, nodes=1) for kind in KINDS]
    table = {
        (op, channels, side, 2): 10.0 ** (power + (op == "sep_conv_3x3"))
        for op in PRIMITIVES[1:] for channels, side, power in ((4, 8, 0), (8, 4, 2))
    }  # fmt: skip
    penalty = methods.ExpectedCost(table, channels=2, layers=2).bind(cells=cells, **SMALL | {"input_shape": (8, 8, 3)})
    alpha = np.log([[2.0, 1.0, 3.0], [8.0, 1.0, 1.0]])
    arch = [{"alpha": tf.constant(alpha)}] * 2
    found = float(penalty.expected(methods.Softmax(), arch, ((), ()), 0.0, cells))
    skip, conv = 1.0 + 100.0, 10.0 + 1000.0
    assert found == pytest.approx((skip + 3 * conv) / 4 + (skip + conv) / 2)
    assert (penalty.prices.least, penalty.prices.most) == (2 * skip, 2 * conv)


@pytest.mark.parametrize(
    ("form", "target", "value"),
    [
        ("linear", 2.0, lambda ratio: 3 * (ratio - 1)),
        ("log", 2.0, lambda ratio: 3 * np.log(ratio)),
        ("hinge", 2.0, lambda ratio: 0.0),
        ("hinge", 0.5, lambda ratio: 3 * (ratio - 1)),
    ],
)
def test_forms(form, target, value):
    """The target in units of the expected cost: twice, or half of it."""
    cells = cells_of("darts", 2)
    arch = [arch_of(methods.Softmax(), cell, seed) for seed, cell in enumerate(cells)]
    free = methods.ExpectedCost("params", channels=4, layers=3).bind(cells=cells, **SMALL)
    expected = float(free.expected(methods.Softmax(), arch, ((), ()), 0.0, cells))
    penalty = methods.ExpectedCost("params", target * expected, 3.0, form, 4, 3).bind(cells=cells, **SMALL)
    found = penalty(methods.Softmax(), arch, ((), ()), 0.0, cells)
    assert found.dtype == "float64" and float(found) == pytest.approx(value(1 / target))
    of_most = free(methods.Softmax(), arch, ((), ()), 0.0, cells)
    assert float(of_most) == pytest.approx(expected / free.prices.most - 1)


def test_gradient_against_differences_and_in_a_graph():
    cells, relaxation = cells_of("darts", 2), methods.Gumbel(0.7)
    noise = [relaxation.noise(cell, (0, 3, 0)) for cell in cells]
    penalty = methods.ExpectedCost("macs", None, 2.0, "log", 4, 3).bind(cells=cells, **SMALL)
    arch = [arch_of(relaxation, cell, seed) for seed, cell in enumerate(cells)]
    function = tf.function(lambda own: penalty(relaxation, [own, arch[1]], noise, 0.5, cells))
    found, want = gradients(function, arch[0]), central_differences(function, arch[0])
    np.testing.assert_allclose(found["alpha"], want["alpha"], rtol=1e-6, atol=1e-9)
    kept = methods.TopEdges().kept(relaxation.scores(arch[0], cells[0]), cells[0]).numpy()
    assert (np.abs(found["alpha"]).max(axis=1) > 0).tolist() == kept.tolist() and kept.sum() == 4


def test_wrong_arguments_are_refused():
    cells = cells_of("darts", 2)
    with pytest.raises(ValueError, match="one of params, macs, or a table of seconds. Received: unit='flops'"):
        methods.ExpectedCost("flops")
    with pytest.raises(ValueError, match="one of linear, log, hinge. Received: form='square'"):
        methods.ExpectedCost(form="square")
    with pytest.raises(ValueError, match="'hinge' needs a target"):
        methods.ExpectedCost(form="hinge")
    with pytest.raises(ValueError, match="must be above 0. Received: target=0"):
        methods.ExpectedCost(target=0)
    with pytest.raises(ValueError, match=r"\(op, channels, side, strides, seconds\). Received: \('none', 1\)"):
        methods.ExpectedCost((("none", 1),))
    with pytest.raises(ValueError, match="must be bound to a supernet"):
        methods.ExpectedCost().expected(methods.Softmax(), (), (), 0.0, cells)
    bound = methods.ExpectedCost(channels=4, layers=3).bind(cells=cells, **SMALL)
    with pytest.raises(ValueError, match="to cells of 5 edges and 8 ops. Received: a normal cell of 2 edges"):
        bound.expected(methods.Softmax(), ({}, {}), ((), ()), 0.0, cells_of("darts", 1))
    with pytest.raises(ValueError, match="no row for op 'max_pool_3x3', channels 8, side"):
        methods.ExpectedCost({("skip_connect", 4, 8, 1): 1.0}, channels=4, layers=2).bind(cells=cells, **SMALL)


def test_a_target_that_cannot_be_reached_is_refused_with_the_least():
    cells = cells_of("darts", 2)
    least = methods.ExpectedCost("params", channels=4, layers=3).bind(cells=cells, **SMALL).prices.least
    cheapest = kp.Genotype(*[(("max_pool_3x3", 0), ("max_pool_3x3", 1)) * 2] * 2, (2, 3), (2, 3))
    assert least == kp.analysis.complexity(kp.build_network(cheapest, channels=4, layers=3, **SMALL)).params
    with pytest.raises(ValueError, match=f"layers=3 costs {least:,.10g} .params.. Received: target=100"):
        methods.ExpectedCost("params", 100, channels=4, layers=3).bind(cells=cells, **SMALL)


def test_it_is_saved_without_its_prices():
    table = {("skip_connect", 4, (8, 4), 1): 0.5, ("skip_conn", 4, 8, 2): 1.5}
    penalty = methods.ExpectedCost(table, 3.0, methods.Linear(0, 1), "hinge", 4, 2)
    assert penalty.unit == (("skip_connect", 4, (8, 4), 1, 0.5), ("skip_connect", 4, (8, 8), 2, 1.5))
    config = keras.saving.serialize_keras_object(penalty)
    assert "prices" not in config["config"] and keras.saving.deserialize_keras_object(config) == penalty
