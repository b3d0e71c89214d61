"""Parameters and multiply-adds of a model, layer by layer."""

from dataclasses import dataclass
from math import prod

import keras

from keras_pibnas.costs import blocks, keras_layers, ops
from keras_pibnas.keras_private import call_nodes, functional_graph

# Layer class -> handler: (layer, input shape, output shape) -> (MACs, extra). A new layer is one function and one line.
HANDLERS = keras_layers.HANDLERS | blocks.HANDLERS | ops.HANDLERS


@dataclass(frozen=True)
class Count:
    """The cost of one layer, or of a whole model, for one image.

    Attributes:
        params: trainable parameters.
        macs: of convolutions and linear layers, without biases; one multiply-add is one MAC.
        extra: further terms of the convention of the PIBConv paper's Table 1: the bias of a linear layer, 2 for
            every element that a normalization gives, 1 for every element that an activation gives, 1 for every element
            that a pooling reads.

    Example:
        >>> kp.costs.Count(params=3, macs=10, extra=2) + kp.costs.Count(1, 1, 1)
        Count(params=4, macs=11, extra=3)
    """

    params: int
    macs: int
    extra: int

    @property
    def ptflops_macs(self):
        """MACs in the convention of the paper's Table 1 (that of the tool ptflops)."""
        return self.macs + self.extra

    def __add__(self, other: "Count") -> "Count":
        return Count(self.params + other.params, self.macs + other.macs, self.extra + other.extra)


@dataclass(frozen=True)
class Complexity(Count):
    """`Count` of a model; layers: ((name, Count), ...) in the order of the model.

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, use_bias=False)])
        >>> kp.analysis.complexity(model).macs  # 6 * 6 pixels, 3 * 3 * 3 inputs, 4 outputs
        3888
    """

    layers: tuple = ()


def complexity(model: keras.Model) -> Complexity:
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

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, use_bias=False)])
        >>> found = kp.analysis.complexity(model)
        >>> found.params, found.macs, found.ptflops_macs
        (108, 3888, 3888)
    """
    calls = calls_of(model)
    unknown = sorted({type(layer).__name__ for layer in calls if not _known(layer)})
    if unknown:
        raise ValueError(f"No MACs are known for the layers {', '.join(unknown)} of {model.name}.")
    counts = tuple((layer.name, count_layer(layer, nodes)) for layer, nodes in calls.items())
    total = (sum(getattr(count, name) for _, count in counts) for name in ("params", "macs", "extra"))
    return Complexity(*total, layers=counts)


def calls_of(model: keras.Model) -> dict:
    """{layer: [its calls in this model, as Keras's graph nodes]}, in the order of the model.

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, name="convolution")])
        >>> {layer.name: len(calls) for layer, calls in kp.costs.calls_of(model).items()}["convolution"]
        1
    """
    graph = (functional_graph(model) if model.built else None) if isinstance(model, keras.Sequential) else model
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
    for node in call_nodes(graph):
        calls[node.operation].append(node)
    return calls


def _known(layer):
    return type(layer) in HANDLERS or isinstance(layer, keras.Model)


def count_layer(layer: keras.layers.Layer, nodes: list) -> Count:
    """`Count` of a layer that is called at those nodes, by the shapes of their inputs and outputs.

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, use_bias=False)])
        >>> calls = kp.costs.calls_of(model)
        >>> kp.costs.count_layer(model.layers[0], calls[model.layers[0]])
        Count(params=108, macs=3888, extra=0)
    """
    if isinstance(layer, keras.Model):
        inner = complexity(layer)
        return Count(inner.params, len(nodes) * inner.macs, len(nodes) * inner.extra)
    costs = [HANDLERS[type(layer)](layer, _shape(node.input_tensors), _shape(node.outputs)) for node in nodes]
    weights = getattr(layer, "trainable_weights", ())
    return Count(sum(prod(weight.shape) for weight in weights), *map(sum, zip(*costs, strict=True)))


def _shape(tensors):
    """The shape of the one tensor, without the batch; None where there are several or none."""
    return tuple(tensors[0].shape[1:]) if len(tensors) == 1 else None


def count_call(layer: keras.layers.Layer, input_shape: tuple) -> tuple[Count, tuple]:
    """The cost of a layer at a place of a network.

    Args:
        layer: not built yet, from one tensor to one.
        input_shape: (H, W, C), or (C,) for a Dense layer, without the batch.

    Returns:
        `Count` for one image, and the output's shape without the batch.

    Raises:
        ValueError: a layer that `complexity` cannot count.

    Example:
        >>> count, shape = kp.costs.count_call(keras.layers.Conv2D(4, 3, padding="same", use_bias=False), (8, 8, 3))
        >>> count.macs, shape
        (6912, (8, 8, 4))
    """
    inputs = keras.Input(tuple(input_shape))
    outputs = layer(inputs)
    count = complexity(keras.Model(inputs, outputs))
    return Count(count.params, count.macs, count.extra), tuple(outputs.shape[1:])
