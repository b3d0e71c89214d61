"""What the library works around in Keras is still there.

A test that fails here says that a newer version has mended something, and that the workaround it names can go. Seen
with Keras 3.15.1.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import keras_pibnas as kp


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


HOOKS = {
    keras.Model: ("_symbolic_build", "_maybe_symbolic_build", "_flatten_layers"),
    keras.Optimizer: ("_backend_update_step", "_clip_gradients", "_all_reduce_sum_gradients", "_get_variable_index"),
}


@pytest.mark.parametrize(("owner", "name"), [(owner, name) for owner, names in HOOKS.items() for name in names])
def test_keras_still_has_the_hooks_that_are_overridden(owner, name):
    """keras_private.py names them."""
    assert callable(getattr(owner, name))


class Model(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)

    def call(self, x):
        return self.dense(x)


def test_keras_cannot_build_a_model_from_pairs_of_batches():
    """distribution.py, `_symbolic_build`: a search is fitted to ((x, y), (x_valid, y_valid))."""
    model = Model()
    model.compile("sgd", "mse", metrics=["mae"])
    pair = keras.KerasTensor((None, 2)), keras.KerasTensor((None, 1))
    with pytest.raises((RuntimeError, TypeError, ValueError)):
        keras.Model._symbolic_build(model, data_batch=(pair, pair))
    assert not model.optimizer.built
