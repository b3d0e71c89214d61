"""Costs of involution and the lecture notes' blocks: (MACs, further terms of Table 1's convention) an image."""

from math import prod

from keras_pibnas import layers

RELU = 1  # a count for every element


def _stage(part, pixels, activation=0):
    """A ConvBN that gives so many pixels, and the activation after it; BN counts 2 for every element."""
    return pixels * prod(part.kernel.shape), pixels * part.outputs * (2 + activation)


def _total(*costs):
    return tuple(map(sum, zip(*costs, strict=True)))


def _conv(layer, given, shape):
    return _total((0, prod(given)), _stage(layer.conv, prod(shape[:2])))


def _linear(layer, given, shape):
    return prod(shape[:2]) * prod(layer.weight.shape), prod(shape) if layer.affine else 0


def _bottleneck(layer, given, shape):
    inner, outer = prod(given[:2]), prod(shape[:2])
    stages = [_stage(layer.reduce, inner, RELU), _stage(layer.conv, outer, RELU), _stage(layer.expand, outer, RELU)]
    return _total(*stages, *([_stage(layer.project, outer)] if layer.project else []))


def _separable_block(layer, given, shape):
    pixels = prod(shape[:2])
    return _total(_stage(layer.depthwise, pixels, RELU), _stage(layer.pointwise, pixels, RELU))


def _inverted_residual(layer, given, shape):
    inner, outer = prod(given[:2]), prod(shape[:2])
    return _total(_stage(layer.expand, inner, RELU), _stage(layer.depthwise, outer, RELU), _stage(layer.project, outer))


def _shuffle_unit(layer, given, shape):
    inner, outer = prod(given[:2]), prod(shape[:2])
    pooled = prod(given) if layer.strides == 2 else 0
    stages = (_stage(layer.reduce, inner, RELU), _stage(layer.depthwise, outer), _stage(layer.expand, outer, RELU))
    return _total((0, pooled), *stages)


def _involution(layer, given, shape):
    """Weighing k * k neighbours is a MAC for each, as the paper on involution counts (section 3)."""
    pixels, hidden = prod(shape[:2]), layer.channels // layer.reduction
    kernels = pixels * (prod(layer.reduce.shape) + prod(layer.span.shape))
    averaged = prod(given) if layer.strides == 2 else 0
    return kernels + layer.kernel_size**2 * prod(shape), (2 + RELU) * pixels * hidden + averaged


HANDLERS = {
    layers.Conv: _conv,
    layers.Linear: _linear,
    layers.Bottleneck: _bottleneck,
    layers.SeparableBlock: _separable_block,
    layers.InvertedResidual: _inverted_residual,
    layers.ShuffleUnit: _shuffle_unit,
    layers.Involution: _involution,
}
