"""Batch normalization: PyTorch's statistics, precision, derivatives, replicas."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pibnas.engine.kernels import pointwise
from keras_pibnas.engine.replicas import replica_count, replica_moments, replica_sum
from keras_pibnas.engine.tensorflow import kernels as native
from keras_pibnas.layers import BatchNorm


def images(*shape, mean=0.0, deviation=1.0, dtype="float32"):
    return np.random.default_rng(0).normal(mean, deviation, shape).astype(dtype)


def test_training_output_and_moving_statistics():
    """Output from the biased variance; moving = 0.9 old + 0.1 batch, the variance from the unbiased one."""
    x = images(3, 4, 5, 2, mean=(2.0, -1.0), deviation=(0.5, 3.0))
    norm = BatchNorm()
    y = norm(x, training=True)
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(variance + 1e-5), atol=1e-5)
    count = 3 * 4 * 5
    np.testing.assert_allclose(norm.moving_mean, 0.9 * 0.0 + 0.1 * mean, atol=1e-6)
    np.testing.assert_allclose(norm.moving_variance, 0.9 * 1.0 + 0.1 * variance * count / (count - 1), rtol=1e-5)


def test_inference_assigns_nothing():
    norm = BatchNorm()
    x = images(2, 3, 3, 2)
    norm.build(x.shape)
    for weight, value in zip(norm.weights, ((2.0, 3.0), (0.5, -0.5), (1.0, 2.0), (4.0, 9.0)), strict=True):
        weight.assign(value)
    want = (x - (1.0, 2.0)) / np.sqrt(np.array((4.0, 9.0)) + 1e-5) * (2.0, 3.0) + (0.5, -0.5)
    np.testing.assert_allclose(norm(x), want, atol=1e-5)
    np.testing.assert_array_equal(norm.moving_mean, (1.0, 2.0))
    np.testing.assert_array_equal(norm.moving_variance, (4.0, 9.0))


def test_momentum_and_epsilon():
    x = images(8, 3)
    norm = BatchNorm(affine=False, momentum=0.25, epsilon=0.5)
    np.testing.assert_allclose(norm(x, training=True), (x - x.mean(0)) / np.sqrt(x.var(0) + 0.5), atol=1e-5)
    np.testing.assert_allclose(norm.moving_mean, 0.75 * x.mean(0), atol=1e-6)
    np.testing.assert_allclose(norm.moving_variance, 0.25 + 0.75 * x.var(0, ddof=1), rtol=1e-5)
    assert norm.gamma is norm.beta is None
    assert BatchNorm.from_config(norm.get_config()).get_config() == norm.get_config()


def test_one_value_a_channel_has_no_variance():
    norm = BatchNorm()
    np.testing.assert_array_equal(norm(np.ones((1, 1, 1, 2), "float32"), training=True), np.zeros((1, 1, 1, 2)))
    np.testing.assert_allclose(norm.moving_variance, (0.9, 0.9))


def test_mix_multiplies_blocks_of_channels():
    x = images(2, 3, 3, 6)
    want = np.array(BatchNorm()(x, training=True)) * np.repeat((0.5, 2.0, -1.0), 2)
    np.testing.assert_allclose(BatchNorm()(x, weights=tf.constant((0.5, 2.0, -1.0)), training=True), want, atol=1e-5)


def test_large_mean_and_small_variance():
    """Around 1000 float32 is spaced 6e-5 apart: a variance from the sum of squares (1e6) would be lost."""
    x = images(4, 6, 6, 3, mean=1000.0, deviation=0.1)
    exact = x.astype("float64")
    want = (exact - exact.mean((0, 1, 2))) / np.sqrt(exact.var((0, 1, 2)) + 1e-5)
    norm = BatchNorm()
    np.testing.assert_allclose(norm(x, training=True), want, atol=1e-2)
    np.testing.assert_allclose(norm.moving_variance, 0.9 + 0.1 * exact.var((0, 1, 2), ddof=1), atol=1e-5)


@pytest.mark.parametrize("fast", (True, False), ids=("native", "plain"))
def test_folded_into_a_convolution(fast, monkeypatch):
    """1x1 convolution and normalization in one, against the two in float64; mean 1000."""
    if not fast:
        monkeypatch.setattr(native, "available", lambda x: False)
    x, kernel = images(4, 6, 6, 3, mean=1000.0, deviation=0.5), images(1, 1, 3, 4)
    norm = BatchNorm()
    norm.build_for(4)
    y = norm.of_pointwise(tf.constant(x), tf.constant(kernel), training=True)
    plain = np.einsum("bhwi,io->bhwo", x.astype("float64"), kernel[0, 0].astype("float64"))
    want = (plain - plain.mean((0, 1, 2))) / np.sqrt(plain.var((0, 1, 2)) + 1e-5)
    np.testing.assert_allclose(y, want, atol=1e-2)
    np.testing.assert_allclose(norm.moving_mean, 0.1 * plain.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, 0.9 + 0.1 * plain.var((0, 1, 2), ddof=1), atol=1e-3)


def test_folded_inference_equals_the_two_layers():
    x, kernel = images(2, 3, 3, 4), images(1, 1, 2, 6)  # two groups: 2 inputs, 3 outputs each
    norm = BatchNorm()
    norm.build_for(6)
    for seed, weight in enumerate(norm.weights):
        weight.assign(np.random.default_rng(seed).uniform(0.5, 1.5, 6))
    y = norm.of_pointwise(tf.constant(x), tf.constant(kernel))
    np.testing.assert_allclose(y, norm(pointwise(tf.constant(x), tf.constant(kernel))), atol=1e-5)


def test_second_derivative():
    """d2/dx2 in a direction, against central differences of the gradient, float64."""
    x, weighting, direction = (tf.constant(np.random.default_rng(seed).normal(size=(3, 2, 2, 2))) for seed in range(3))
    norm = BatchNorm(dtype="float64")

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.nn.softplus(norm(x, training=True) * weighting))
        return tape.gradient(loss, x)

    with tf.GradientTape() as outer:
        outer.watch(x)
        product = tf.reduce_sum(gradient(x) * direction)
    exact = outer.gradient(product, x)
    difference = (gradient(x + 1e-6 * direction) - gradient(x - 1e-6 * direction)) / 2e-6
    assert float(tf.norm(exact - difference) / tf.norm(difference)) < 1e-6


def test_one_kernel_and_its_derivatives_equal_the_plain_form():
    """Values, first and second derivatives by all inputs, in float32 with the kernel against float64 without."""

    def derivatives(dtype):
        drawn = (np.random.default_rng(seed).normal(size=s) for seed, s in enumerate([(4, 5, 6, 3)] * 3 + [(3,)] * 4))
        x, g, u, p, q, *weights = (tf.constant(value, dtype) for value in drawn)
        norm = BatchNorm(dtype=dtype)
        norm.build_for(3)
        for variable, value in zip((norm.gamma, norm.beta), weights, strict=True):
            variable.assign(value)
        sources = [x + 3.0, norm.gamma.value, norm.beta.value]
        with tf.GradientTape() as outer:
            outer.watch([g, *sources])
            with tf.GradientTape() as inner:
                inner.watch(sources)
                y = norm(sources[0], training=True)
            first = inner.gradient(y, sources, output_gradients=g)
            value = sum(tf.reduce_sum(d * v) for d, v in zip((*first, tf.sin(y)), (u, p, q, 1.0), strict=True))
        return [y, *first, *outer.gradient(value, [g, *sources])]

    for fast, exact in zip(derivatives("float32"), derivatives("float64"), strict=True):
        np.testing.assert_allclose(fast, exact, atol=2e-5 * float(tf.reduce_max(tf.abs(exact))))


@pytest.mark.parametrize("policy", ("mixed_bfloat16", "mixed_float16"))
def test_statistics_stay_wide_under_mixed_precision(policy):
    x = images(4, 4, 4, 2, mean=300.0)  # bfloat16 is spaced 2 apart there, and float16 cannot hold 300^2
    norm = BatchNorm(dtype=policy)
    y = norm(x, training=True)
    assert y.dtype == keras.DTypePolicy(policy).compute_dtype
    assert {weight.dtype for weight in norm.weights} == {"float32"}
    seen = np.array(tf.cast(tf.cast(x, y.dtype), "float64"))
    np.testing.assert_allclose(norm.moving_variance, 0.9 + 0.1 * seen.var((0, 1, 2), ddof=1), rtol=1e-3)


def test_without_a_strategy_there_is_one_replica():
    value = tf.constant((1.0, 2.0))
    assert replica_count() == 1
    assert replica_sum([value])[0] is value
    assert replica_moments(value, value, 3) == (value, value, 3)


TWO_REPLICAS = """
import numpy as np, tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
from keras_pibnas.layers import BatchNorm
x = np.random.default_rng(0).normal((2.0, -1.0), 2.0, (6, 3, 3, 2)).astype("float32")
plain = BatchNorm()
want = plain(x, training=True)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    norm = BatchNorm(synchronized=True)
    norm.build(x.shape)
parts = strategy.experimental_distribute_values_from_function(
    lambda context: tf.constant(x[:4] if context.replica_id_in_sync_group == 0 else x[4:]))
y = strategy.run(tf.function(lambda x: norm(x, training=True), autograph=False), (parts,))
np.testing.assert_allclose(np.concatenate([part.numpy() for part in y.values]), want, atol=1e-5)
for one, other in zip(norm.weights, plain.weights):
    for copy in one.value.values:
        np.testing.assert_allclose(copy.numpy(), other.numpy(), atol=1e-6)
print("equal")
"""


def test_two_replicas_of_unequal_size_see_one_batch():
    """4 and 2 images on two replicas: output and moving statistics of the batch of 6."""
    done = subprocess.run([sys.executable, "-c", TWO_REPLICAS], capture_output=True, text=True, env=os.environ)
    assert done.stdout.strip() == "equal", done.stderr
