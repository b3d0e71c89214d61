"""Functions cut out of a graph."""

import gc

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from keras_pibnas.search.cut import CutFunction, origin


def cut_of(function, *signature):
    """The function, cut out of its own graph, and what it captured."""
    traced = tf.function(function, signature, autograph=False).get_concrete_function()
    return CutFunction(traced.inputs, [origin(tensor) for tensor in traced.outputs]), traced.captured_inputs


def called(cut, *tensors):
    return [result.numpy() for result in tf.function(lambda: cut([*tensors]), autograph=False)()]


def test_inputs_passed_on_outputs_of_many_parts_and_loops():
    def function(x, count):
        left, right = tf.split(x, 2, axis=1)
        i, powers = tf.while_loop(lambda i, y: i < count, lambda i, y: (i + 1, right * y), (0, right))
        values, indices = tf.math.top_k(powers)
        return x, right, tf.add_n([left, powers]), values, indices + i

    x = tf.constant([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    cut, captured = cut_of(function, tf.TensorSpec((None, 4)), tf.TensorSpec((), tf.int32))
    for got, want in zip(called(cut, x, tf.constant(2), *captured), function(x, tf.constant(2)), strict=True):
        np.testing.assert_array_equal(got, want)


def test_from_the_middle_of_a_graph():
    traced = tf.function(lambda x: tf.exp(tf.sin(x)), [tf.TensorSpec(())]).get_concrete_function()
    last = origin(traced.outputs[0])
    cut = CutFunction([last.op.inputs[0]], [last])
    assert [node.op for node in cut.definition.node_def] == ["Exp"]
    np.testing.assert_allclose(called(cut, tf.constant(2.0)), [np.exp(2.0)], rtol=1e-6)


def test_what_has_a_state_waits_as_it_did():
    variable = tf.Variable(1.0)

    @tf.function
    def move(x):
        variable.assign_add(x)
        return 2.0 * x

    cut, captured = cut_of(lambda x: (move(x), variable.read_value()), tf.TensorSpec(()))
    awaited = {node.op: [name for name in node.input if name.startswith("^")] for node in cut.definition.node_def}
    assert cut.definition.signature.is_stateful
    assert len(awaited["StatefulPartitionedCall"]) == 0 and len(awaited["ReadVariableOp"]) == 1
    assert called(cut, tf.constant(3.0), *captured) == [6.0, 4.0]


def test_random_numbers_are_drawn_twice_where_they_were():
    def function(x):
        return x + tf.random.uniform((4,)), x + tf.random.uniform((4,)), x + 1.0, x + 1.0

    cut, _ = cut_of(function, tf.TensorSpec((4,)))
    assert sorted(node.op for node in cut.definition.node_def).count("RandomUniform") == 2
    first, second, third, fourth = called(cut, tf.zeros(4))
    assert np.abs(first - second).max() > 0 and np.array_equal(third, fourth)


@pytest.mark.parametrize("used", (False, True))
def test_tensorflow_keeps_no_function_that_nobody_has(used):
    cut, _ = cut_of(lambda x: x + 1.0, tf.TensorSpec(()))
    name = cut.name
    if used:
        assert called(cut, tf.constant(1.0)) == [2.0]
    assert context.context().has_function(name)
    del cut
    gc.collect()
    assert not context.context().has_function(name)
