"""Bundles that are alike share one trace."""

import contextlib
import contextvars

import keras
import tensorflow as tf

from keras_pibnas.layers.primitives import fast
from keras_pibnas.layers.replicas import replica_count
from keras_pibnas.packs import read

_FROZEN = contextvars.ContextVar("whether gradients by weights are wanted by nobody", default=False)


@contextlib.contextmanager
def frozen_weights():
    """What is traced inside computes no gradients by the weights of ops (the alpha step of order 1 needs none)."""
    token = _FROZEN.set(True)
    try:
        yield
    finally:
        _FROZEN.reset(token)


@contextlib.contextmanager
def shared_functions():
    """Inside, a function that is called often is optimized once.

    TensorFlow's graph optimizer would make a copy of it for every call, and optimize each: half a minute a search.
    """
    name = "function_optimization"
    before = tf.config.optimizer.get_experimental_options().get(name, True)
    tf.config.optimizer.set_experimental_options({name: False})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({name: before})


class TracedBundles:
    """Calls a MixedBundle through a tf.function that is traced once for all bundles of a kind.

    A search step runs the network two to four times, forward and backward; tracing every cell of every pass takes
    minutes, and so does TensorFlow's work on the graph. The function takes the weights as arguments and leaves the
    numbers of channels and edges open, so one bundle's layers stand for all whose images have the same side.
    """

    def __init__(self):
        self._functions = {}

    def __call__(self, bundle, x, mix, training):
        if (
            not training
            or tf.executing_eagerly()
            or isinstance(mix, keras.KerasTensor)
            or replica_count() > 1
        ):
            return bundle(x, mix=mix, training=training)
        state = bundle.non_trainable_variables
        arguments = read(bundle.trainable_variables), read(state), bundle.inputs(x, mix)
        total, moved = self._function(bundle, arguments)(*arguments)
        if state and not _FROZEN.get():
            for variable, value in zip(state, tf.split(moved, [v.shape[0] for v in state]), strict=True):
                variable.assign(value)
        total.set_shape(bundle.compute_output_shape(x.shape))
        return bundle.by_edge(total)

    def _function(self, bundle, arguments):
        # The plain forms, for GPUs and float64, read numbers of channels from shapes.
        signature = _signature(*arguments, bundle.any_width and fast(arguments[-1]["x"]))
        key = (_FROZEN.get(), bundle.strides, *((spec.shape, spec.dtype) for spec in tf.nest.flatten(signature)))
        if key not in self._functions:
            self._functions[key] = tf.function(
                _stateless(bundle, _FROZEN.get()),
                input_signature=signature,
                autograph=False,
                experimental_attributes={"_noinline": True},
            )
        return self._functions[key]


def _signature(weights, state, inputs, any_width):
    """The arguments' types: for any number of images, and where these are right, of channels and edges."""
    static = 2 if any_width else 4  # of a kernel (kh, kw, I, O)
    kernels = [_spec(t, (*t.shape[:static], *[None] * len(t.shape[static:]))) for t in weights]
    vectors = [_spec(t, (None,) if any_width else t.shape) for t in state]
    shapes = {name: (None, *tensor.shape[1:]) for name, tensor in inputs.items() if len(tensor.shape) == 4}
    if any_width:
        shapes = {name: (*shape[:3], None) for name, shape in shapes.items()}
        shapes |= {"mix": (None, inputs["mix"].shape[1]), "source": (None,), "copies": (None, None)}
    return kernels, vectors, {name: _spec(t, shapes.get(name, t.shape)) for name, t in inputs.items()}


def _spec(tensor, shape):
    return tf.TensorSpec(shape, tensor.dtype)


def _stateless(bundle, frozen):
    """(weights, state, inputs) -> the bundle's total and moved statistics, end to end, from these tensors alone.

    As one vector: TensorFlow makes a constant of zeros for every output that has no gradient. None of a frozen one's.
    """
    own_weights, own_state = bundle.trainable_variables, bundle.non_trainable_variables

    def total(weights, state, inputs):
        weights = [tf.stop_gradient(w) for w in weights] if frozen else weights
        with keras.StatelessScope() as scope:  # a mapping given here would have to have the variables' own shapes
            for pair in zip([*own_weights, *own_state], [*weights, *state], strict=True):
                scope.add_update(pair)
            output = bundle.total(inputs, training=True)
        if frozen or not own_state:
            return output, tf.zeros((0,))
        return output, tf.stop_gradient(tf.concat([scope.get_current_value(v) for v in own_state], 0))

    return total
