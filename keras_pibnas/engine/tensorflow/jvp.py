"""Jacobian-vector products in the direction of the weights, computed beside the values on the way through a network."""

import contextvars
from collections import namedtuple

import keras
import tensorflow as tf

from keras_pibnas.engine.context import holding
from keras_pibnas.engine.interface import value_of
from keras_pibnas.engine.tensorflow import traced
from keras_pibnas.engine.tensorflow.derivatives import transposing

Dual = namedtuple("Dual", "value tangent")

_DIRECTION = contextvars.ContextVar("the direction in which derivatives are taken", default=None)


def jvp(function, values, tangents):
    """A function's value and its Jacobian-vector product, as a Dual of tensors or nests of them.

    The gradient is linear in its cotangent, and the gradient by that is its transpose: the product wanted. The numbers
    between are used by nothing, and TensorFlow leaves them out.
    """
    values = [tf.identity(value) for value in values]  # a tensor may be there twice, with two tangents
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        value = function(*values)
    cotangent = tf.nest.map_structure(tf.zeros_like, value)
    with tf.GradientTape(watch_accessed_variables=False) as transpose:
        transpose.watch(cotangent)
        gradient = tape.gradient(value, values, cotangent, unconnected_gradients="zero")
    with transposing():
        return Dual(value, transpose.gradient(gradient, cotangent, list(tangents), unconnected_gradients="zero"))


class Direction:
    """Calls layers on Duals.

    Args: weights, tangents: tensors for each; precomputed: what `traced.precomputing` got from a pass at the same
    weights, or None.
    """

    def __init__(self, weights, tangents, precomputed=None):
        self.precomputed = None if precomputed is None else iter(precomputed)
        self.tangents = {weight.ref(): tangent for weight, tangent in zip(weights, tangents, strict=True)}

    def call(self, layer, inputs, arguments):
        """The Dual of layer(*inputs, **arguments); inputs: nests of Duals, or of tensors that do not move."""
        variables = getattr(layer, "trainable_variables", [])
        weights = [value_of(variable) for variable in variables]
        tangents = [self._tangent(weight) for weight in weights]
        if traced.is_shared(layer, arguments.get("training", False)):
            return self._shared(layer, *inputs, tangents, arguments["weights"])
        return self._plain(layer, inputs, arguments, weights, tangents)

    def _tangent(self, weight):
        """Of a weight, which in low precision Keras has cast when it was read."""
        source = weight
        if weight.ref() not in self.tangents and weight.op.type == "Cast":
            source = weight.op.inputs[0]
        return tf.cast(self.tangents[source.ref()], weight.dtype)

    def _shared(self, form, x, direction, weights):
        """x: a Dual, or a tuple of them."""
        x = _turned(x)
        inputs = {}

        def images(*values):
            inputs.update(form.inputs(tf.nest.pack_sequence_as(x.value, values), weights))
            return {name: tensor for name, tensor in inputs.items() if len(tensor.shape) == 4}

        moving = jvp(images, *(tf.nest.flatten(part) for part in x)).tangent
        precomputed = None if self.precomputed is None else next(self.precomputed)
        total = traced.jvp(form, inputs, moving, direction, precomputed)
        shape = form.output_shape(tf.nest.map_structure(lambda tensor: tensor.shape, x.value))
        for tensor in total:
            tensor.set_shape(shape)
        return tf.nest.map_structure(Dual, *(form.outputs(tensor) for tensor in total))

    def _plain(self, layer, inputs, arguments, weights, tangents):
        duals = [x for x in inputs if isinstance(x, Dual)]
        count = len(weights)

        def call(*values):
            moving = iter(values[count:])
            here = [next(moving) if isinstance(x, Dual) else x for x in inputs]
            with keras.StatelessScope() as scope:
                for pair in zip(getattr(layer, "trainable_variables", []), values[:count], strict=True):
                    scope.add_update(pair)
                return layer(*here, **arguments)

        if not weights and not duals:  # a frozen stem
            value = call()
            return Dual(value, tf.nest.map_structure(tf.zeros_like, value))
        return jvp(call, [*weights, *(x.value for x in duals)], [*tangents, *(x.tangent for x in duals)])


def in_direction(direction):
    """Inside, `TensorFlow.call` calls layers on Duals."""
    return holding(_DIRECTION, direction)


def current_direction():
    return _DIRECTION.get()


def _turned(x):
    """A tuple of Duals as a Dual of tuples."""
    return x if isinstance(x, Dual) else Dual(*(tuple(part) for part in zip(*x, strict=True)))
