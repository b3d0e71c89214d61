"""Functions with gradients of their own, under TensorFlow."""

import contextvars
import functools

import tensorflow as tf

from keras_pibnas.engine.context import holding
from keras_pibnas.engine.tensorflow import private

_TAPES_ALONE = contextvars.ContextVar("the graph that tapes of its own alone will differentiate", default=None)
_FOR_JVP = contextvars.ContextVar("whether Jacobian-vector products will be taken", default=False)
_TRANSPOSING = contextvars.ContextVar("whether gradients of gradients are by cotangents alone", default=False)


def for_jvp(wanted):
    """Whether Jacobian-vector products will be taken of what is traced inside: these are worth own nodes."""
    return holding(_FOR_JVP, wanted)


def is_for_jvp():
    return _FOR_JVP.get()


def tapes_alone():
    """What is traced inside is differentiated by GradientTapes of the same graph alone, so it can have fewer nodes.

    To be entered in that graph. Graphs within it (branches, loops, functions) are differentiated as graphs, and go the
    general way.
    """
    return holding(_TAPES_ALONE, tf.compat.v1.get_default_graph())


def are_tapes_alone():
    """Whether that holds where this is called."""
    return private.can_record() and _TAPES_ALONE.get() is tf.compat.v1.get_default_graph()


def transposing():
    """Inside, gradients are differentiated by their cotangents alone."""
    return holding(_TRANSPOSING)


def is_transposing():
    """Whether gradients by anything else may be None."""
    return _TRANSPOSING.get()


def with_gradient(function):
    """As tf.custom_gradient: function(*tensors) -> (tensor, (gradient by it) -> gradients by the tensors)."""
    general = tf.custom_gradient(function)

    @functools.wraps(function)
    def call(*tensors):
        if not are_tapes_alone():
            return general(*tensors)

        def listed():
            output, gradient = function(*tensors)
            return [output], lambda g: _listed(gradient(g))

        return private.recorded("WithGradient", listed, tensors)[0]

    return call


def _listed(gradients):
    return list(gradients) if isinstance(gradients, tuple) else [gradients]


def here(x):
    """x as a tensor of the function that is being traced.

    The derivative of a custom gradient may be traced in another tf.function than the gradient itself, and reaches only
    what was an operation there.
    """
    return x if are_tapes_alone() else tf.identity(x)


def aside(gradient, *arguments):
    """gradient(*arguments), a gradient by something else than a cotangent; None where it is not needed."""
    return None if is_transposing() else gradient(*arguments)
