"""Genotypes from scores made by hand."""

import numpy as np
import pytest
import tensorflow as tf

import keras_pibnas as kp
from keras_pibnas import methods
from keras_pibnas.search.derive import derive_genotype, softmax

from .conftest import PRIMITIVES, cell_of

SPACE = kp.spaces.SearchSpace("three", PRIMITIVES)
SKIP, CONV = PRIMITIVES[1:]
# none, skip, conv; node 0 reads states 0 and 1, node 1 states 0, 1, 2
NORMAL = np.array([[0.1, 0.9, 0.3], [0.9, 0.2, 0.7], [0.1, 0.86, 0.4], [0.8, 0.1, 0.1], [0.2, 0.2, 0.84]])
REDUCE = np.array([[0.1, 0.2, 0.3], [0.9, 0.9, 0.9], [0.1, 0.85, 0.9], [0.8, 0.95, 0.1], [0.2, 0.87, 0.84]])


def test_top_edges():
    found = methods.TopEdges(2)((NORMAL, REDUCE), SPACE, 2)
    assert found.normal == ((SKIP, 0), (CONV, 1), (SKIP, 0), (CONV, 2))
    assert found.reduce == ((SKIP, 1), (CONV, 0), (SKIP, 1), (CONV, 0))
    assert found.normal_concat == found.reduce_concat == (2, 3)


def test_top_edges_derive_what_darts_derives():
    space = kp.spaces.get("pibconv")
    alphas = np.random.default_rng(0).normal(size=(2, 14, 10))
    want = derive_genotype(*alphas, space.primitives, 4)
    topology = type("Topology", (), {"nodes": 4, "inputs": 2})
    assert methods.TopEdges(2)([softmax(alpha) for alpha in alphas], space, topology) == want


def test_threshold():
    """At least 0.85: `none` fills what a node lacks, from the first state that is free."""
    found = methods.Threshold(0.85, 2)((NORMAL, REDUCE), SPACE, 2)
    assert found.normal == ((SKIP, 0), ("none", 1), (SKIP, 0), ("none", 1))
    assert found.reduce == ((SKIP, 1), ("none", 0), (SKIP, 1), (CONV, 0))
    one = methods.Threshold(0.9, 1)((NORMAL, REDUCE), SPACE, 2)
    assert one.reduce == ((SKIP, 1), ("none", 0), (SKIP, 1), ("none", 0))


def test_skips_are_limited_in_the_normal_cell_alone():
    """Three skips of 0.9, 0.86 and 0.6: with a limit of 2, edge 4 takes its convolution; with 1, edge 2 is the best
    of what is left (0.4 against edge 3's 0.1); with 0, edge 0 has its convolution."""
    scores = NORMAL.copy()
    scores[4] = [0.2, 0.6, 0.5]
    derive = lambda skips: methods.SkipLimited(skips)((scores, REDUCE), SPACE, 2)  # noqa: E731
    assert derive(3).normal == ((SKIP, 0), (CONV, 1), (SKIP, 0), (SKIP, 2))
    assert derive(2).normal == ((SKIP, 0), (CONV, 1), (SKIP, 0), (CONV, 2))
    assert derive(1).normal == ((SKIP, 0), (CONV, 1), (CONV, 2), (CONV, 0))
    assert derive(0).normal == ((CONV, 1), (CONV, 0), (CONV, 2), (CONV, 0))
    assert derive(0).reduce == methods.TopEdges()((NORMAL, REDUCE), SPACE, 2).reduce


@pytest.mark.parametrize("discretization", [methods.TopEdges(2), methods.TopEdges(1), methods.Threshold(0.85, 2)])
def test_kept_are_the_edges_that_are_derived(discretization):
    generator = np.random.default_rng(3)
    for _ in range(20):
        scores = np.round(generator.random((2, 9, 3)), 1)  # with many equal ones
        genotype = discretization(scores, SPACE, 3)
        for kind, table in zip(("normal", "reduce"), scores, strict=True):
            cell = cell_of(kind, nodes=3)
            mix = methods.genotype_mix(genotype, [cell_of(k, nodes=3) for k in ("normal", "reduce")])
            want = mix[kind == "reduce"].sum(axis=1) > 0
            np.testing.assert_array_equal(discretization.kept(tf.constant(table), cell), want)


def test_a_column_that_is_masked_is_not_derived():
    scores = np.zeros((5, 3))
    scores[:, 2] = [0.0, 0.5, 0.0, 0.0, 0.5]
    assert methods.TopEdges()((scores, scores), SPACE, 2).normal == ((CONV, 1), ("none", 0), (CONV, 2), ("none", 0))


def test_wrong_arguments_are_refused():
    with pytest.raises(
        ValueError, match=r"normal cell must have the shape \(5, 3\) of \(edges, ops\). Received: \(4, 3\)"
    ):
        methods.TopEdges()((NORMAL[:4], REDUCE), SPACE, 2)
    with pytest.raises(ValueError, match="Received: edges=3"):
        methods.TopEdges(3)
    with pytest.raises(ValueError, match="from 0 to 1. Received: least=1.5"):
        methods.Threshold(1.5)
    with pytest.raises(ValueError, match="Received: skips=-1"):
        methods.SkipLimited(-1)
