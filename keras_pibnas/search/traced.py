"""Bundles that are alike share one trace."""

import contextlib
import contextvars

import keras
import numpy as np
import tensorflow as tf

from keras_pibnas.layers import native
from keras_pibnas.layers.context import holding, no_collection
from keras_pibnas.layers.derivatives import tapes_alone
from keras_pibnas.layers.primitives import fast
from keras_pibnas.layers.replicas import replica_count
from keras_pibnas.packs import like, read
from keras_pibnas.search.dual import Dual
from keras_pibnas.search.shared import Shared, Traced

_FROZEN = contextvars.ContextVar("whether gradients by weights are wanted by nobody", default=False)
_RECOMPUTED = contextvars.ContextVar("whether gradients compute bundles again", default=False)
_KEPT = contextvars.ContextVar("a list for what `along` will read, bundle by bundle", default=None)


def frozen_weights():
    """What is traced inside computes no gradients by the weights of ops: the alphas of order 1 need none."""
    return holding(_FROZEN, True)


def recomputed_bundles(wanted):
    """What is traced inside keeps of a bundle nothing but its input, and computes it again for its gradient."""
    return holding(_RECOMPUTED, wanted)


def kept_in(values):
    """A list gets, from each bundle that is traced inside, what `TracedBundles.along` will need not compute then."""
    return holding(_KEPT, values)


@contextlib.contextmanager
def _optimizing(**wanted):
    """TensorFlow's graph optimizer with these options."""
    before = {name: tf.config.optimizer.get_experimental_options().get(name) for name in wanted}
    tf.config.optimizer.set_experimental_options(wanted)
    try:
        yield
    finally:
        unset = {"function_optimization": True, "disable_meta_optimizer": False}
        tf.config.optimizer.set_experimental_options(
            {name: unset[name] if value is None else value for name, value in before.items()}
        )


def shared_functions():
    """Inside, a function that is called often is optimized once.

    TensorFlow's graph optimizer would make a copy of it for every call, and optimize each: half a minute a search.
    """
    return _optimizing(function_optimization=False)


def soon_started(function):
    """A tf.function whose own graph is left as it is, and of all that it calls each function is optimized once.

    These hold nearly all of the work, and thousands of nodes need not be looked at before the first call.
    """

    def body(*arguments):
        # What is called inside keeps these options.
        with _optimizing(disable_meta_optimizer=False), no_collection(), tapes_alone():
            return function(*_unsearched(arguments))

    traced = tf.function(body, autograph=False, reduce_retracing=True)

    def call(*arguments):
        with _optimizing(disable_meta_optimizer=True, function_optimization=False):
            return traced(*arguments)

    return call


def _unsearched(arguments):
    """The arguments, to be read after a node of a reference type.

    TensorFlow looks for reference variables, which XLA cannot have, inside of every call's function, forward and back,
    unless the call comes after one that is found already. That was half of its work on the graph.
    """
    if tf.executing_eagerly():
        return arguments
    reference = tf.raw_ops.VariableV2(shape=(), dtype=tf.float32, shared_name="keras_pibnas_reference")
    with tf.control_dependencies([reference]):
        read = lambda tensor: None if tensor is None else tf.identity(tensor)  # noqa: E731
        return tf.nest.map_structure(read, arguments, expand_composites=True)


def once_there(tensors, batch):
    """The batch, to be read when the tensors have been computed: what follows calls the same functions."""
    with tf.control_dependencies(tensors):
        return tf.nest.map_structure(tf.identity, batch)


class TracedBundles:
    """Calls a MixedBundle, or a cell's Preprocessing, through a `Shared` function, traced once for all of a kind.

    A search step runs the network two to four times, forward and backward; tracing every cell of every pass takes
    minutes, and so does TensorFlow's work on the graph. A function takes the weights as arguments and leaves the
    numbers of channels and edges open, and the sides of the images, so one bundle's layers stand for all.

    Two calls of a function may run at the same time only if they have equally many channels: oneDNN's batch
    normalization keeps their number in its node while it runs, and would write where it must not. The two bundles that
    read a cell's inputs do; of the others, each needs what another gave, and passes see to it by `once_there`.
    """

    def __init__(self):
        self._traced, self._functions = {}, {}

    def __call__(self, bundle, x, mix, training):
        if (
            not training
            or tf.executing_eagerly()
            or isinstance(mix, keras.KerasTensor)
            or replica_count() > 1
        ):
            return bundle(x, mix=mix, training=training)
        state, inputs = bundle.non_trainable_variables, bundle.inputs(x, mix)
        weights, old = read(bundle.trainable_variables), read(state)
        function = self._function(bundle, weights, old, inputs)
        results = function(*weights, *old, *inputs.values())
        if _KEPT.get() is not None:
            _KEPT.get().append(results[function.count :])
        total, *moved = results[: function.count]
        for variable, value in zip(state, like(_apart(moved, old), old), strict=True) if moved else ():
            variable.assign(value)
        total.set_shape(bundle.compute_output_shape(tf.nest.map_structure(lambda tensor: tensor.shape, x)))
        return bundle.outputs(total)

    def whole(self, layer, x, training):
        """A layer outside of cells."""
        return layer(x, training=training)

    def along(self, bundle, inputs, tangents, direction, kept=None):
        """`bundle.total` as a Dual, along tangents of images among its inputs, by name, and a direction of weights.

        kept: what a call for the same inputs gave to the list of `kept_in`, or None to compute it.
        """
        weights, old = read(bundle.trainable_variables), read(bundle.non_trainable_variables)
        function = self._function(bundle, weights, old, inputs, kept is None)
        direction = [tf.cast(tangent, weight.dtype) for tangent, weight in zip(direction, weights, strict=True)]
        tensors = [*weights, *old, *inputs.values(), *direction, *tangents.values()]
        return Dual(*function(*tensors, given=kept or ()))

    def _function(self, bundle, weights, state, inputs, from_start=None):
        """from_start: for `along`, whether nothing is given to it; None for the bundle itself."""
        # The plain forms, for GPUs and float64, read numbers of channels and sides from shapes.
        any_width = bundle.any_width and fast(inputs["x"])
        images = [tensor for tensor in inputs.values() if len(tensor.shape) == 4]
        any_side = any_width and all(native.for_any_side(image, bundle.strides) for image in images)
        signature = _signature(weights, state, inputs, any_width, any_side)
        kind = type(bundle), bundle.strides, *((spec.shape, spec.dtype) for spec in signature)
        dual = from_start is not None or _KEPT.get() is not None
        if kind not in self._traced or (dual and self._traced[kind].dual is None):
            self._traced[kind] = _trace(bundle, signature, inputs, dual)
        traced, frozen, recomputed = self._traced[kind], _FROZEN.get(), _RECOMPUTED.get()
        key = *kind, traced.dual is None, frozen, recomputed, from_start
        if key not in self._functions:
            self._functions[key] = _shared(traced, len(weights), frozen, recomputed, from_start)
        return self._functions[key]


def _shared(traced, weights, frozen, recomputed, from_start):
    part = traced.plain if from_start is None else traced.dual
    there = [gradient is not None for gradient in part.gradients[: len(part.gradients) - len(part.captured)]]
    if from_start is not None:
        return Shared(part, there, recomputed, given=() if from_start or recomputed else traced.common)
    wanted = [has and not (frozen and place < weights) for place, has in enumerate(there)]
    beside = () if recomputed else traced.common
    return Shared(part, wanted, recomputed, 1 if frozen else None, beside)


def _trace(bundle, signature, inputs, dual):
    """dual: whether the derivative along weights and images is traced, too."""
    weights, state = len(bundle.trainable_variables), len(bundle.non_trainable_variables)
    names = list(inputs)
    # For each argument, whether there is a gradient by it; `source` and `copies` are constants.
    by = [*[True] * weights, *[False] * state, *(name not in ("source", "copies") for name in names)]
    images = [weights + state + place for place, name in enumerate(names) if len(inputs[name].shape) == 4]
    return Traced(_stateless(bundle, names), signature, by, [*range(weights), *images] if dual else (), weights)


def _signature(weights, state, inputs, any_width, any_side):
    """The arguments' types: for any number of images, and where wanted, of channels and edges, and any sides."""
    static = 2 if any_width else 4  # of a kernel (kh, kw, I, O)
    kernels = [_spec(t, (*t.shape[:static], *[None] * len(t.shape[static:]))) for t in weights]
    vectors = [_spec(t, (None,) if any_width else t.shape) for t in state]
    shapes = {name: (None, *tensor.shape[1:]) for name, tensor in inputs.items() if len(tensor.shape) == 4}
    if any_width:
        sides = {name: (None, None) if any_side else shape[1:3] for name, shape in shapes.items()}
        shapes = {name: (None, *both, None) for name, both in sides.items()}
        shapes |= {"source": (None,), "copies": (None, None)}
        shapes |= {"mix": (None, inputs["mix"].shape[1])} if "mix" in inputs else {}
    return [*kernels, *vectors, *(_spec(t, shapes.get(name, t.shape)) for name, t in inputs.items())]


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
    sizes = native.constant(np.array, tuple(model.shape[0] for model in models), dtype="int32")
    axis = native.constant(int, 0, dtype="int32")
    return tf.raw_ops.SplitV(value=together[0], size_splits=sizes, axis=axis, num_split=len(models))


def _stateless(bundle, names):
    """(*weights, *state, *inputs) -> the bundle's total and moved statistics, `_together`, from these tensors alone."""
    state = bundle.non_trainable_variables
    variables = [*bundle.trainable_variables, *state]
    count = len(variables)

    def total(*tensors):
        # A mapping given to the scope here would have to have the variables' own shapes.
        with keras.StatelessScope() as scope, native.any_side():
            for pair in zip(variables, tensors[:count], strict=True):
                scope.add_update(pair)
            output = bundle.total(dict(zip(names, tensors[count:], strict=True)), training=True)
        moved = [tf.stop_gradient(scope.get_current_value(variable)) for variable in state]
        return output, *_together(moved, tensors[count - len(state) : count])

    return total
