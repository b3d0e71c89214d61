"""Functions cut out of a graph."""

import numpy as np
import tensorflow as tf

from keras_pibnas.engine.tensorflow.calls import call
from keras_pibnas.engine.tensorflow.cut import cut, origin


def cut_of(function, *signature):
    """The function, cut out of its own graph, and what it captured."""
    traced = tf.function(function, signature, autograph=False).get_concrete_function()
    return cut(traced.inputs, [origin(tensor) for tensor in traced.outputs]), traced.captured_inputs


def called(function, *tensors):
    return [result.numpy() for result in tf.function(lambda: call(function, [*tensors]), autograph=False)()]


def types(function):
    """Of the nodes that compute."""
    passing = ("Placeholder", "Identity", "NoOp")
    return [operation.type for operation in function.graph.get_operations() if operation.type not in passing]


def test_inputs_passed_on_outputs_of_many_parts_and_loops():
    def function(x, count):
        left, right = tf.split(x, 2, axis=1)
        i, powers = tf.while_loop(lambda i, y: i < count, lambda i, y: (i + 1, right * y), (0, right))
        values, indices = tf.math.top_k(powers)
        return x, right, tf.add_n([left, powers]), values, indices + i

    x = tf.constant([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    part, captured = cut_of(function, tf.TensorSpec((None, 4)), tf.TensorSpec((), tf.int32))
    for got, want in zip(called(part, x, tf.constant(2), *captured), function(x, tf.constant(2)), strict=True):
        np.testing.assert_array_equal(got, want)


def test_from_the_middle_of_a_graph():
    traced = tf.function(lambda x: tf.exp(tf.sin(x)), [tf.TensorSpec(())]).get_concrete_function()
    last = origin(traced.outputs[0])
    part = cut([last.op.inputs[0]], [last])
    assert types(part) == ["Exp"]
    np.testing.assert_allclose(called(part, tf.constant(2.0)), [np.exp(2.0)], rtol=1e-6)


def test_what_has_a_state_waits_as_it_did():
    variable = tf.Variable(1.0)

    @tf.function
    def move(x):
        variable.assign_add(x)
        return 2.0 * x

    part, captured = cut_of(lambda x: (move(x), variable.read_value()), tf.TensorSpec(()))
    awaited = {operation.type: list(operation.control_inputs) for operation in part.graph.get_operations()}
    assert len(awaited["StatefulPartitionedCall"]) == 0
    assert "StatefulPartitionedCall" in [operation.type for operation in awaited["ReadVariableOp"]]
    assert called(part, tf.constant(3.0), *captured) == [6.0, 4.0]


def test_random_numbers_are_drawn_twice_where_they_were():
    def function(x):
        return x + tf.random.uniform((4,)), x + tf.random.uniform((4,)), x + 1.0, x + 1.0

    part, _ = cut_of(function, tf.TensorSpec((4,)))
    assert types(part).count("RandomUniform") == 2
    first, second, third, fourth = called(part, tf.zeros(4))
    assert np.abs(first - second).max() > 0 and np.array_equal(third, fourth)
