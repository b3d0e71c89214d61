"""Parameters and multiply-adds of a model, layer by layer."""

from dataclasses import dataclass
from math import prod

import keras

from keras_pibnas import layers


@dataclass(frozen=True)
class Count:
    """What one layer, or a whole model, costs for one image.

    Attributes:
        params: trainable parameters.
        macs: of convolutions and linear layers, without biases; one multiply-add is one MAC.
        extra: what the convention of the PIBConv paper's Table 1 counts besides: the bias of a linear layer, 2 for
            every element that a normalization gives, 1 for every element that an activation gives, 1 for every element
            that a pooling reads.
    """

    params: int
    macs: int
    extra: int

    @property
    def ptflops_macs(self):
        """MACs in the convention of the paper's Table 1 (that of the tool ptflops)."""
        return self.macs + self.extra


@dataclass(frozen=True)
class Complexity(Count):
    """`Count` of a model; layers: ((name, Count), ...) in the order of the model."""

    layers: tuple = ()


def complexity(model):
    """Counts a functional model for one image.

    Args:
        model: a built functional or sequential model, such as `build_network` gives, of layers of this library and
            of Keras's Dense, pooling, Add, Concatenate, ...

    Returns:
        Complexity with .params, .macs, .ptflops_macs, and .layers for the breakdown.

    Raises:
        ValueError: names the layers that cannot be counted, or says that the model is not a functional one.
    """
    if not isinstance(model, keras.Sequential) and not hasattr(model, "operations"):
        raise ValueError(f"complexity counts functional and sequential models. Received: {type(model).__name__}")
    unknown = sorted({type(layer).__name__ for layer in model.layers if type(layer) not in HANDLERS})
    if unknown:
        raise ValueError(f"No MACs are known for the layers {', '.join(unknown)} of {model.name}.")
    counts = tuple((layer.name, count_layer(layer)) for layer in model.layers)
    total = (sum(getattr(count, name) for _, count in counts) for name in ("params", "macs", "extra"))
    return Complexity(*total, layers=counts)


def count_layer(layer):
    """`Count` of one layer of a functional model, by its input and output shapes."""
    if not hasattr(layer, "input") or isinstance(layer.input, list | tuple | dict):
        given, shape = None, None
    else:
        given, shape = layer.input.shape[1:], layer.output.shape[1:]
    macs, extra = HANDLERS[type(layer)](layer, given, shape)
    return Count(sum(prod(weight.shape) for weight in layer.trainable_weights), macs, extra)


def _kernel(pixels, kernel):
    """MACs of a convolution that gives `pixels` pixels; a depthwise kernel is (k, k, C, 1), others (k, k, I, O)."""
    return pixels * prod(kernel.shape)


def _free(layer, given, shape):
    return 0, 0


def _sep_conv(layer, given, shape):
    pixels, channels = prod(shape[:2]), shape[2]
    kernels = (layer.depthwise_1, layer.pointwise_1, layer.depthwise_2, layer.pointwise_2)
    return sum(_kernel(pixels, kernel) for kernel in kernels), prod(given) + (2 + 1 + 2) * pixels * channels


def _dil_conv(layer, given, shape):
    pixels = prod(shape[:2])
    return _kernel(pixels, layer.depthwise) + _kernel(pixels, layer.pointwise), prod(given) + 2 * prod(shape)


def _conv_7x1_1x7(layer, given, shape):
    row = given[0] * shape[1]
    return _kernel(row, layer.row) + _kernel(prod(shape[:2]), layer.column), prod(given) + 2 * prod(shape)


def _pib_conv(layer, given, shape):
    kernels = (layer.depthwise, layer.pointwise_1, layer.grouped, layer.pointwise_2)
    return sum(_kernel(prod(shape[:2]), kernel) for kernel in kernels), (2 + 1) * prod(shape)


def _convnext(layer, given, shape):
    pixels = prod(shape[:2])
    kernels = (layer.depthwise, layer.pointwise_1, layer.pointwise_2)
    return sum(_kernel(pixels, kernel) for kernel in kernels), 2 * prod(shape) + pixels * layer.hidden


def _pib_conv_table(layer, given, shape):
    macs, _ = _pib_conv(layer, given, shape)
    hidden = prod(shape[:2]) * layer.hidden
    return macs, prod(given) + (2 + 1) * hidden + 2 * prod(shape)


def _pool(layer, given, shape):
    return 0, prod(given)


def _factorized_reduce(layer, given, shape):
    pixels = prod(shape[:2])
    return _kernel(pixels, layer.conv_1) + _kernel(pixels, layer.conv_2), prod(given) + 2 * prod(shape)


def _relu_conv_bn(layer, given, shape):
    return _kernel(prod(shape[:2]), layer.kernel), prod(given) + 2 * prod(shape)


def _stem(layer, given, shape):
    return _kernel(prod(shape[:2]), layer.kernel), 2 * prod(shape)


def _dense(layer, given, shape):
    return prod(layer.kernel.shape), layer.units if layer.use_bias else 0


def _auxiliary(layer, given, shape):
    height, width, channels = given
    pooled = [(side - 5) // 3 + 1 for side in (height, width)]
    inner, outer = prod(pooled), prod(side - 1 for side in pooled)
    macs = _kernel(inner, layer.narrow) + _kernel(outer, layer.wide) + prod(layer.classifier.kernel.shape)
    norms = (2 + 1) * (128 * inner + 768 * outer)
    return macs, 2 * height * width * channels + norms + layer.classes


HANDLERS = {
    layers.SepConv: _sep_conv,
    layers.SepConvGELU: _sep_conv,
    layers.SepConvLayerNorm: _sep_conv,
    layers.ConvNeXtConv: _convnext,
    layers.DilConv: _dil_conv,
    layers.Conv7x1_1x7: _conv_7x1_1x7,
    layers.PIBConv: _pib_conv,
    layers.PIBConvTable: _pib_conv_table,
    layers.MaxPool: _pool,
    layers.AveragePool: _pool,
    layers.Identity: _free,
    layers.Zero: _free,
    layers.FactorizedReduce: _factorized_reduce,
    layers.ReLUConvBN: _relu_conv_bn,
    layers.ConvStem: _stem,
    layers.PatchifyStem: _stem,
    layers.AuxiliaryHead: _auxiliary,
    layers.DropPath: _free,
    keras.layers.Dense: _dense,
    keras.layers.GlobalAveragePooling2D: _pool,
    keras.layers.Add: _free,
    keras.layers.Concatenate: _free,
    keras.layers.InputLayer: _free,
}
