"""Bundles that are alike share one trace."""

import contextlib
import contextvars
import functools

import keras
import tensorflow as tf
from tensorflow.python.eager import record

from keras_pibnas.layers import native
from keras_pibnas.layers.primitives import fast
from keras_pibnas.layers.replicas import replica_count
from keras_pibnas.packs import read

_FROZEN = contextvars.ContextVar("whether gradients by weights are wanted by nobody", default=False)
_RECOMPUTED = contextvars.ContextVar("whether gradients compute bundles again", default=False)


@contextlib.contextmanager
def _holding(variable, value):
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def frozen_weights():
    """What is traced inside computes no gradients by the weights of ops: the alpha step of order 1 needs none, nor does
    the last backward pass of order 2."""
    return _holding(_FROZEN, True)


def recomputed_bundles(wanted=True):
    """What is traced inside keeps of a bundle nothing but its input, and computes it again for each gradient.

    Its gradient can be differentiated again, but not by the weights of ops.
    """
    return _holding(_RECOMPUTED, wanted or _RECOMPUTED.get())


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
        with _optimizing(disable_meta_optimizer=False):  # what is called inside keeps these options
            return function(*arguments)

    traced = tf.function(body, autograph=False, reduce_retracing=True)

    def call(*arguments):
        with _optimizing(disable_meta_optimizer=True, function_optimization=False):
            return traced(*arguments)

    return call


def once_there(tensors, batch):
    """The batch, to be read when the tensors have been computed: what follows calls the same functions."""
    with tf.control_dependencies(tensors):
        return tf.nest.map_structure(tf.identity, batch)


class TracedBundles:
    """Calls a MixedBundle, or a cell's Preprocessing, through a tf.function, traced once for all of a kind.

    A search step runs the network two to four times, forward and backward; tracing every cell of every pass takes
    minutes, and so does TensorFlow's work on the graph. The function takes the weights as arguments and leaves the
    numbers of channels and edges open, and the sides of the images, so one bundle's layers stand for all.

    No two calls of a function may run at the same time: oneDNN's batch normalization keeps the number of channels in
    its node while it runs, and would write where it must not. Each call needs what another gave; passes that do not
    see to it by `once_there`.
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
        state, inputs = bundle.non_trainable_variables, bundle.inputs(x, mix)
        weights, old = read(bundle.trainable_variables), read(state)
        function = self._function(bundle, weights, old, inputs)
        total, moved = function(*weights, *old, *inputs.values())
        if state and not _FROZEN.get():
            for variable, value in zip(state, tf.split(moved, [v.shape[0] for v in state]), strict=True):
                variable.assign(value)
        total.set_shape(bundle.compute_output_shape(tf.nest.map_structure(lambda tensor: tensor.shape, x)))
        return bundle.outputs(total)

    def _function(self, bundle, weights, state, inputs):
        # The plain forms, for GPUs and float64, read numbers of channels and sides from shapes.
        any_width = bundle.any_width and fast(inputs["x"])
        images = [tensor for tensor in inputs.values() if len(tensor.shape) == 4]
        any_side = any_width and all(native.for_any_side(image, bundle.strides) for image in images)
        signature = _signature(weights, state, inputs, any_width, any_side)
        key = type(bundle), _FROZEN.get(), _RECOMPUTED.get(), bundle.strides, *((s.shape, s.dtype) for s in signature)
        if key not in self._functions:
            self._functions[key] = self._make(bundle, signature, list(inputs))
        return self._functions[key]

    def _make(self, bundle, signature, names):
        function = _stateless(bundle, names, _FROZEN.get())
        if not _RECOMPUTED.get():
            return _in_one_node(function, signature)
        count = len(bundle.trainable_variables)
        state = len(bundle.non_trainable_variables)
        inputs = [name not in ("source", "copies") for name in names]  # these are constants
        first, second = ([weights] * count + [False] * state + inputs for weights in (not _FROZEN.get(), False))
        return Recomputed(function, signature, first, second)


def _in_one_node(function, signature):
    attributes = {"_noinline": True}
    return tf.function(function, signature, autograph=False, experimental_attributes=attributes)


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


def _stateless(bundle, names, frozen):
    """(*weights, *state, *inputs) -> the bundle's total and moved statistics, end to end, from these tensors alone.

    As one vector: TensorFlow makes a constant of zeros for every output that has no gradient. None of a frozen one's.
    """
    variables = [*bundle.trainable_variables, *bundle.non_trainable_variables]
    count, state = len(bundle.trainable_variables), bundle.non_trainable_variables

    def total(*tensors):
        if frozen:
            tensors = [*(tf.stop_gradient(w) for w in tensors[:count]), *tensors[count:]]
        # A mapping given to the scope here would have to have the variables' own shapes.
        with keras.StatelessScope() as scope, native.any_side():
            for pair in zip(variables, tensors[: len(variables)], strict=True):
                scope.add_update(pair)
            output = bundle.total(dict(zip(names, tensors[len(variables) :], strict=True)), training=True)
        if frozen or not state:
            return output, tf.zeros((0,))
        return output, tf.stop_gradient(tf.concat([scope.get_current_value(v) for v in state], 0))

    return total


class Recomputed:
    """A function of tensors that keeps nothing but its arguments for its gradient, which computes it again.

    The function and its gradients are each traced once, and one node of a graph wherever they are called.

    Args:
        function: (*tensors) -> several tensors.
        signature: the arguments' types.
        first: for each argument, whether there is a gradient by it.
        second: whether this gradient can be differentiated by it; None where nobody will. Under `frozen_weights`
            the first gradient, too, is by these alone.
    """

    def __init__(self, function, signature, first, second=None):
        self.function, self.signature, self.first, self.second = function, signature, first, second
        self.traced = _in_one_node(function, signature).get_concrete_function()
        self._made = {}
        self.outputs = [tf.TensorSpec(output.shape, output.dtype) for output in self.traced.outputs]

    def __call__(self, *tensors):
        sources = [tensor for tensor, by in zip(tensors, self.first, strict=True) if by]
        types = [output.dtype for output in self.outputs]
        with record.stop_recording():
            # Called as usual, the function would prepare for another gradient, and keep what that needs.
            outputs = tf.raw_ops.PartitionedCall(args=tensors, Tout=types, f=self.traced)
        # As tf.custom_gradient, but for tapes alone: one to four nodes less for every argument.
        gradient = lambda *g: self._gradients_by(sources, tensors, g)  # noqa: E731
        record.record_operation("Recomputed", outputs, sources, gradient)
        return outputs

    def _gradients_by(self, sources, tensors, g):
        wanted = self.second if self.second and _FROZEN.get() else self.first
        found = iter(self._gradient(tuple(wanted))(*tensors, *g))
        gradients = [next(found) if by else None for by, has in zip(wanted, self.first, strict=True) if has]
        for gradient, source in zip(gradients, sources, strict=True):
            if gradient is not None:
                gradient.set_shape(source.shape)
        return gradients

    def _gradient(self, wanted):
        if wanted not in self._made:
            backward = functools.partial(self._backward, wanted)
            again = [*(self.second or [False] * len(self.first)), *[True] * len(self.outputs)]
            self._made[wanted] = Recomputed(backward, [*self.signature, *self.outputs], again)
        return self._made[wanted]

    def _backward(self, wanted, *arguments):
        tensors, g = arguments[: len(wanted)], arguments[len(wanted) :]
        sources = [tensor for tensor, by in zip(tensors, wanted, strict=True) if by]
        with tf.GradientTape() as tape:
            tape.watch(sources)
            outputs = self.function(*tensors)
        return tape.gradient(outputs, sources, list(g), unconnected_gradients="zero")
