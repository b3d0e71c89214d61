"""Involution against a slow loop written from its definition (arXiv:2103.06255, equations 4 and 5)."""

import numpy as np
import pytest
import tensorflow as tf

import keras_pibnas as kp
from keras_pibnas.engine import kernels as plain_kernels
from keras_pibnas.layers import Involution


def images(*shape, seed=0, dtype="float32"):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def averaged(x, strides):
    """Means of 2 x 2 pixels; at the far end of an odd side, of those that there are."""
    rows, columns = (range(0, side, strides) for side in x.shape[1:3])
    means = [[x[:, i : i + strides, j : j + strides].mean((1, 2)) for j in columns] for i in rows]
    return np.array(means).transpose(2, 0, 1, 3)


def generated(op, edge, x, training):
    """The kernels of an edge: (B, H', W', G, k, k)."""
    hidden, taps = op.channels // op.reduction, op.groups * op.kernel_size**2
    own = slice(edge * hidden, (edge + 1) * hidden)
    y = averaged(x, op.strides) @ op.reduce.numpy()[0, 0, :, own]
    norm = op.batch_norm
    mean, variance = (value.numpy()[own] for value in (norm.moving_mean, norm.moving_variance))
    if training:
        mean, variance = y.mean((0, 1, 2)), y.var((0, 1, 2))
    y = (y - mean) / np.sqrt(variance + 1e-5)
    y = y * norm.gamma.numpy()[own] + norm.beta.numpy()[own] if op.affine else y
    kernels = np.maximum(y, 0.0) @ op.span.numpy()[0, 0, :, edge * taps : (edge + 1) * taps]
    return kernels.reshape(*kernels.shape[:3], op.groups, op.kernel_size, op.kernel_size)


def one_edge(op, edge, x, training):
    kernels = generated(op, edge, x, training)
    batch, height, width, channels = x.shape
    y = np.zeros((*kernels.shape[:3], channels))
    for b, i, j, c in np.ndindex(*y.shape):
        for u, v in np.ndindex(op.kernel_size, op.kernel_size):
            row = i * op.strides + (u - op.kernel_size // 2) * op.dilation
            column = j * op.strides + (v - op.kernel_size // 2) * op.dilation
            if 0 <= row < height and 0 <= column < width:
                y[b, i, j, c] += kernels[b, i, j, c // (channels // op.groups), u, v] * x[b, row, column, c]
    return y


CASES = (
    {},
    {"strides": 2},
    {"kernel_size": 5, "dilation": 2},
    {"kernel_size": 5, "dilation": 2, "strides": 2},
    {"kernel_size": 7, "groups": 2, "affine": False},
    {"strides": 2, "groups": 4, "reduction": 2, "branches": 3},
    {"groups": 2, "reduction": 4, "branches": 4, "dilation": 2, "affine": False},
)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("sides", ((6, 6), (7, 5)), ids=str)
def test_the_definition(case, sides):
    settings = {"branches": 1, **case}
    op, x = Involution(4, **settings), images(2, *sides, 4)
    op.build(x.shape)
    for seed, weight in enumerate(op.weights):
        weight.assign(np.random.default_rng(seed).uniform(0.2, 1.2, weight.shape))
    op.reduce.assign(images(*op.reduce.shape, seed=8))
    mix = np.linspace(0.5, 1.5, op.branches).astype("float32")
    for training in (False, True):
        want = [mix[e] * one_edge(op, e, x, training) for e in range(op.branches)]
        got = op(x, weights=mix, training=training)
        np.testing.assert_allclose(got, np.concatenate(want, -1), atol=2e-5, rtol=2e-5)


def test_weights():
    """C C / r to reduce, 2 C / r of BN, C / r G k^2 to span; without gamma and beta where not affine."""
    for affine in (True, False):
        op = Involution(8, kernel_size=5, groups=2, reduction=4, affine=affine, branches=3)
        op.build((None, 6, 6, 8))
        one = 8 * 8 // 4 + 2 * 8 // 4 * affine + 8 // 4 * 2 * 5**2
        assert sum(int(np.prod(v.shape)) for v in op.trainable_variables) == 3 * one


@pytest.mark.parametrize("strides", (1, 2))
@pytest.mark.parametrize("dilation", (1, 2))
def test_derivatives_of_all_orders_equal_those_of_slices(strides, dilation):
    """The closed form against TensorFlow's derivatives of `patches`, on odd sides."""
    x, direction = (tf.constant(images(2, 7, 5, 2, seed=seed, dtype="float64")) for seed in (0, 1))
    sides = tuple(-(-side // strides) for side in (7, 5))
    kernels, other = (tf.constant(images(2, *sides, 3, 9, seed=seed, dtype="float64")) for seed in (2, 3))

    def plain(x, kernels, *how):
        return tf.matmul(kernels, plain_kernels.patches(x, *how))

    def derivatives(function):
        with tf.GradientTape(persistent=True) as outer:
            outer.watch((x, kernels))
            with tf.GradientTape() as inner:
                inner.watch((x, kernels))
                loss = tf.reduce_sum(tf.tanh(function(x, kernels, 3, strides, dilation)))
            first = inner.gradient(loss, (x, kernels))
            along = tf.reduce_sum(first[0] * direction), tf.reduce_sum(first[1] * other)
        return [*first, *outer.gradient(along[0], (x, kernels)), *outer.gradient(along[1], (x, kernels))]

    for ours, want in zip(derivatives(plain_kernels.weigh), derivatives(plain), strict=True):
        np.testing.assert_allclose(ours, want, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("wrong", "message"),
    (
        ({"kernel_size": 4}, "kernel_size of Involution must be odd and positive. Received: 4"),
        ({"groups": 3}, "groups of Involution must be a divisor of the 4 channels. Received: groups=3"),
        ({"reduction": 8}, "reduction .* divisor of the 4 channels. Received: reduction=8"),
        ({"reduction": 0}, "Received: reduction=0"),
        ({"dilation": 1.5}, "dilation of Involution must be a positive integer. Received: dilation=1.5"),
    ),
)
def test_wrong_arguments(wrong, message):
    with pytest.raises(ValueError, match=message):
        Involution(4, **wrong)


def test_names_in_the_readme():
    for alias, name in (("invo2d_3x3", "invo_3x3"), ("sep_invo_3x3", "invo_3x3"), ("sep_invo_7x7", "invo_7x7"),
                        ("dil_invo2d_5x5", "dil_invo_5x5"), ("skip_conn", "skip_connect")):  # fmt: skip
        assert kp.spaces.canonical(alias) == name
    op = kp.spaces.build_op("dil_invo2d_5x5", 4)
    assert (op.kernel_size, op.dilation, op.groups, op.reduction) == (5, 2, 1, 1)


INVOLUTIONS = {4: 4 + 4, 8: 3 + 3, 10: 4 + 4, 20: 3 + 1}  # so many in a normal and a reduction cell, by hand


@pytest.mark.parametrize("layers", INVOLUTIONS)
def test_published_genotypes_at_their_depths(layers):
    """Cells L // 3 and 2 L // 3 are reductions; the genotype of 8 layers is printed with names of convolutions."""
    network = kp.build_network(f"INVOLUTION_L{layers}", (16, 16, 1), channels=2, layers=layers)
    found = [layer for layer in network.layers if isinstance(layer, Involution)]
    genotype = kp.genotypes.get(f"INVOLUTION_L{layers}").resolved()
    normal, reduce = (sum("invo" in op for op, _ in pairs) for pairs in (genotype.normal, genotype.reduce))
    assert len(found) == (layers - 2) * normal + 2 * reduce
    assert normal + reduce == INVOLUTIONS[layers]
    assert not [layer for layer in network.layers if isinstance(layer, kp.layers.SepConv | kp.layers.DilConv)]
    assert network(images(2, 16, 16, 1)).shape == (2, 10)


def test_the_space_searches():
    """Both cells of a network of two are reductions, so only their alphas have a gradient."""
    supernet = kp.Supernet("involution", (8, 8, 1), num_classes=3, channels=2, layers=2, nodes=1, order=1)
    supernet.compile()
    batch = (tf.constant(images(4, 8, 8, 1)), tf.constant([0, 1, 2, 0]))
    gradient = supernet.alpha_gradients(batch, batch)[1].numpy()
    assert gradient.shape == (2, 9) and np.abs(gradient).min() > 0
    assert {op for op, _ in supernet.genotype().reduce} <= set(kp.spaces.get("involution").primitives)
