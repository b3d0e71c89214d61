"""Memory of activations: tensors alive at once while a model computes one image.

The model's inference is traced into TensorFlow's graph, in the form in which it is exported, the same on every
processor, and every tensor that depends on the image lives from the operation that makes it to the last one that reads
it. The rules, as runtimes for inference follow them:

* Operations run in the order in which the model calls them. An operation's inputs and outputs are alive together.
* A change of view (reshape, identity) costs nothing.
* An element-wise operation on one tensor (bias, normalization, activation) works in place of a tensor that nothing
  reads later. A sum or product of two tensors that depend on the image gets memory of its own.
* Weights, and what is computed from them alone, are not activations.

A runtime that fits tensors of many sizes into one block of memory leaves gaps: LiteRT's block was 0.9 to 1.35 times as
large for three networks of PIBCONV and DARTS_V2.
"""

from itertools import accumulate
from math import prod

import keras

from keras_pibnas.engine.kernels import portable

VIEWS = {"EnsureShape", "ExpandDims", "Identity", "IdentityN", "PreventGradient", "Reshape", "Squeeze", "StopGradient"}
ELEMENTWISE = {
    "AddV2", "BiasAdd", "Cast", "ClipByValue", "Div", "Elu", "Erf", "Exp", "LeakyRelu", "Log", "Maximum", "Minimum",
    "Mul", "Neg", "Pow", "RealDiv", "Relu", "Relu6", "Rsqrt", "Selu", "Sigmoid", "Softplus", "Softsign", "Sqrt",
    "Square", "Sub", "Tanh",
}  # fmt: skip


def peak_activation_memory(
    model: keras.Model, input_shape: tuple[int, int, int] | None = None, bytes_per_value: int = 4
) -> int:
    """The most memory that activations take at one moment of computing one image.

    Args:
        model: a keras.Model with one input of images.
        input_shape: (height, width, channels) of the image; needed where the model's own leaves a side open.
        bytes_per_value: 4 for float32, 2 for float16, 1 for int8.

    Returns:
        Bytes; see the module's text for what is alive when.

    Raises:
        ValueError: no input shape is known, the model has several inputs, or bytes_per_value is below 1.

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, use_bias=False)])
        >>> kp.analysis.peak_activation_memory(model, bytes_per_value=1)
        336
    """
    return max(size for _, size in activation_timeline(model, input_shape, bytes_per_value))


def activation_timeline(
    model: keras.Model, input_shape: tuple[int, int, int] | None = None, bytes_per_value: int = 4
) -> tuple:
    """Bytes alive while each operation runs.

    Args: as `peak_activation_memory`.

    Returns:
        Tuple of (name of the operation, bytes alive while it runs), in order. A name begins with those of the model
        and the layer: "network/stem/Conv2D".

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, use_bias=False)])
        >>> max(size for _, size in kp.analysis.activation_timeline(model))  # 4 * (8 * 8 * 3 + 6 * 6 * 4)
        1344
    """
    if not isinstance(bytes_per_value, int) or bytes_per_value < 1:
        raise ValueError(f"bytes_per_value must be 1 or more, 4 for float32. Received: {bytes_per_value!r}")
    image, operations, outputs = _trace(model, _image_shape(model, input_shape))
    lives = _Lifetimes(image, operations, outputs)
    return tuple((name, bytes_per_value * values) for name, values in lives.timeline())


def _image_shape(model, input_shape):
    inputs = getattr(model, "inputs", None) or []
    if len(inputs) > 1:
        raise ValueError(f"Activations are counted for models with one input. Received: {len(inputs)} inputs")
    shape = tuple(input_shape or (inputs[0].shape[1:] if inputs else ()))
    if not shape or not all(isinstance(side, int) and side > 0 for side in shape):
        raise ValueError(f"input_shape must give every side of an image, (height, width, channels). Received: {shape}")
    return shape


def _trace(model, shape):
    """The image, the operations and the outputs of the graph that computes one image."""
    import tensorflow as tf  # Keras has no call for a graph of operations.

    dtype = model.inputs[0].dtype if getattr(model, "inputs", None) else "float32"
    function = tf.function(lambda image: model(image, training=False), autograph=False)
    with portable():
        concrete = function.get_concrete_function(tf.TensorSpec((1, *shape), dtype))
    outputs = [tensor.name for tensor in concrete.outputs]
    return concrete.inputs[0], concrete.graph.get_operations(), outputs


class _Lifetimes:
    """From which step to which each buffer lives. Views share the buffer of the tensor that they show."""

    def __init__(self, image, operations, outputs):
        self.buffer, self.size, self.first, self.last = {}, {}, {}, {}
        self._make(image, 0)
        # A step: the operation's name, the buffers that it reads and writes, whether it is element-wise.
        self.steps = [(image.op.name, set(), [image.name], False)]
        for operation in operations:
            self._walk(operation)
        for name in outputs:
            self._read(name, len(self.steps))
        self._work_in_place()

    def timeline(self):
        """(operation's name, values alive) a step."""
        changes = [0] * (len(self.steps) + 2)
        for key, size in self.size.items():
            changes[self.first[key]] += size
            changes[self.last[key] + 1] -= size
        return zip((name for name, *_ in self.steps), accumulate(changes), strict=False)

    def _make(self, tensor, step):
        count = tensor.shape.num_elements()
        if count is None:
            raise ValueError(f"The size of an activation is not known before it is computed. Received: {tensor.name}")
        self.buffer[tensor.name], self.size[tensor.name] = tensor.name, count
        self.first[tensor.name] = self.last[tensor.name] = step

    def _read(self, name, step):
        if name in self.buffer:  # else it does not depend on the image
            self.last[self.buffer[name]] = step

    def _walk(self, operation):
        read = [tensor.name for tensor in operation.inputs if tensor.name in self.buffer]
        if not read or operation.type == "Shape":
            return
        if operation.type in VIEWS:
            for given, view in zip(operation.inputs, operation.outputs, strict=False):
                if given.name in self.buffer:
                    self.buffer[view.name] = self.buffer[given.name]
            return
        step = len(self.steps)
        for name in read:
            self._read(name, step)
        for tensor in operation.outputs:
            self._make(tensor, step)
        buffers = {self.buffer[name] for name in read}
        self.steps.append((operation.name, buffers, [t.name for t in operation.outputs], _elementwise(operation)))

    def _work_in_place(self):
        for step, (_, given, outputs, elementwise) in enumerate(self.steps):
            if elementwise and len(given) == 1:
                (key,) = given
                if self.last[key] == step and self.size[key] == self.size[outputs[0]]:
                    self.last[key] = step - 1  # the output takes its place


def _elementwise(operation):
    """Whether every output value depends on one value of the image's tensor, and on weights."""
    if operation.type == "Conv2D":  # a scale for every channel: a depthwise 1x1 kernel, (1, 1, 1, C)
        kernel = operation.inputs[1].shape
        return prod(kernel[:3]) == 1 and set(operation.get_attr("strides")) == {1}
    return operation.type in ELEMENTWISE
