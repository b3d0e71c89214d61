"""The blocks of the roadmap against their definition, written with Keras's own functions."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_pibnas as kp
from keras_pibnas.layers import ConvNeXtConv, SepConvGELU, SepConvLayerNorm

CHANNELS, SIDE = 4, 6


def built(kind, **kwargs):
    """The block with every weight at random."""
    op = kind(CHANNELS, kernel_size=3, **kwargs)
    op.build((None, SIDE, SIDE, CHANNELS))
    op.built = True
    generator = np.random.default_rng(1)
    for weight in op.weights:
        weight.assign(generator.uniform(0.5, 1.5, weight.shape) - (len(weight.shape) == 4))
    return op


def images():
    return np.random.default_rng(2).normal(size=(2, SIDE, SIDE, CHANNELS)).astype("float32")


def gelu(x):
    return keras.activations.gelu(x, approximate=False)


def separable(x, depthwise, pointwise):
    x = ops.depthwise_conv(x, depthwise, 1, "same", data_format="channels_last")
    return ops.conv(x, pointwise, 1, "same", data_format="channels_last")


def batch_norm(x, norm):
    variance = ops.convert_to_tensor(norm.moving_variance)
    return (x - norm.moving_mean) / ops.sqrt(variance + 1e-5) * norm.gamma + norm.beta


def layer_norm(x, norm):
    reference = keras.layers.LayerNormalization(epsilon=1e-6)
    reference.build(x.shape)
    reference.set_weights([norm.gamma, norm.beta])
    return reference(x)


def test_gelu_and_batch_norm():
    op, x = built(SepConvGELU), images()
    inner = batch_norm(separable(gelu(x), op.depthwise_1, op.pointwise_1), op.batch_norm_1)
    want = batch_norm(separable(gelu(inner), op.depthwise_2, op.pointwise_2), op.batch_norm_2)
    np.testing.assert_allclose(op(x), want, atol=1e-5)


@pytest.mark.parametrize("training", (False, True))
def test_gelu_and_layer_norm(training):
    op, x = built(SepConvLayerNorm), images()
    inner = layer_norm(separable(gelu(x), op.depthwise_1, op.pointwise_1), op.layer_norm_1)
    want = layer_norm(separable(gelu(inner), op.depthwise_2, op.pointwise_2), op.layer_norm_2)
    np.testing.assert_allclose(op(x, training=training), want, atol=1e-5)


def test_convnext():
    op, x = built(ConvNeXtConv), images()
    x = ops.depthwise_conv(x, op.depthwise, 1, "same", data_format="channels_last")
    wide = gelu(ops.conv(batch_norm(x, op.batch_norm), op.pointwise_1, 1, data_format="channels_last"))
    want = ops.conv(wide, op.pointwise_2, 1, data_format="channels_last")
    np.testing.assert_allclose(op(images()), want, atol=1e-5)
    assert wide.shape[-1] == 4 * CHANNELS


def test_layer_norms_without_gamma_and_beta_have_no_weights():
    op = built(SepConvLayerNorm, affine=False)
    assert [weight.name for weight in op.weights] == ["depthwise_1", "pointwise_1", "depthwise_2", "pointwise_2"]


@pytest.mark.parametrize("kind", (SepConvGELU, SepConvLayerNorm, ConvNeXtConv))
def test_wrong_kernel_size(kind):
    with pytest.raises(ValueError, match=f"kernel_size of {kind.__name__} must be odd and positive. Received: 4"):
        kind(CHANNELS, kernel_size=4)


@pytest.mark.parametrize(
    ("name", "macs", "extra"),
    [
        # C = 4, 3 x 3, 36 pixels: two depthwise, two 1x1; GELU before each (2), two norms at 2 an element
        ("sep_conv_gelu_3x3", 36 * 2 * (9 * 4 + 4 * 4), 36 * 4 * (2 + 2 * 2)),
        ("sep_conv_layernorm_3x3", 36 * 2 * (9 * 4 + 4 * 4), 36 * 4 * (2 + 2 * 2)),
        # one depthwise, 4 -> 16 -> 4; one norm of 4 channels, GELU of 16
        ("convnext_3x3", 36 * (9 * 4 + 2 * 4 * 16), 36 * (2 * 4 + 16)),
    ],
)
def test_complexity(name, macs, extra):
    inputs = keras.Input((SIDE, SIDE, CHANNELS))
    count = kp.analysis.complexity(keras.Model(inputs, kp.spaces.build_op(name, CHANNELS)(inputs)))
    assert (count.macs, count.extra) == (macs, extra)
