"""The contract of every registered op; a newly registered one is tried without another word."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_pibnas as kp
from keras_pibnas.engine.tensorflow import kernels as native
from keras_pibnas.engine.tensorflow.derivatives import tapes_alone
from keras_pibnas.engine.tensorflow.jvp import jvp
from keras_pibnas.interop import torch_weights
from keras_pibnas.layers import BatchNorm

GOLDEN = np.load(Path(__file__).parent.parent / "golden" / "ops_C6.npz")
POOLS = ("max_pool_3x3", "avg_pool_3x3")
# Pools have two forms: alone, and followed by a batch normalization (supernets of the `darts` space).
# Noise is another one in every call: tests/layers/test_noise.py.
CASES = [(name, {}) for name in kp.spaces.op_names() if name != "noise"] + [(name, {"norm": True}) for name in POOLS]
every_op = pytest.mark.parametrize(("name", "extra"), CASES, ids=lambda value: str(value) if value else "")
both_strides = pytest.mark.parametrize("strides", (1, 2))


def images(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def make(name, channels, shape, **kwargs):
    """An op, built, with every weight (moving statistics too) at random."""
    op = kp.spaces.build_op(name, channels, **kwargs)
    op.build(shape)
    op.built = True
    randomize(op)
    return op


def randomize(op, seed=2):
    generator = np.random.default_rng(seed)
    for weight in op.weights:
        low, high = (-0.5, 0.5) if len(weight.shape) == 4 else (0.5, 1.5)
        weight.assign(generator.uniform(low, high, weight.shape))


def nhwc(array):
    return array.transpose(0, 2, 3, 1)


@every_op
@both_strides
def test_output_shape(name, extra, strides):
    op = make(name, 4, (None, 8, 8, 4), strides=strides, **extra)
    for sides in ((8, 8), (7, 6), (5, 7)):
        shape, want = (2, *sides, 4), (2, -(-sides[0] // strides), -(-sides[1] // strides), 4)
        assert op.compute_output_shape(shape) == want
        assert op.compute_output_shape((None, *shape[1:])) == (None, *want[1:])
        assert op(images(*shape)).shape == want
        assert op(keras.Input(shape[1:])).shape == (None, *want[1:])


@every_op
@both_strides
def test_batch_size_may_be_unknown(name, extra, strides):
    op = make(name, 4, (None, 6, 5, 4), strides=strides, **extra)
    compiled = tf.function(
        lambda x: op(x, training=True), input_signature=[tf.TensorSpec((None, 6, 5, 4))], autograph=False
    )
    x = images(3, 6, 5, 4)
    moved = [weight.numpy() for weight in op.non_trainable_variables]
    eager = op(x, training=True)
    for weight, value in zip(op.non_trainable_variables, moved, strict=True):
        weight.assign(value)
    np.testing.assert_allclose(compiled(x), eager, atol=1e-4)


def join(op, singles):
    """Writes the weights of several one-branch ops into the blocks of one op."""
    for weight, *parts in zip(op.weights, *(single.weights for single in singles), strict=True):
        (axis,) = (i for i, (a, b) in enumerate(zip(weight.shape, parts[0].shape, strict=True)) if a != b)
        weight.assign(np.concatenate([part.numpy() for part in parts], axis))


@every_op
@both_strides
@pytest.mark.parametrize("branches", (3, 4))
def test_branches_are_so_many_ops(name, extra, strides, branches):
    """Output and moving statistics of E branches are those of E ops."""
    x = images(2, 7, 6, 4)
    op = make(name, 4, x.shape, strides=strides, branches=branches, affine=not extra, **extra)
    singles = [make(name, 4, (2, 7, 6, 4), strides=strides, affine=not extra, **extra) for _ in range(branches)]
    for seed, single in enumerate(singles):
        randomize(single, seed)
    join(op, singles)
    mix = np.linspace(0.2, 0.8, branches).astype("float32")
    for training in (False, True):
        weighted = op(x, weights=mix, training=training)
        outputs = [single(x, training=training) for single in singles]
        want = np.concatenate([m * output for m, output in zip(mix, outputs, strict=True)], -1)
        np.testing.assert_allclose(weighted, want, atol=2e-5, rtol=1e-4)
    for weight, *parts in zip(op.weights, *(single.weights for single in singles), strict=True):
        joint = np.concatenate([part.numpy() for part in parts], 2 if "depthwise" in weight.name else -1)
        np.testing.assert_allclose(weight, joint, atol=1e-4, rtol=1e-4)


@every_op
def test_without_mix_every_branch_weighs_one(name, extra):
    op = make(name, 4, (2, 6, 6, 4), branches=2, **extra)
    x = images(2, 6, 6, 4)
    np.testing.assert_allclose(op(x), op(x, weights=np.ones(2, "float32")), atol=1e-5)


IN_REFERENCE = sorted({key.split("/")[0] for key in GOLDEN.files if "/" in key})


def test_reference_covers_the_published_ops():
    assert len(IN_REFERENCE) == 13
    assert set(IN_REFERENCE) <= set(kp.spaces.op_names())


@pytest.mark.parametrize("name", IN_REFERENCE)
@both_strides
def test_reference_arrays(name, strides):
    op = kp.spaces.build_op(name, 6, strides=strides)
    op.build((None, 8, 8, 6))
    op.built = True
    prefix = f"{name}/s{strides}/sd/"
    arrays = {f"op.{key[len(prefix) :]}": GOLDEN[key] for key in GOLDEN.files if key.startswith(prefix)}
    values = {}
    for key, variable, block, blocks in torch_weights._layer(op, "op"):
        torch_weights._place(values, key, arrays.pop(key), variable, block, blocks)
    assert not [key for key in arrays if not key.endswith("num_batches_tracked")]
    for variable, value in values.values():
        variable.assign(value)
    for side in (8, 7):
        want = nhwc(GOLDEN[f"{name}/s{strides}/y{side}_nchw"])
        np.testing.assert_allclose(op(nhwc(GOLDEN[f"x{side}_nchw"])), want, atol=1e-5)


@every_op
@both_strides
def test_config_round_trip(name, extra, strides):
    op = kp.spaces.build_op(name, 4, strides=strides, affine=False, branches=2, name="some_op", **extra)
    again = type(op).from_config(op.get_config())
    assert again.get_config() == op.get_config()
    assert (again.channels, again.strides, again.affine, again.branches) == (4, strides, False, 2)
    assert again.name == "some_op"


@every_op
@both_strides
def test_save_and_load(name, extra, strides, tmp_path):
    inputs = keras.Input((6, 5, 4))
    model = keras.Model(inputs, kp.spaces.build_op(name, 4, strides=strides, name="op", **extra)(inputs))
    randomize(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x = images(2, 6, 5, 4)
    np.testing.assert_array_equal(loaded(x), model(x))
    assert [weight.path for weight in loaded.weights] == [weight.path for weight in model.weights]


def batch_norms(op):
    """Those of an op and of the layers in it."""
    parts = [part for part in vars(op).values() if isinstance(part, keras.layers.Layer)]
    return [part for part in parts if isinstance(part, BatchNorm)] + [n for part in parts for n in batch_norms(part)]


@every_op
@both_strides
@pytest.mark.parametrize("narrow", ("bfloat16", "float16"))
def test_mixed_precision(name, extra, strides, narrow):
    policy = f"mixed_{narrow}"
    op = make(name, 4, (2, 6, 6, 4), strides=strides, branches=2, affine=not extra, dtype=policy, **extra)
    wide = make(name, 4, (2, 6, 6, 4), strides=strides, branches=2, affine=not extra, **extra)
    x, mix = images(2, 6, 6, 4), np.array((0.4, 0.6), "float32")
    assert {keras.backend.standardize_dtype(weight.dtype) for weight in op.weights} <= {"float32"}
    for training in (False, True):
        y = op(x, weights=mix, training=training)
        assert y.dtype == narrow
        want = wide(x, weights=mix, training=training)
        assert tf.norm(tf.cast(y, "float32") - want) <= 0.05 * tf.norm(want)
    for norm in batch_norms(op):
        assert norm.moving_variance.dtype == norm.moving_mean.dtype == "float32"


def alpha_gradient(op, x, values, mix, weighting):
    """d/d mix of `smooth_loss`, given the values of the weights."""
    first, *weights = values
    with tf.GradientTape() as tape:
        tape.watch(mix)
        loss = smooth_loss(op, x, first, weights, mix, weighting)
    return tape.gradient(loss, mix)


def smooth_loss(op, x, first, weights, mix, weighting):
    """mix (6,): four scales of the input, two weights of the branches; first: a linear map before the op."""
    state = [tf.convert_to_tensor(variable.value) for variable in op.non_trainable_variables]
    inputs = tf.tanh(tf.tensordot(x * mix[:4], first, 1))
    y, _ = op.stateless_call(weights, state, inputs, weights=mix[4:], training=True)
    return tf.reduce_sum(tf.nn.softplus(y * weighting))


def hessian_vector_product(op, x, values, mix, weighting, vectors):
    """d/d mix of (dL/d weights . vectors), by nested tapes."""
    with tf.GradientTape() as outer:
        outer.watch(mix)
        with tf.GradientTape() as inner:
            inner.watch(values)
            loss = smooth_loss(op, x, values[0], values[1:], mix, weighting)
        gradient = inner.gradient(loss, values, unconnected_gradients="zero")
        product = tf.add_n([tf.reduce_sum(g * v) for g, v in zip(gradient, vectors, strict=True)])
    return outer.gradient(product, mix)


def product_along(op, x, values, mix, weighting, vectors):
    """As `hessian_vector_product`, by the gradient of the loss's derivative along the vectors."""
    loss = lambda first, *weights: smooth_loss(op, x, first, weights, mix, weighting)  # noqa: E731
    with tapes_alone(), tf.GradientTape() as tape:
        tape.watch(mix)
        slope = jvp(loss, values, vectors).tangent
        return tape.gradient(slope, mix)


def problem(name, strides, extra, dtype):
    """An op of two branches and what its derivatives are taken at, in a float type."""
    generator = np.random.default_rng(3)
    shape = (3, 6, 6, 4)
    op = make(name, 4, shape, strides=strides, affine=not extra, branches=2, dtype=dtype, **extra)
    random = lambda *size: tf.constant(generator.normal(size=size), dtype)  # noqa: E731
    x, weighting = random(*shape), random(*op.compute_output_shape(shape))
    values = [random(4, 4), *(tf.convert_to_tensor(variable.value) for variable in op.trainable_variables)]
    vectors = [random(*value.shape) for value in values]
    mix = tf.constant(generator.uniform(0.5, 1.5, 6), dtype)
    return op, x, values, mix, weighting, vectors


def relative(a, b):
    a, b = (np.asarray(value, "float64") for value in (a, b))
    return np.linalg.norm(a - b) / np.linalg.norm(b)


DIFFERENTIABLE = [case for case in CASES if case[0] != "none"]
differentiable = pytest.mark.parametrize(
    ("name", "extra"), DIFFERENTIABLE, ids=lambda value: str(value) if value else ""
)


@differentiable
@both_strides
def test_derivatives_against_finite_differences(name, extra, strides):
    """Central differences in float64: the gradient from the loss, the second derivative from the gradient."""
    op, x, values, mix, weighting, vectors = problem(name, strides, extra, "float64")
    step = 1e-6
    plus, minus = ([w + sign * step * v for w, v in zip(values, vectors, strict=True)] for sign in (1, -1))
    product = hessian_vector_product(op, x, values, mix, weighting, vectors)
    difference = alpha_gradient(op, x, plus, mix, weighting) - alpha_gradient(op, x, minus, mix, weighting)
    assert relative(product, difference / (2 * step)) < 1e-6
    assert relative(product_along(op, x, values, mix, weighting, vectors), product) < 1e-9
    direction = tf.constant(np.random.default_rng(4).normal(size=6))
    points = [mix + sign * step * direction for sign in (1, -1)]
    losses = [smooth_loss(op, x, values[0], values[1:], point, weighting) for point in points]
    slope = tf.reduce_sum(alpha_gradient(op, x, values, mix, weighting) * direction)
    np.testing.assert_allclose((losses[0] - losses[1]) / (2 * step), slope, rtol=1e-6)


@differentiable
@both_strides
def test_fast_path_equals_plain_form(name, extra, strides, monkeypatch):
    """Output, gradient and second derivative (both ways) of TensorFlow's fast paths against the plain form, float32.

    Both forms' gradients are compared with the plain form's in float64: that by a kernel before a normalization is what
    is left of a sum that cancels, and processors round its terms differently in either form.
    """
    op, x, values, mix, weighting, vectors = problem(name, strides, extra, "float32")

    state = [variable.numpy() for variable in op.non_trainable_variables]

    def all_gradients(op, x, values, mix, weighting):
        with tf.GradientTape() as tape:
            tape.watch([x, mix, *values])
            loss = smooth_loss(op, x, values[0], values[1:], mix, weighting)
        return tape.gradient(loss, [x, mix, *values])

    def everything():
        gradients = all_gradients(op, x, values, mix, weighting)
        second = hessian_vector_product(op, x, values, mix, weighting, vectors)
        outputs = [
            op.stateless_call(values[1:], state, x, weights=mix[4:], training=training) for training in (False, True)
        ]
        return outputs, gradients, second

    outputs, gradients, second = everything()
    assert relative(product_along(op, x, values, mix, weighting, vectors), second) < 1e-4
    monkeypatch.setattr(native, "available", lambda x: False)
    plain_outputs, plain_gradients, plain_second = everything()
    for fast, plain in zip(tf.nest.flatten(outputs), tf.nest.flatten(plain_outputs), strict=True):
        np.testing.assert_allclose(fast, plain, atol=1e-4)
    wide_op = problem(name, strides, extra, "float64")[0]
    wide = tf.nest.map_structure(lambda value: tf.cast(value, "float64"), (x, values, mix, weighting))
    for form in (gradients, plain_gradients):
        for narrow, exact in zip(form, all_gradients(wide_op, *wide), strict=True):
            np.testing.assert_allclose(narrow, exact, atol=1e-4 * float(tf.norm(exact)) + 1e-4)
    assert relative(second, plain_second) < 1e-3


@every_op
def test_wrong_arguments(name, extra):
    for wrong in ({"channels": 0}, {"channels": 2.5}, {"strides": 3}, {"branches": 0}):
        ((argument, value),) = wrong.items()
        with pytest.raises(ValueError, match=f"{argument}.*{value}"):
            kp.spaces.build_op(name, **{"channels": 4} | wrong, **extra)


@every_op
@both_strides
def test_wrong_channels_of_the_input(name, extra, strides):
    for channels, branches in ((3, 1), (8, 2), (12, 2)):
        op = kp.spaces.build_op(name, 4, strides=strides, branches=branches, **extra)
        with pytest.raises(ValueError, match=rf"\(2, 6, 6, {channels}\)"):
            op(images(2, 6, 6, channels))


@pytest.mark.parametrize("layer", ("SepConv", "DilConv", "PIBConv", "PIBConvTable"))
def test_wrong_kernel_size(layer):
    for size in (0, 2, -3, 3.0):
        with pytest.raises(ValueError, match=f"kernel_size.*{size}"):
            getattr(kp.layers, layer)(4, kernel_size=size)


@pytest.mark.parametrize("expansion", (1.3, 0))
def test_wrong_expansion(expansion):
    with pytest.raises(ValueError, match=f"expansion={expansion}, channels=4"):
        kp.layers.PIBConv(4, expansion=expansion)


@pytest.mark.parametrize(("expansion", "hidden", "groups"), ((1, 4, 4), (3, 12, 4), (1.5, 6, 2)))
def test_expansion(expansion, hidden, groups):
    """Weights: 9 C depthwise, 2 C of BN, C * FC + FC * 9 * C / groups, C * C."""
    op = make("pib_conv_3x3", 4, (1, 6, 6, 4), expansion=expansion)
    assert op.count_params() - 2 * 4 == 9 * 4 + 2 * 4 + 4 * hidden + hidden * 9 * 4 // groups + 4 * 4
    assert op(images(1, 6, 6, 4)).shape == (1, 6, 6, 4)


def test_wrong_arguments_of_factorized_reduce():
    with pytest.raises(ValueError, match="channels must be even. Received: 3"):
        kp.layers.FactorizedReduce(3)
    with pytest.raises(ValueError, match="strides=1"):
        kp.layers.FactorizedReduce(4, strides=1)


class Plain(keras.layers.Layer):
    """A user's op that knows neither branches nor mix."""

    def __init__(self, channels, strides=1, affine=True, **kwargs):
        super().__init__(**kwargs)
        self.convolution = keras.layers.Conv2D(channels, 3, strides, "same")

    def build(self, input_shape):
        self.convolution.build(input_shape)

    def call(self, x):
        return self.convolution(x)


@both_strides
def test_plain_layers_as_ops(strides, registry):
    kp.spaces.register_op("plain", Plain)
    x = images(2, 7, 6, 4)
    op = make("plain", 4, x.shape, strides=strides, branches=2)
    y = op(x, weights=np.array((0.3, 0.7), "float32"))
    parts = [0.3 * op.copies[0](x), 0.7 * op.copies[1](x)]
    np.testing.assert_allclose(y, np.concatenate(parts, -1), atol=1e-6)
    assert op.compute_output_shape((2, 7, 6, 4)) == y.shape
    assert len(op.trainable_variables) == 4
