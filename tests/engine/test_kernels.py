"""Small fast paths that ops are made of; the ops themselves are held in test_contract.py."""

import numpy as np
import pytest
import tensorflow as tf

from keras_pibnas.engine import kernels as primitives
from keras_pibnas.engine.kernels import concatenate, split
from keras_pibnas.engine.tensorflow import kernels as native


def images(*widths):
    generator = np.random.default_rng(0)
    return [tf.constant(generator.normal(size=(2, 3, 3, width)).astype("float32")) for width in widths]


@pytest.mark.parametrize("widths", ((2, 2, 2), (1, 3), (2,)))
@pytest.mark.parametrize("wrap", (lambda step: step, tf.function))
def test_concatenate_and_its_derivatives(widths, wrap):
    blocks = images(*widths)
    g = tf.constant(np.random.default_rng(1).normal(size=(2, 3, 3, sum(widths))).astype("float32"))

    @wrap
    def step():
        with tf.GradientTape() as outer:
            outer.watch(blocks)
            with tf.GradientTape() as tape:
                tape.watch(blocks)
                joined = concatenate(blocks)
                cubes = tf.reduce_sum(g * joined**3)
            slopes = tape.gradient(cubes, blocks)
        return joined, slopes, outer.gradient(slopes, blocks)

    joined, slopes, bends = step()
    np.testing.assert_array_equal(joined, np.concatenate(blocks, -1))
    np.testing.assert_allclose(np.concatenate(slopes, -1), 3 * g * joined**2, rtol=1e-5)
    np.testing.assert_allclose(np.concatenate(bends, -1), 6 * g * joined, rtol=1e-5)


def test_gradients_of_joined_blocks_stay_apart_in_a_graph():
    """oneDNN's one node for both gradients must not take the bias's from the block of the kernel."""
    left, right = images(2, 2)
    kernel, bias, (g,) = tf.ones((1, 1, 2, 2)), tf.ones(2), images(4)

    def gradients(kernel, bias):
        with tf.GradientTape() as tape:
            tape.watch([kernel, bias])
            joined = concatenate([native.convolution(left, kernel, 1, 1), native.bias_add(right, bias)])
            loss = tf.reduce_sum(g * joined)
        return tape.gradient(loss, [kernel, bias])

    for value, want in zip(tf.function(gradients)(kernel, bias), gradients(kernel, bias), strict=True):
        np.testing.assert_allclose(value, want, rtol=1e-5)
    np.testing.assert_allclose(want, tf.reduce_sum(g[..., 2:], (0, 1, 2)), rtol=1e-5)


def test_split():
    (x,) = images(6)
    for block, want in zip(split(x, 3), np.split(x, 3, -1), strict=True):
        np.testing.assert_array_equal(block, want)


def test_a_constant_is_made_once_in_a_graph():
    made = []

    def array(size):
        made.append(size)
        return np.arange(size)

    @tf.function
    def both(condition):
        first = native.constant(array, 3, dtype="float32")
        inside = tf.cond(condition, lambda: native.constant(array, 3, dtype="float32"), lambda: first)
        again = native.constant(array, 3, dtype="float32")
        return first + again + inside + tf.cast(native.constant(array, 3, dtype="int32"), "float32")

    assert both(tf.constant(True)).numpy().tolist() == [0.0, 4.0, 8.0]
    assert len(made) == 3  # the graph, the branch's graph, the other type
    assert native.constant(array, 2, dtype="float32").numpy().tolist() == [0.0, 1.0]


def test_products_in_float32_where_bfloat16_would_add_up_in_few_digits(monkeypatch):
    """As on a processor whose oneDNN has no bfloat16."""
    (x,) = images(4)
    functions = primitives.depthwise, primitives.pointwise, primitives.convolution
    shapes = dict(zip(functions, ((3, 3, 4, 1), (1, 1, 2, 6), (3, 3, 4, 5)), strict=True))
    generator = np.random.default_rng(1)
    kernels = {f: [tf.constant(generator.normal(size=shape), tf.bfloat16)] for f, shape in shapes.items()}
    narrow = tf.cast(x, tf.bfloat16)
    monkeypatch.setattr(native, "_onednn", lambda dtype="float32": False)
    for function, kernel in [*kernels.items(), (primitives.average_pool, [])]:
        got = function(narrow, *kernel)
        wide = function(*(tf.cast(tensor, tf.float32) for tensor in (narrow, *kernel)))
        assert got.dtype == tf.bfloat16
        np.testing.assert_array_equal(got, tf.cast(wide, tf.bfloat16))
