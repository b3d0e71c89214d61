"""What an engine does for the rest of the library, and the plain way to do it.

A reader of DARTS needs no other file of this folder: `Engine` says what each call means, in plain Keras.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops


@dataclass(frozen=True)
class Gradient:
    """The gradient of a loss.

    Attributes:
        value: by what was asked for: a list of tensors, one for each of the weights (or of the mixes); a tuple of such
            lists where several were. Summed over replicas, without the loss's scale.
        aux: the extra outputs of the loss function; of this replica.
        product: vector -> d/dmix <dL/dw, vector>: [normal, reduce], each (edges, ops); a tensor of the vector for each
            weight. None unless asked for by linearize=True.

    Example:
        >>> kp.engine.Gradient(value=[1.0], aux=None).product is None
        True
    """

    value: Any
    aux: Any
    product: Callable[[Sequence[Any]], list] | None = None


class Engine:
    """The plain engine's behaviour where it is the same on every backend; others override what they do faster.

    Attributes:
        name: as `kp.engine.use` knows it.
        kernels: a module that has faster forms of functions of `engine.kernels`, or None.

    Example:
        >>> kp.engine.current().norm([np.array([3.0], "float32"), np.array([4.0], "float32")]).numpy().item()
        5.0
    """

    name: str
    kernels: Any = None

    def __eq__(self, other):
        return self.name == (other.name if isinstance(other, Engine) else other)

    def __hash__(self):
        return hash(self.name)

    def __repr__(self):
        return self.name

    def read(self, variables: Sequence[Any]) -> list:
        """The values of Keras variables as tensors. To differentiate by them, watch the tensors."""
        return [value_of(variable) for variable in variables]

    def assign(self, variables: Sequence[Any], values: Sequence[Any]) -> None:
        """Assigns a tensor to each variable."""
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    def map(self, function: Callable, *lists: Sequence[Any], scalars: Sequence[Any] = ()) -> list:
        """[function(a, b, ..., *scalars) for a, b, ... in zip(*lists)]; no gradient need go through.

        function: lives as long as its module; scalars: tensors that it gets after those of the lists.
        """
        return [function(*tensors, *scalars) for tensors in zip(*lists, strict=True)]

    def update(
        self, function: Callable, *variables: Sequence[Any], tensors: Sequence = (), scalars: Sequence[Any] = ()
    ) -> None:
        """Assigns function(v, w, ..., a, b, ..., *scalars) -> (new v, new w, ...) to each v, w, ... of the variables.

        function: lives as long as its module; variables: lists; tensors: lists of what it gets besides.
        """
        count = len(variables)
        for column in zip(*variables, *tensors, strict=True):
            held, given = column[:count], column[count:]
            for variable, value in zip(held, function(*map(value_of, held), *given, *scalars), strict=True):
                variable.assign(value)

    def norm(self, tensors: Sequence[Any]) -> Any:
        """The Euclidean norm of all tensors together: a scalar; no gradient need go through."""
        wide = "float64" if any(keras.backend.standardize_dtype(t.dtype) == "float64" for t in tensors) else "float32"
        return ops.sqrt(sum(ops.sum(ops.square(ops.cast(tensor, wide))) for tensor in tensors))

    def after(self, tensors: Sequence[Any], values: Any) -> Any:
        """A nest of values, to be read when the tensors have been computed: passes one by one take less memory."""
        return values

    def call(self, layer: Callable, *inputs: Any, **arguments: Any) -> Any:
        """layer(*inputs, **arguments). An engine may trace it once for all layers of its family (`layer.family`).

        layer: a Keras layer, or a function without variables. inputs: tensors, or tuples of them; what depends on the
        weights. arguments: the rest.
        """
        return layer(*inputs, **arguments)

    def gradient(
        self, loss: Callable, weights: Sequence[Any], mix: Sequence[Any], wrt: str | tuple[str, ...] = "weights",
        remat: bool = False, linearize: bool = False, loss_scale: Any = None,
    ) -> Gradient:  # fmt: skip
        """The gradient of loss(weights, mix) -> (scalar, aux); assigns nothing.

        Args:
            loss: calls what has weights by `call`; its scalar is what this replica adds to the global batch's loss.
            weights: tensors; mix: [normal, reduce], the op weights, each (edges, ops).
            wrt: "weights", "mix", or a tuple of both; gradients by nothing else are built.
            remat: whether only the inputs of layers are stored on the way forward (gradient checkpointing).
            linearize: whether `Gradient.product` will be wanted; the gradient is then by the weights.
            loss_scale: a factor of the loss on the way, for float16; None for 1.
        """
        raise NotImplementedError

    def compile(self, step: Callable) -> Callable:
        """A function of nests of tensors, or of an iterator of them, as a graph where the backend has graphs."""
        return step

    def own_tapes(self) -> AbstractContextManager:
        """To be entered around a step whose tapes are all within it: an engine may then trace in fewer nodes."""
        return nullcontext()

    def building(self) -> AbstractContextManager:
        """To be entered where a model creates its layers and variables."""
        return nullcontext()


def value_of(variable) -> Any:
    """A Keras variable as a tensor: what a stateless call gives for it, or its value, which tapes see being read."""
    value = variable.value if isinstance(variable, keras.Variable) else variable
    return value.read_value() if hasattr(value, "read_value") else ops.convert_to_tensor(value)  # a tf.Variable, or not
