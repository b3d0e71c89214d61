"""Derivatives along a direction of the weights, computed beside the values on the way through the network."""

from collections import namedtuple

import keras
import tensorflow as tf

from keras_pibnas.layers.derivatives import transposing

Dual = namedtuple("Dual", "value tangent")


def derivative_along(function, values, tangents):
    """A function's value and its derivative along tangents of its arguments, as a Dual of tensors or nests of them.

    The gradient is linear in what it starts from, and the gradient by that is its transpose: the derivative wanted. The
    numbers between are used by nothing, and TensorFlow leaves them out.
    """
    values = [tf.identity(value) for value in values]  # a tensor may be there twice, with two tangents
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        value = function(*values)
    start = tf.nest.map_structure(tf.zeros_like, value)
    with tf.GradientTape(watch_accessed_variables=False) as transpose:
        transpose.watch(start)
        gradient = tape.gradient(value, values, start, unconnected_gradients="zero")
    with transposing():
        return Dual(value, transpose.gradient(gradient, start, list(tangents), unconnected_gradients="zero"))


class Directional:
    """Runs the parts of a network on Duals, where `traced.TracedBundles` does it on tensors.

    Args: traced: the network's TracedBundles; variables: the network's weights; values, direction: tensors for each;
    kept: what `traced.kept_in` got from a pass with the same values, or None.
    """

    def __init__(self, traced, variables, values, direction, kept=None):
        self.traced, self.kept = traced, None if kept is None else iter(kept)
        pairs = zip(values, direction, strict=True)
        self.weights = {id(variable): Dual(*pair) for variable, pair in zip(variables, pairs, strict=True)}

    def __call__(self, bundle, x, mix, training):
        """x: a Dual, or a tuple of them."""
        x = Dual(*(tuple(part) for part in zip(*x, strict=True))) if not isinstance(x, Dual) else x
        inputs = {}

        def images(*values):
            inputs.update(bundle.inputs(tf.nest.pack_sequence_as(x.value, values), mix))
            return {name: tensor for name, tensor in inputs.items() if len(tensor.shape) == 4}

        moving = derivative_along(images, *(tf.nest.flatten(part) for part in x)).tangent
        direction = [self.weights[id(variable)].tangent for variable in bundle.trainable_variables]
        kept = None if self.kept is None else next(self.kept)
        total = self.traced.along(bundle, inputs, moving, direction, kept)
        shape = bundle.compute_output_shape(tf.nest.map_structure(lambda tensor: tensor.shape, x.value))
        for tensor in total:
            tensor.set_shape(shape)
        return tf.nest.map_structure(Dual, *(bundle.outputs(tensor) for tensor in total))

    def whole(self, layer, x, training):
        """A layer outside of cells, on a Dual or on images that do not move."""
        variables = layer.trainable_variables
        moving = [self.weights[id(variable)] for variable in variables] + ([x] if isinstance(x, Dual) else [])

        def call(*values):
            with keras.StatelessScope() as scope:
                for pair in zip(variables, values, strict=False):
                    scope.add_update(pair)
                return layer(values[-1] if isinstance(x, Dual) else x, training=training)

        return derivative_along(call, *([part[i] for part in moving] for i in (0, 1)))
