"""Ops that know nothing of branches."""

import inspect

import keras
from keras import ops


class PerBranch(keras.layers.Layer):
    """Computes E edges with E copies of a layer that takes one. Arguments of the call: as `layers.Op`.

    Args: make: () -> layer for `channels` channels, given name=; channels; strides; branches.
    """

    def __init__(self, make, channels, strides, branches, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.strides, self.branches = channels, strides, branches
        self.copies = [make(channels, name=f"branch_{i}") for i in range(branches)]

    def build(self, input_shape):
        for copy in self.copies:
            copy.build(input_shape)

    def call(self, x, weights=None, training=False):
        outputs = []
        for index, copy in enumerate(self.copies):
            y = call_layer(copy, x, training)
            outputs.append(y if weights is None else y * ops.cast(weights[index], y.dtype))
        return ops.concatenate(outputs, -1)

    def compute_output_shape(self, input_shape):
        batch, height, width = input_shape[:3]
        return (batch, -(-height // self.strides), -(-width // self.strides), self.branches * self.channels)


def call_layer(layer, x, training):
    """layer(x), with training where the layer takes it."""
    takes_training = "training" in inspect.signature(layer.call).parameters
    return layer(x, training=training) if takes_training else layer(x)
