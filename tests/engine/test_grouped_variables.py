"""Variables in groups, against the same one by one."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pibnas import engine, optimizers
from keras_pibnas.engine.tensorflow import grouped_variables
from keras_pibnas.engine.tensorflow.calls import call

SHAPES = [(2, 3), (4,), ()] * 30  # more than one group


def variables():
    generator = np.random.default_rng(0)
    return [keras.Variable(generator.normal(size=shape).astype("float32")) for shape in SHAPES]


def test_read_and_assign():
    held = variables()
    before = [variable.numpy() for variable in held]

    @tf.function
    def double():
        assert grouped_variables.available()
        values = grouped_variables.read(held)
        assert [value.shape for value in values] == [variable.shape for variable in held]
        grouped_variables.assign(held, [2.0 * value for value in values])
        return grouped_variables.read(held)

    after = double()
    for old, new, variable in zip(before, after, held, strict=True):
        np.testing.assert_array_equal(new, 2.0 * old)
        np.testing.assert_array_equal(variable.numpy(), new)


def swapped(value, other, addend, factor):
    return other + addend, factor * value


@pytest.mark.parametrize("wrap", (tf.function, lambda step: step))
@pytest.mark.parametrize("name", ("plain", "tensorflow"))
def test_update(name, wrap):
    """Two variables at a time get what a function of both says; with nothing but them, too."""
    first, second = variables(), variables()
    start = [variable.numpy() for variable in first]
    addends = [tf.fill(shape, 3.0) for shape in SHAPES]

    @wrap
    def step():
        with engine.use(name):
            engine.current().update(swapped, first, second, tensors=[addends], scalars=[tf.constant(0.5)])
            engine.current().update(_doubled, first)

    step()
    for one, other, value in zip(first, second, start, strict=True):
        np.testing.assert_allclose(one, 2.0 * (value + 3.0), rtol=1e-6)
        np.testing.assert_allclose(other, 0.5 * value, rtol=1e-6)


def _doubled(value):
    return (2.0 * value,)


@pytest.mark.parametrize("clip", (None, 5.0, 1e6))
def test_sgd(clip):
    """In a graph in groups, eagerly one by one; the gradient's norm is between the two limits."""
    (after, preview), (want, want_preview) = (moved(clip, wrap) for wrap in (tf.function, lambda step: step))
    for one, other in zip([*after, *preview], [*want, *want_preview], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def moved(clip, wrap):
    """Variables after two steps, and where a third one would lead without clipping."""
    held = variables()
    gradients = [3.0 * tf.ones(shape) for shape in SHAPES]
    optimizer = optimizers.SGD(0.1, global_clipnorm=clip)
    optimizer.build(held)

    @wrap
    def step():
        optimizer.apply(gradients, held)
        optimizer.apply(gradients, held)
        return optimizer.virtual_step(gradients, held, grouped_variables.read(held))

    preview = step()
    return [variable.numpy() for variable in held], preview


@pytest.mark.parametrize("stateful", (False, True))
def test_call(stateful):
    moved = tf.Variable(0.0)

    @tf.function(input_signature=[tf.TensorSpec((None,)), tf.TensorSpec((), tf.int32)])
    def function(x, count):
        if stateful:
            moved.assign_add(1.0)
        return tf.tile(2.0 * x, [count]), count + 1

    function = function.get_concrete_function()
    nodes = []

    @tf.function
    def caller(x, count):
        results = call(function, [x, count, *function.captured_inputs])
        nodes.append(results[0].op)
        assert [result.shape.rank for result in results] == [None, None]  # TensorFlow has not looked for them
        assert [result.dtype for result in results] == [tf.float32, tf.int32]
        return results

    tiled, count = caller(tf.constant([1.0, 2.0]), tf.constant(2))
    assert nodes[0].type == ("StatefulPartitionedCall" if stateful else "PartitionedCall")
    np.testing.assert_array_equal(tiled, [2.0, 4.0, 2.0, 4.0])
    assert int(count) == 3 and float(moved) == float(stateful)
