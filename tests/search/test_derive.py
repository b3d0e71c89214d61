"""Genotypes from alphas made by hand. DARTS, section 2.4."""

import numpy as np

import keras_pibnas as kp
from keras_pibnas.search.derive import derive_genotype, softmax

OPS = ("none", "skip_connect", "sep_conv_3x3")


def test_softmax():
    np.testing.assert_allclose(softmax([[0.0, np.log(3.0)], [1000.0, 1000.0]]), [[0.25, 0.75], [0.5, 0.5]])


def test_two_nodes():
    normal = np.log(
        [
            [0.1, 0.6, 0.3],  # node 0: both edges stay, the stronger one first
            [0.1, 0.2, 0.7],
            [0.1, 0.5, 0.4],  # node 1 from state 0: 0.5
            [0.8, 0.1, 0.1],  # from state 1: none is strong, the rest weak
            [0.2, 0.2, 0.6],  # from state 2: 0.6
        ]
    )
    reduce = np.log(
        [[0.98, 0.01, 0.01], [0.2, 0.4, 0.4], [0.4, 0.35, 0.25], [0.4, 0.25, 0.35], [0.4, 0.3, 0.3]]
    )  # ties: the first op of row 1, the first edges of node 1
    genotype = derive_genotype(normal, reduce, OPS, 2)
    assert genotype == kp.Genotype(
        normal=(("sep_conv_3x3", 1), ("skip_connect", 0), ("sep_conv_3x3", 2), ("skip_connect", 0)),
        reduce=(("skip_connect", 1), ("skip_connect", 0), ("skip_connect", 0), ("sep_conv_3x3", 1)),
        normal_concat=(2, 3),
        reduce_concat=(2, 3),
    )


def test_none_counts_in_the_softmax_but_is_never_chosen():
    """Row 0 has the larger alpha for its op, row 2 the larger weight after the softmax with none."""
    alpha = np.array([[5.0, 2.0], [0.0, 0.1], [0.0, 0.2]])
    both = np.vstack([alpha[1:], alpha])  # node 0 reads two states, node 1 three
    genotype = derive_genotype(both, both, ("none", "skip_connect"), 2)
    assert genotype.normal[2:] == (("skip_connect", 2), ("skip_connect", 1))


def test_none_may_stand_anywhere_or_be_missing():
    alpha = np.array([[0.0, 3.0, 1.0], [2.0, 3.0, 0.0]])
    assert derive_genotype(alpha, alpha, ("max_pool_3x3", "none", "skip_connect"), 1).normal == (
        ("max_pool_3x3", 1),
        ("skip_connect", 0),
    )
    assert derive_genotype(alpha[:, :2], alpha[:, :2], ("max_pool_3x3", "skip_connect"), 1).normal == (
        ("skip_connect", 0),
        ("skip_connect", 1),
    )
