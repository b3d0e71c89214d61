"""What the library works around in Keras and TensorFlow is still there.

A test that fails here says that a newer version has mended something, and that the workaround it names can go. Seen
with Keras 3.15.1 and TensorFlow 2.21.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import keras_pibnas as kp
from keras_pibnas.engine.tensorflow.kernels import max_pool


def constant(*shape, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=shape))


def second_derivative_error(layer):
    """Of the Hessian of a loss times a direction, against central differences of the gradient; relative."""
    x, weighting, direction = (constant(4, 3, 3, 4, seed=seed) for seed in range(3))

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.nn.softplus(layer(x, training=True) * weighting))
        return tape.gradient(loss, x)

    with tf.GradientTape() as tape:
        tape.watch(x)
        product = tf.reduce_sum(gradient(x) * direction)
    difference = (gradient(x + 1e-6 * direction) - gradient(x - 1e-6 * direction)) / 2e-6
    return float(tf.norm(tape.gradient(product, x) - difference) / tf.norm(difference))


@pytest.mark.parametrize(
    ("ours", "keras_own"),
    (
        (kp.layers.BatchNorm, keras.layers.BatchNormalization),
        (kp.layers.LayerNorm, keras.layers.LayerNormalization),
    ),
)
def test_second_derivatives_of_keras_normalizations_are_wrong(ours, keras_own):
    """layers/batch_norm.py, layers/layer_norm.py: their variance stops the gradient through the mean."""
    assert second_derivative_error(keras_own(dtype="float64")) > 1e-3
    assert second_derivative_error(ours(dtype="float64")) < 1e-6


def xla_functions(function, *shapes):
    graph = tf.function(function, [tf.TensorSpec(shape) for shape in shapes]).get_concrete_function().graph
    return [f for f in graph.as_graph_def().library.function if f.attr["_XlaMustCompile"].b]


def test_keras_sends_grouped_convolutions_through_xla():
    """engine/kernels.py, `convolution`."""
    keras_own = lambda x, kernel: ops.conv(x, kernel, padding="same", data_format="channels_last")  # noqa: E731
    shapes = (2, 4, 4, 6), (3, 3, 2, 6)
    assert xla_functions(keras_own, *shapes)
    with kp.engine.use("plain"):
        assert not xla_functions(kp.engine.kernels.convolution, *shapes)


def test_keras_compiles_with_xla_unasked():
    """distribution.py, `compile(jit_compile=False)`: on a CPU, a search step then takes twenty times as long."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile()
    assert model.jit_compile


def test_second_derivatives_of_tensorflows_maximum_take_another_pixel():
    """engine/tensorflow/kernels.py, `max_pool`. The maximum is linear in x where it stays the same pixel's, so with
    J its matrix, the Hessian of sum(exp(y)) times v is J' exp(y) J v; all pixels are equal here."""
    x, v = tf.ones((1, 3, 3, 1)), tf.reshape(tf.range(9.0), (1, 3, 3, 1))

    def agrees(pool):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                loss = tf.reduce_sum(tf.exp(pool(x)))
            product = tf.reduce_sum(inner.gradient(loss, x) * v)
        rows = jacobian(pool)
        want = np.einsum("oi,o->i", rows, np.exp(1.0) * (rows @ np.ravel(v)))
        return np.allclose(np.ravel(outer.gradient(product, x)), want, rtol=1e-5)

    def jacobian(pool):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reshape(pool(x), (-1,))
        return tape.jacobian(y, x, experimental_use_pfor=False).numpy().reshape(9, 9)

    assert agrees(max_pool)
    assert not agrees(lambda x: tf.nn.max_pool2d(x, 3, 1, "SAME"))


def test_keras_cannot_build_a_model_from_pairs_of_batches():
    """distribution.py, `_symbolic_build`: a search is fitted to ((x, y), (x_valid, y_valid))."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    pair = keras.KerasTensor((None, 2)), keras.KerasTensor((None, 1))
    with pytest.raises((TypeError, ValueError)):
        keras.Model._symbolic_build(model, data_batch=(pair, pair))
    assert not model.optimizer.built
