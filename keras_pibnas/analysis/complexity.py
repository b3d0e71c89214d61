"""Parameters and multiply-adds of a model, layer by layer."""

from dataclasses import dataclass
from math import prod

import keras

from keras_pibnas import layers
from keras_pibnas.analysis import block_layers, keras_layers
from keras_pibnas.layers.imagenet import pooling


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
    """Counts a functional or sequential model for one image.

    Args:
        model: a built model of layers of this library, of Keras's usual ones (convolutions, Dense, normalizations,
            activations, pools, merging, reshaping), and of such models.

    Returns:
        Complexity with .params, .macs, .ptflops_macs, and .layers for the breakdown. A layer that is called several
        times stands there once, with its parameters once and its MACs as often as it is called.

    Raises:
        ValueError: names the layers that cannot be counted, or says that the model is not a functional one, or that a
            side of its input is open.
    """
    calls = calls_of(model)
    unknown = sorted({type(layer).__name__ for layer in calls if not _known(layer)})
    if unknown:
        raise ValueError(f"No MACs are known for the layers {', '.join(unknown)} of {model.name}.")
    counts = tuple((layer.name, count_layer(layer, nodes)) for layer, nodes in calls.items())
    total = (sum(getattr(count, name) for _, count in counts) for name in ("params", "macs", "extra"))
    return Complexity(*total, layers=counts)


def calls_of(model):
    """{layer: [its calls in this model, as Keras's graph nodes]}, in the order of the model."""
    graph = (model._functional if model.built else None) if isinstance(model, keras.Sequential) else model
    if not hasattr(graph, "operations"):
        raise ValueError(
            "complexity counts functional models, and sequential ones that are built. "
            f"Received: {type(model).__name__} {model.name!r}"
        )
    if any(side is None for tensor in graph.inputs for side in tensor.shape[1:]):
        raise ValueError(
            f"MACs depend on the size of the input, which is open. Received: {graph.inputs[0].shape} of {model.name!r}"
        )
    calls = {operation: [] for operation in graph.operations}
    for nodes in graph._nodes_by_depth.values():
        for node in nodes:
            calls[node.operation].append(node)
    return calls


def _known(layer):
    return type(layer) in HANDLERS or isinstance(layer, keras.Model)


def count_layer(layer, nodes):
    """`Count` of a layer that is called at those nodes, by the shapes of their inputs and outputs."""
    if isinstance(layer, keras.Model):
        inner = complexity(layer)
        return Count(inner.params, len(nodes) * inner.macs, len(nodes) * inner.extra)
    costs = [HANDLERS[type(layer)](layer, _shape(node.input_tensors), _shape(node.outputs)) for node in nodes]
    weights = getattr(layer, "trainable_weights", ())
    return Count(sum(prod(weight.shape) for weight in weights), *map(sum, zip(*costs, strict=True)))


def _shape(tensors):
    """The shape of the one tensor, without the batch; None where there are several or none."""
    return tuple(tensors[0].shape[1:]) if len(tensors) == 1 else None


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


HANDLERS = keras_layers.HANDLERS | block_layers.HANDLERS | {
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
