"""Costs of Keras's own layers, by `complexity`'s convention; a handler gives (MACs, extra) of one call.

Handlers get the layer and the shapes of its input and output without the batch (None where there are several).
"""

from math import prod

import keras


def places(layer, shape):
    """Number of pixels (or steps) of a shape, in either data format."""
    return prod(shape[1:] if getattr(layer, "data_format", None) == "channels_first" else shape[:-1])


def finish(layer, shape):
    """Extra of a layer's bias and activation: 1 for every element that each of them gives."""
    activated = keras.activations.serialize(layer.activation) != "linear"
    return (int(layer.use_bias) + int(activated)) * prod(shape)


def free(layer, given, shape):
    return 0, 0


def convolution(layer, given, shape):
    return places(layer, shape) * prod(layer.kernel.shape), finish(layer, shape)


def transposed_convolution(layer, given, shape):
    return places(layer, given) * prod(layer.kernel.shape), finish(layer, shape)


def separable_convolution(layer, given, shape):
    weights = prod(layer.depthwise_kernel.shape) + prod(layer.pointwise_kernel.shape)
    return places(layer, shape) * weights, finish(layer, shape)


def dense(layer, given, shape):
    return prod(given[:-1]) * prod(layer.kernel.shape), finish(layer, shape)


def normalization(layer, given, shape):
    return 0, 2 * prod(shape)


def activation(layer, given, shape):
    return 0, prod(shape)


def pool(layer, given, shape):
    return 0, prod(given)


def _named(handler, *names):
    return {getattr(keras.layers, name): handler for name in names}


HANDLERS = {
    **_named(convolution, "Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D"),
    **_named(transposed_convolution, "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"),
    **_named(separable_convolution, "SeparableConv1D", "SeparableConv2D"),
    **_named(dense, "Dense"),
    **_named(normalization, "BatchNormalization", "GroupNormalization", "LayerNormalization"),
    **_named(activation, "Activation", "ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax"),
    **_named(
        pool, "AveragePooling2D", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "MaxPooling2D",
        "AveragePooling1D", "GlobalAveragePooling1D", "GlobalMaxPooling1D", "MaxPooling1D",
    ),
    **_named(
        free, "Add", "Average", "Concatenate", "Cropping2D", "Dropout", "Flatten", "GaussianNoise", "Identity",
        "InputLayer", "Maximum", "Multiply", "Permute", "Rescaling", "Reshape", "SpatialDropout2D", "Subtract",
        "UpSampling2D", "ZeroPadding2D",
    ),
}  # fmt: skip
