"""Functions with gradients of their own, in all ways to be differentiated."""

import contextlib

import pytest
import tensorflow as tf

from keras_pibnas.engine.tensorflow.derivatives import (
    aside,
    here,
    is_transposing,
    tapes_alone,
    transposing,
    with_gradient,
)

POINT = tf.constant([2.0, 3.0])


@with_gradient
def marked(x):
    """x**2, whose gradient pretends to be 100 times as large."""
    return x**2, lambda g: 200.0 * here(x) * g


def inside_a_branch(x):
    return tf.cond(tf.reduce_sum(x) > 0.0, lambda: marked(x), lambda: x)


def inside_a_function(x):
    return tf.function(marked, autograph=False)(x)


def slope(function):
    with tf.GradientTape() as tape:
        tape.watch(POINT)
        y = function(POINT)
    return tape.gradient(y, POINT)


@pytest.mark.parametrize("function", (marked, inside_a_branch, inside_a_function))
@pytest.mark.parametrize("where", (tapes_alone, contextlib.nullcontext))
@pytest.mark.parametrize("wrap", (lambda step: step, tf.function))
def test_the_own_gradient_counts_everywhere(function, where, wrap):
    """Graphs within a graph are differentiated without its tapes."""

    def step():
        with where():
            return slope(function)

    assert wrap(step)().numpy().tolist() == [400.0, 600.0]


def test_second_derivative_with_tapes_alone():
    with tapes_alone(), tf.GradientTape() as tape:
        tape.watch(POINT)
        first = slope(marked)
    assert tape.gradient(first, POINT).numpy().tolist() == [200.0, 200.0]


def test_aside():
    assert aside(lambda x: 2 * x, 3) == 6 and not is_transposing()
    with transposing():
        assert aside(lambda x: 2 * x, 3) is None and is_transposing()
    assert not is_transposing()
