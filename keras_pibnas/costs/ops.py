"""Costs of the ops of search spaces, stems and heads: (MACs, further terms of Table 1's convention) an image.

A handler gets the layer and the shapes of its input and output without the batch.
"""

from math import prod

from keras_pibnas import layers
from keras_pibnas.costs import keras_layers
from keras_pibnas.layers.imagenet import pooling


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


def _auxiliary(layer, given, shape):
    height, width, channels = given
    pooled = [(side - 5) // 3 + 1 for side in (height, width)]
    inner, outer = prod(pooled), prod(side - 1 for side in pooled)
    macs = _kernel(inner, layer.narrow) + _kernel(outer, layer.wide) + prod(layer.classifier.kernel.shape)
    norms = (2 + 1) * (128 * inner + 768 * outer)
    return macs, 2 * height * width * channels + norms + layer.classes


def _imagenet_stem(layer, given, shape):
    inner = prod(-(-side // 2) for side in given[:2])
    macs = _kernel(inner, layer.kernel_1) + _kernel(prod(shape[:2]), layer.kernel_2)
    return macs, (2 + 1) * inner * (layer.channels // 2) + 2 * prod(shape)


def _stem_reduction(layer, given, shape):
    return _kernel(prod(shape[:2]), layer.kernel_1), prod(given) + 2 * prod(shape)


def _imagenet_auxiliary(layer, given, shape):
    height, width, channels = given
    pooled = [(side - window) // stride + 1 for side in (height, width) for window, stride in [pooling(side)]]
    inner, outer = prod(pooled), prod(side - 1 for side in pooled)
    macs = _kernel(inner, layer.narrow) + _kernel(outer, layer.wide) + prod(layer.classifier.kernel.shape)
    return macs, 2 * height * width * channels + (2 + 1) * 128 * inner + 768 * outer + layer.classes


def _residual_block(layer, given, shape):
    pixels = prod(shape[:2])
    kernels = (layer.conv_1.kernel, layer.conv_2.kernel, layer.shortcut)
    relus, norms, pool = prod(given) + prod(shape), 2 * 2 * prod(shape), prod(given)
    return sum(_kernel(pixels, kernel) for kernel in kernels), relus + norms + pool


HANDLERS = {
    layers.SepConv: _sep_conv,
    layers.SepConvGELU: _sep_conv,
    layers.SepConvLayerNorm: _sep_conv,
    layers.ConvNeXtConv: _convnext,
    layers.DilConv: _dil_conv,
    layers.Conv7x1_1x7: _conv_7x1_1x7,
    layers.Conv3x1_1x3: _conv_7x1_1x7,
    layers.PIBConv: _pib_conv,
    layers.PIBConvTable: _pib_conv_table,
    layers.MaxPool: _pool,
    layers.AveragePool: _pool,
    layers.Identity: _free,
    layers.Zero: _free,
    layers.Noise: _free,
    layers.FactorizedReduce: _factorized_reduce,
    layers.ReLUConvBN: _relu_conv_bn,
    layers.ConvStem: _stem,
    layers.PatchifyStem: _stem,
    layers.AuxiliaryHead: _auxiliary,
    layers.ImageNetStem: _imagenet_stem,
    layers.StemReduction: _stem_reduction,
    layers.ImageNetAuxiliaryHead: _imagenet_auxiliary,
    layers.BatchNorm: keras_layers.normalization,
    layers.ResidualBlock: _residual_block,
    layers.DropPath: _free,
}
