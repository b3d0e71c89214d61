"""The plain engine: the definition. Layers are called as they are, and nested tapes differentiate."""

import contextvars

import keras

from keras_pibnas.engine.context import holding
from keras_pibnas.engine.interface import Engine, Gradient, value_of
from keras_pibnas.engine.replicas import replica_totals

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

_REMATERIALIZE = contextvars.ContextVar("whether only inputs of layers are stored", default=False)


class Plain(Engine):
    """As `Engine` says, in `keras.ops` and tapes."""

    name = "plain"

    def call(self, layer, *inputs, **arguments):
        if _REMATERIALIZE.get() and hasattr(layer, "trainable_variables"):
            return _rematerialized(layer, inputs, arguments)
        return layer(*inputs, **arguments)

    def gradient(self, loss, weights, mix, wrt="weights", remat=False, linearize=False, loss_scale=None):
        sources = {"weights": list(weights), "mix": list(mix)}
        wanted = [sources[name] for name in ((wrt,) if isinstance(wrt, str) else wrt)]
        with tf.GradientTape(watch_accessed_variables=False) as outer, holding(_REMATERIALIZE, remat):
            outer.watch(mix if linearize else [])
            value, aux = scaled_gradient(loss, weights, mix, wanted, loss_scale)

        def product(vector):
            vector, back = stretched(vector, loss_scale)
            products = outer.gradient(value[0], mix, vector, unconnected_gradients="zero")
            return replica_totals([back(p) for p in products])

        summed = replica_totals(value)
        return Gradient(summed[0] if isinstance(wrt, str) else tuple(summed), aux, product if linearize else None)

    def compile(self, step):
        return tf.function(step, autograph=False, reduce_retracing=True)


def scaled_gradient(loss, weights, mix, wanted, loss_scale):
    """(Gradients by the lists of tensors that are wanted, extra outputs of loss), of this replica."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(wanted)
        value, aux = loss(weights, mix)
        value = value if loss_scale is None else value * loss_scale
    gradients = tape.gradient(value, wanted, unconnected_gradients="zero")
    for part, source in zip(tf.nest.flatten(gradients), tf.nest.flatten(wanted), strict=True):
        part.set_shape(source.shape)  # functions shared by layers leave numbers of channels open
    if loss_scale is not None:
        gradients = tf.nest.map_structure(lambda g: g / loss_scale, gradients)
    return gradients, aux


def stretched(vector, loss_scale):
    """(The vector stretched, (product with it) -> product with the vector), scaled for low precision.

    Then what passes through the network is as large as activations and their scaled gradients are.
    """
    if loss_scale is None:
        return vector, lambda product: product
    stretch = loss_scale / tf.maximum(tf.linalg.global_norm(vector), 1e-30)
    return [stretch * v for v in vector], lambda product: product / stretch


def _rematerialized(layer, inputs, arguments):
    """layer(*inputs, **arguments), whose gradient computes everything between its inputs and outputs again."""
    variables, state = layer.trainable_variables, layer.non_trainable_variables
    tensors = [value_of(variable) for variable in (*variables, *state)]
    mixed = {name: value for name, value in arguments.items() if name == "weights" and value is not None}
    given, count = tf.nest.flatten((inputs, mixed)), len(tensors)

    def compute(*values):
        here, weights = tf.nest.pack_sequence_as((inputs, mixed), list(values[count:]))
        with keras.StatelessScope() as scope:
            for pair in zip((*variables, *state), values[:count], strict=True):
                scope.add_update(pair)
            outputs = layer(*here, **arguments | weights)
        return outputs, [tf.stop_gradient(scope.get_current_value(variable)) for variable in state]

    structure = []

    @tf.custom_gradient
    def run(*values):
        results = compute(*values)
        structure[:] = [results]

        def gradient(*cotangents):
            with tf.control_dependencies(cotangents):  # not before: else the forward pass is taken for it
                values_again = [tf.identity(value) for value in values]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(values_again)
                again = tf.nest.flatten(compute(*values_again))
            return tape.gradient(again, values_again, list(cotangents), unconnected_gradients="zero")

        return tf.nest.flatten(results), gradient

    flat = run(*tensors, *given)
    outputs, moved = tf.nest.pack_sequence_as(structure[0], tf.nest.flatten(flat))
    for variable, value in zip(state, moved, strict=True):
        variable.assign(value)
    return outputs
