"""Layers of a family share one trace.

A search step runs the network two to four times, forward and backward; tracing every cell of every pass takes minutes,
and so does TensorFlow's work on the graph. A function takes the weights as arguments and leaves the numbers of channels
and edges open, and the sides of the images, so one layer stands for all that are alike.
"""

import contextvars
import weakref

import keras
import numpy as np
import tensorflow as tf

from keras_pibnas.engine.context import holding
from keras_pibnas.engine.interface import value_of
from keras_pibnas.engine.kernels import fast
from keras_pibnas.engine.tensorflow import kernels
from keras_pibnas.engine.tensorflow.forms import BundleForm
from keras_pibnas.engine.tensorflow.grouped_variables import like
from keras_pibnas.engine.tensorflow.shared import Shared, Traced
from keras_pibnas.keras_private import all_layers

_WITHOUT_WEIGHTS = contextvars.ContextVar("whether no gradients by weights are built", default=False)
_REMATERIALIZE = contextvars.ContextVar("whether only inputs of layers are stored", default=False)
_PRECOMPUTED = contextvars.ContextVar("a list for what `jvp` will read, layer by layer", default=None)

_FAMILIES = weakref.WeakKeyDictionary()  # family -> its `_Traces`


def without_weights(wanted=True):
    """No gradients by weights are built of what is called inside: those by the op weights need none."""
    return holding(_WITHOUT_WEIGHTS, wanted)


def rematerialize(wanted=True):
    """Gradient checkpointing: of what is called inside only inputs are stored, and the gradient computes the rest."""
    return holding(_REMATERIALIZE, wanted)


def precomputing(values):
    """A list gets, from each layer that is called inside, what its Jacobian-vector product need not compute then."""
    return holding(_PRECOMPUTED, values)


def is_shared(layer, training):
    """Whether a layer, or its form, is called through a function that it shares with its family."""
    if not isinstance(layer, BundleForm) or layer.layer.family is None or not training:
        return False
    return not tf.executing_eagerly() and not layer.layer.synchronizes


def call(form, x, weights):
    """What the form's layer gives in training, through its family's function."""
    layer = form.layer
    state, inputs = layer.non_trainable_variables, form.inputs(x, weights)
    values, old = _values(layer.trainable_variables), _values(state)
    function = _traces(layer).function(form, values, old, inputs)
    results = function(*values, *old, *inputs.values())
    if _PRECOMPUTED.get() is not None:
        _PRECOMPUTED.get().append(results[function.count :])
    total, *moved = results[: function.count]
    for variable, value in zip(state, like(_apart(moved, old), old), strict=True) if moved else ():
        variable.assign(value)
    total.set_shape(form.output_shape(tf.nest.map_structure(lambda tensor: tensor.shape, x)))
    return form.outputs(total)


def jvp(form, inputs, tangents, direction, precomputed=None):
    """(`form.total`, its Jacobian-vector product), with tangents of images among its inputs, by name, and of weights.

    precomputed: what a call for the same inputs gave to the list of `precomputing`, or None to compute it.
    """
    layer = form.layer
    weights, old = _values(layer.trainable_variables), _values(layer.non_trainable_variables)
    function = _traces(layer).function(form, weights, old, inputs, precomputed is None)
    direction = [tf.cast(tangent, weight.dtype) for tangent, weight in zip(direction, weights, strict=True)]
    tensors = [*weights, *old, *inputs.values(), *direction, *tangents.values()]
    return function(*tensors, precomputed=precomputed or ())


def _values(variables):
    """Values given by a stateless call, or read so that tapes see which variable they are of."""
    return [value_of(variable) for variable in variables]


def _traces(layer):
    return _FAMILIES.setdefault(layer.family, _Traces())


class _Traces:
    """The functions of a family, by kind: form, types and shapes."""

    def __init__(self):
        self.traced, self.functions = {}, {}

    def function(self, form, weights, state, inputs, from_start=None):
        """The `Shared` function of a form's layer.

        from_start: for its `jvp`, whether nothing is precomputed; None for the layer itself.
        """
        # The plain kernels, for GPUs and float64, read numbers of channels and sides from shapes.
        dynamic = form.dynamic and fast(inputs["x"])
        images = [tensor for tensor in inputs.values() if len(tensor.shape) == 4]
        any_side = dynamic and all(kernels.for_any_side(image, form.strides) for image in images)
        signature = _signature(weights, state, inputs, dynamic, any_side)
        kind = type(form), form.kind, _frozen(form.layer), *((spec.shape, spec.dtype) for spec in signature)
        dual = from_start is not None or _PRECOMPUTED.get() is not None
        if kind not in self.traced or (dual and self.traced[kind].dual is None):
            self.traced[kind] = _trace(form, signature, inputs, dual)
        traced, frozen, remat = self.traced[kind], _WITHOUT_WEIGHTS.get(), _REMATERIALIZE.get()
        key = *kind, traced.dual is None, frozen, remat, from_start
        if key not in self.functions:
            self.functions[key] = _shared(traced, len(weights), frozen, remat, from_start)
        return self.functions[key]


def _shared(traced, weights, frozen, remat, from_start):
    part = traced.plain if from_start is None else traced.dual
    there = [gradient is not None for gradient in part.gradients[: len(part.gradients) - len(part.captured)]]
    if from_start is not None:
        return Shared(part, there, remat, precomputed=() if from_start or remat else traced.common)
    wanted = [has and not (frozen and place < weights) for place, has in enumerate(there)]
    extra = () if remat else traced.common
    return Shared(part, wanted, remat, 1 if frozen else None, extra, traced=traced)


def _trace(form, signature, inputs, dual):
    """dual: whether the Jacobian-vector product by weights and images is traced, too."""
    layer = form.layer
    weights, state = len(layer.trainable_variables), len(layer.non_trainable_variables)
    names = list(inputs)
    # For each argument, whether there is a gradient by it; `source` and `copies` are constants.
    by = [*[True] * weights, *[False] * state, *(name not in ("source", "copies") for name in names)]
    images = [weights + state + place for place, name in enumerate(names) if len(inputs[name].shape) == 4]
    return Traced(_stateless(form, names), signature, by, [*range(weights), *images] if dual else (), weights)


def _frozen(layer):
    """For each of the layers within, whether it is frozen: its normalizations then use moving statistics."""
    parts = getattr(layer, "layers", (layer,))
    return tuple(not inner.trainable for part in parts for inner in all_layers(part))


def _signature(weights, state, inputs, dynamic, any_side):
    """The arguments' types: for any number of images, and where wanted, of channels and edges, and any sides."""
    static = 2 if dynamic else 4  # of a kernel (kh, kw, I, O)
    filters, held = ([_spec(t, _opened(t.shape, static)) for t in tensors] for tensors in (weights, state))
    if dynamic:  # statistics (C,); frozen kernels are among what is held, too
        held = [_spec(t, (None,)) if t.shape.rank == 1 else spec for t, spec in zip(state, held, strict=True)]
    shapes = {name: (None, *tensor.shape[1:]) for name, tensor in inputs.items() if len(tensor.shape) == 4}
    if dynamic:
        sides = {name: (None, None) if any_side else shape[1:3] for name, shape in shapes.items()}
        shapes = {name: (None, *both, None) for name, both in sides.items()}
        shapes |= {"source": (None,), "copies": (None, None)}
        shapes |= {"mix": (None, inputs["mix"].shape[1])} if "mix" in inputs else {}
    return [*filters, *held, *(_spec(t, shapes.get(name, t.shape)) for name, t in inputs.items())]


def _opened(shape, static):
    """The first so many dimensions as they are, the others unknown."""
    return (*shape[:static], *[None] * len(shape[static:]))


def _spec(tensor, shape):
    return tf.TensorSpec(shape, tensor.dtype)


def _vectors_alike(tensors):
    return len({tensor.dtype for tensor in tensors}) == 1 and all(tensor.shape.rank == 1 for tensor in tensors)


def _together(tensors, models):
    """Vectors end to end: every output of a function costs time."""
    return [tf.concat(tensors, 0)] if _vectors_alike(models) else tensors


def _apart(together, models):
    """What `_together` was given, tensors of the models' sizes."""
    if not _vectors_alike(models):
        return together
    sizes = kernels.constant(np.array, tuple(model.shape[0] for model in models), dtype="int32")
    axis = kernels.constant(int, 0, dtype="int32")
    return tf.raw_ops.SplitV(value=together[0], size_splits=sizes, axis=axis, num_split=len(models))


def _stateless(form, names):
    """(*weights, *state, *inputs) -> the form's total and moved statistics, `_together`, from these tensors alone."""
    layer = form.layer
    state = layer.non_trainable_variables
    variables = [*layer.trainable_variables, *state]
    count = len(variables)

    def total(*tensors):
        # A mapping given to the scope here would have to have the variables' own shapes.
        with keras.StatelessScope() as scope, kernels.any_side():
            for pair in zip(variables, tensors[:count], strict=True):
                scope.add_update(pair)
            output = form.total(dict(zip(names, tensors[count:], strict=True)), training=True)
        moved = [tf.stop_gradient(scope.get_current_value(variable)) for variable in state]
        return output, *_together(moved, tensors[count - len(state) : count])

    return total
