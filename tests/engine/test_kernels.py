"""The TensorFlow engine's kernels against the plain ones; ops themselves are in tests/layers/test_contract.py."""

from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from keras_pibnas import engine
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


def depthwise(size, strides=1, dilation=1):
    return partial(primitives.depthwise, strides=strides, dilation=dilation), [(size, size, 4, 1)]


def convolution(shape, strides=1, dilation=1):
    return partial(primitives.convolution, strides=strides, dilation=dilation), [shape]


def weigh(size, strides, dilation):
    sides = (2, -(-7 // strides), -(-6 // strides))
    return partial(primitives.weigh, size=size, strides=strides, dilation=dilation), [(*sides, 3, size * size)]


# (Function of images (2, 7, 6, 4) and further tensors, the shapes of these.)
KERNELS = {
    "depthwise 1": depthwise(1), "depthwise 3": depthwise(3), "depthwise 5": depthwise(5), "depthwise 7": depthwise(7),
    "depthwise 3, stride 2": depthwise(3, 2), "depthwise 7, stride 2": depthwise(7, 2),
    "depthwise 3, dilated": depthwise(3, 1, 2), "depthwise 5, dilated": depthwise(5, 1, 2),
    "depthwise 5, dilated, stride 2": depthwise(5, 2, 2),
    "pointwise": (primitives.pointwise, [(1, 1, 4, 6)]), "pointwise in groups": (primitives.pointwise, [(1, 1, 2, 6)]),
    "convolution": convolution((3, 3, 4, 6)), "convolution in groups": convolution((3, 3, 2, 6)),
    "convolution 1 x 7, stride 2": convolution((1, 7, 4, 4), (1, 2)), "convolution 2 x 2": convolution((2, 2, 4, 6), 2),
    "convolution, dilated": convolution((3, 3, 2, 4), 1, 2),
    "bias_add": (primitives.bias_add, [(4,)]), "scaled": (primitives.scaled, [(4,)]),
    "max_pool": (partial(primitives.max_pool, training=True), []),
    "max_pool, stride 2": (partial(primitives.max_pool, strides=2, training=True), []),
    "average_pool": (partial(primitives.average_pool, training=True), []),
    "average_pool, stride 2": (partial(primitives.average_pool, strides=2, training=True), []),
    "every_second": (primitives.every_second, []), "even": (primitives.even, []), "halved": (primitives.halved, []),
    "tile": (partial(primitives.tile, channels=4, branches=3), []),
    "split, concatenate": (lambda x, y: primitives.concatenate([*primitives.split(x, 2), y]), [(2, 7, 6, 3)]),
    "add_n": (lambda x, y: primitives.add_n([x, y, x]), [(2, 7, 6, 4)]),
    "gelu": (primitives.gelu, []), "gelu_pointwise": (primitives.gelu_pointwise, [(1, 1, 2, 6)]),
    "weigh": weigh(3, 1, 1), "weigh, stride 2": weigh(3, 2, 1), "weigh, dilated": weigh(5, 1, 2),
}  # fmt: skip


def derivatives(function, tensors, dtype):
    """The value, the gradient of the sum of its sines by all tensors, and that of the sum of the gradient's cosines."""
    tensors = [tf.constant(tensor, dtype) for tensor in tensors]
    with tf.GradientTape() as outer:
        outer.watch(tensors)
        with tf.GradientTape() as inner:
            inner.watch(tensors)
            y = function(*tensors)
            loss = tf.reduce_sum(tf.sin(y))
        first = inner.gradient(loss, tensors)
        slope = tf.add_n([tf.reduce_sum(tf.cos(g)) for g in first])
    return [y, *first, *outer.gradient(slope, tensors, unconnected_gradients="zero")]


@pytest.mark.parametrize("name", KERNELS)
def test_values_and_two_derivatives_equal_the_plain_ones(name):
    """In float32, on odd sides, against the plain engine's in float64."""
    function, shapes = KERNELS[name]
    generator = np.random.default_rng(0)
    tensors = [generator.normal(size=shape) for shape in ((2, 7, 6, 4), *shapes)]
    with engine.use("plain"):
        wanted = derivatives(function, tensors, "float64")
    with engine.use("tensorflow"):
        found = [derivatives(function, tensors, dtype) for dtype in ("float32", "float64")]
    for form, tolerance in zip(found, (1e-4, 1e-10), strict=True):
        for got, want in zip(form, wanted, strict=True):
            assert tf.norm(tf.cast(got, "float64") - want) <= tolerance * (tf.norm(want) + 1e-3)


@pytest.mark.parametrize("dtype", ("float16", "bfloat16"))
@pytest.mark.parametrize("name", [name for name in KERNELS if "dilated" not in name])
def test_values_in_low_precision(name, dtype):
    """Of either engine, to the digits that the type has: 8 bits of bfloat16 are 0.4 %."""
    function, shapes = KERNELS[name]
    generator = np.random.default_rng(0)
    tensors = [tf.constant(generator.normal(size=shape), dtype) for shape in ((2, 7, 6, 4), *shapes)]
    with engine.use("plain"):
        want = function(*(tf.cast(tensor, "float64") for tensor in tensors))
    for used in ("plain", "tensorflow"):
        with engine.use(used):
            got = function(*tensors)
        assert got.dtype == dtype
        assert tf.norm(tf.cast(got, "float64") - want) < 0.01 * tf.norm(want)
