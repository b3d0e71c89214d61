"""Functions shared by many calls, against TensorFlow's own gradients."""

import numpy as np
import pytest
import tensorflow as tf

from keras_pibnas.engine.tensorflow.jvp import jvp
from keras_pibnas.engine.tensorflow.shared import Shared, Traced

SIGNATURE = [tf.TensorSpec((None, 3)), tf.TensorSpec((3, 3)), tf.TensorSpec((None, 3))]
CONSTANT = tf.constant([[1.0, 2.0, 3.0]])
RANDOM = np.random.default_rng(0)
ARGUMENTS = [tf.constant(RANDOM.normal(size=size), "float32") for size in ((4, 3), (3, 3), (4, 3))]


def function(x, kernel, unread):
    """tanh's derivative needs its output; that of the product by x needs the kernel, by the kernel it needs x."""
    return tf.tanh(x @ kernel) * CONSTANT + tf.reduce_sum(tf.stop_gradient(unread)), 2.0 * x


def gradients(call, by):
    @tf.function
    def both():
        with tf.GradientTape() as tape:
            tape.watch(ARGUMENTS)
            first, second = call(*ARGUMENTS)
            loss = tf.reduce_sum(first**2) + tf.reduce_sum(tf.sin(second))
        sources = [argument for argument, wanted in zip(ARGUMENTS, by, strict=True) if wanted]
        return first, second, tape.gradient(loss, sources)

    return tf.nest.flatten(both())


@pytest.mark.parametrize("rematerialize", (False, True))
@pytest.mark.parametrize("by", ((True, True, False), (True, False, False), (False, True, False)))
def test_values_and_gradients(by, rematerialize):
    shared = Shared(Traced(function, SIGNATURE, (True, True, False)).plain, by, rematerialize)
    for got, want in zip(gradients(shared, by), gradients(function, by), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5)


def test_nothing_is_kept_that_no_gradient_needs():
    part = Traced(function, SIGNATURE, (True, True, False)).plain
    outputs = 2
    kept = lambda **kwargs: len(Shared(part, **kwargs).forward.outputs) - outputs  # noqa: E731
    assert kept(wanted=(True, True, False)) == kept(wanted=(True, False, False)) == 1  # what tanh gave
    assert kept(wanted=(True, True, False), rematerialize=True) == 0
    assert Shared(part, (True, False, False)).read == [False, True, False, True]  # the constant is read, too


@pytest.mark.parametrize("given", (False, True))
def test_the_derivative_along_tangents(given):
    """From the start, or from what the plain function has computed."""
    traced = Traced(function, SIGNATURE, (True, True, False), along=(0, 1), frozen=1)
    plain = Shared(traced.plain, (True, True, False), extra=traced.common)
    wanted = (False, True, False, False, True)  # by x and its tangent there is none
    dual = Shared(traced.dual, wanted, precomputed=traced.common if given else ())
    assert [gradient is not None for gradient in traced.dual.gradients] == [*wanted, False]
    computed = [node.type for node in dual.forward.graph.get_operations()]
    assert ("Tanh" in computed) == (not given)
    tangents = [tf.sin(3.0 * argument) for argument in ARGUMENTS[:2]]

    @tf.function
    def both(call):
        with tf.GradientTape() as tape:
            sources = [ARGUMENTS[1], tangents[1]]
            tape.watch(sources)
            value, tangent = call()
            loss = tf.reduce_sum(value**2 * tangent)
        return value, tangent, *tape.gradient(loss, sources)

    def shared():
        beside = plain(*ARGUMENTS)[plain.count :]
        return dual(*ARGUMENTS, *tangents, precomputed=beside if given else ())

    def plainly():
        return jvp(lambda x, kernel: function(x, kernel, ARGUMENTS[2])[0], ARGUMENTS[:2], tangents)

    for got, want in zip(both(shared), both(plainly), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5)


def test_the_first_output_alone():
    shared = Shared(Traced(function, SIGNATURE, (True, True, False)).plain, (True, True, False), count=1)

    @tf.function
    def slope(call):
        with tf.GradientTape() as tape:
            tape.watch(ARGUMENTS[0])
            outputs = call(*ARGUMENTS)
            loss = tf.reduce_sum(outputs[0] ** 2)
        return len(outputs), tape.gradient(loss, ARGUMENTS[0])

    (count, got), (_, want) = slope(shared), slope(function)
    assert count == 1
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_what_is_the_same_is_computed_once():
    def twice(x):
        return (tf.exp(x + 1.0) * tf.exp(x + 1.0),)

    shared = Shared(Traced(twice, [tf.TensorSpec((None,))], (True,)).plain, (True,))
    types = [operation.type for operation in shared.forward.graph.get_operations()]
    assert types.count("Exp") == types.count("AddV2") == 1
