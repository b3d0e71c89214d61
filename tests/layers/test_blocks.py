"""Blocks against what their papers draw, put together from TensorFlow's convolutions; odd sides, inference."""

import numpy as np
import pytest
import tensorflow as tf

from keras_pibnas import layers
from keras_pibnas.layers.blocks import shuffle


def images(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def built(op, seed=1):
    """The op, every weight and moving statistic at random."""
    op.build((None, 7, 6, op.channels))
    op.built = True
    for index, weight in enumerate(op.weights):
        generator = np.random.default_rng((seed, index))
        low = -0.5 if len(weight.shape) == 4 else 0.5
        weight.assign(generator.uniform(low, 1.5, weight.shape))
    return op


def conv_bn(part, x, strides=1, groups=1):
    """Symmetric padding, convolution (channel by channel group by group), normalization with moving statistics."""
    kernel = part.kernel.numpy()
    edge = kernel.shape[0] // 2
    x = np.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0)))
    if part.depthwise:
        kernel = kernel.transpose(0, 1, 3, 2)
    parts = zip(np.split(x, groups, -1), np.split(kernel, groups, -1), strict=True)
    y = np.concatenate([tf.nn.conv2d(a, k, strides, "VALID") for a, k in parts], -1)
    norm = part.batch_norm
    scale = norm.gamma.numpy() / np.sqrt(norm.moving_variance.numpy() + 1e-5)
    return (y - norm.moving_mean.numpy()) * scale + norm.beta.numpy()


def relu(x, most=np.inf):
    return np.clip(x, 0.0, most)


both_strides = pytest.mark.parametrize("strides", (1, 2))


@both_strides
@pytest.mark.parametrize(("size", "groups"), ((3, 1), (5, 2), (1, 4), (3, 8), (1, 1)))
def test_convolutions(size, groups, strides):
    op, x = built(layers.Conv(8, strides, kernel_size=size, groups=groups)), images(2, 7, 6, 8)
    assert op.conv.depthwise == (groups == 8)
    np.testing.assert_allclose(op(x), conv_bn(op.conv, relu(x), strides, groups), atol=1e-4)
    if groups == 8:
        assert layers.depthwise_conv(8, strides).get_config()["groups"] == 8


@both_strides
def test_linear(strides):
    op, x = built(layers.Linear(5, strides)), images(2, 7, 6, 5)
    want = x[:, ::strides, ::strides] @ op.weight.numpy()[0, 0] + op.bias.numpy()
    np.testing.assert_allclose(op(x), want, atol=1e-5)
    plain = built(layers.Linear(5, affine=False))
    np.testing.assert_allclose(plain(x), x @ plain.weight.numpy()[0, 0], atol=1e-5)
    assert len(plain.weights) == 1


@both_strides
@pytest.mark.parametrize(("reduction", "groups", "hidden"), ((4, 1, 2), (2, 4, 4), (4, 4, 4), (3, 1, 3)))
def test_bottleneck(reduction, groups, hidden, strides):
    op, x = built(layers.Bottleneck(8, strides, reduction=reduction, groups=groups)), images(2, 7, 6, 8)
    assert op.hidden == hidden
    y = relu(conv_bn(op.reduce, x))
    y = relu(conv_bn(op.conv, y, strides, groups))
    shortcut = x if strides == 1 else conv_bn(op.project, x, 2)
    np.testing.assert_allclose(op(x), relu(conv_bn(op.expand, y) + shortcut), atol=1e-4)


@both_strides
def test_separable_block(strides):
    op, x = built(layers.SeparableBlock(8, strides, kernel_size=5)), images(2, 7, 6, 8)
    y = relu(conv_bn(op.depthwise, x, strides, groups=8))
    np.testing.assert_allclose(op(x), relu(conv_bn(op.pointwise, y)), atol=1e-4)


@both_strides
def test_inverted_residual(strides):
    op, x = built(layers.InvertedResidual(4, strides, expansion=3)), images(2, 7, 6, 4)
    y = relu(conv_bn(op.expand, x), 6.0)
    y = relu(conv_bn(op.depthwise, y, strides, groups=12), 6.0)
    assert y.max() == 6.0  # the clipping is tried
    want = conv_bn(op.project, y) + (x if strides == 1 else 0.0)
    np.testing.assert_allclose(op(x), want, atol=1e-4)


def averaged(x):
    """3x3 averages around every second pixel, of the pixels that there are."""
    rows, columns = (range(0, side, 2) for side in x.shape[1:3])
    window = lambda i, j: x[:, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]  # noqa: E731
    return np.array([[window(i, j).mean((1, 2)) for j in columns] for i in rows]).transpose(2, 0, 1, 3)


@both_strides
def test_shuffle_unit(strides):
    op, x = built(layers.ShuffleUnit(12, strides, groups=3, reduction=2)), images(2, 7, 6, 12)
    y = relu(conv_bn(op.reduce, x, groups=3))
    y = y[..., [0, 2, 4, 1, 3, 5]]  # three groups of two: the first of each, then the second of each
    y = conv_bn(op.depthwise, y, strides, groups=6)
    shortcut = x if strides == 1 else averaged(x)
    np.testing.assert_allclose(op(x), relu(conv_bn(op.expand, y, groups=3) + shortcut), atol=1e-4)


def test_channel_shuffle_of_two_branches():
    x = np.arange(8, dtype="float32").reshape(1, 1, 1, 8)
    np.testing.assert_array_equal(np.ravel(shuffle(tf.constant(x), 2, 2)), (0, 2, 1, 3, 4, 6, 5, 7))


@pytest.mark.parametrize(
    ("make", "message"),
    (
        (lambda: layers.Conv(4, groups=3), "groups of Conv .* divisor of the 4 channels. Received: groups=3"),
        (lambda: layers.Conv(4, kernel_size=2), "kernel_size of Conv must be odd and positive. Received: 2"),
        (lambda: layers.Bottleneck(4, reduction=0), "reduction of Bottleneck .* Received: reduction=0"),
        (lambda: layers.Bottleneck(4, groups=1.5), "groups of Bottleneck .* Received: groups=1.5"),
        (lambda: layers.InvertedResidual(4, expansion=2.5), "Received: expansion=2.5"),
        (lambda: layers.ShuffleUnit(4, groups=3), "groups of ShuffleUnit .* Received: groups=3"),
        (lambda: layers.SeparableBlock(4, kernel_size=4), "kernel_size of SeparableBlock"),
    ),
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
