"""The TensorFlow engine: functions traced once, oneDNN's kernels on a CPU, variables in groups, exact second order.

Everything here computes what `engine.plain` computes, which the tests in tests/engine hold it to.
"""

import contextlib

import tensorflow as tf

from keras_pibnas.engine.interface import Gradient
from keras_pibnas.engine.plain import Plain, scaled_gradient, stretched
from keras_pibnas.engine.replicas import replica_totals
from keras_pibnas.engine.tensorflow import graphs, grouped_variables, jvp, kernels, traced
from keras_pibnas.engine.tensorflow.forms import form_of


class TensorFlow(Plain):
    """As `Engine` says, in graphs; eagerly, layers are called as they are."""

    name = "tensorflow"
    kernels = kernels

    compile = staticmethod(graphs.compile_step)
    building = staticmethod(graphs.building)
    own_tapes = staticmethod(graphs.own_tapes)
    read = staticmethod(grouped_variables.read)
    assign = staticmethod(grouped_variables.assign)
    map = staticmethod(grouped_variables.mapped)
    norm = staticmethod(grouped_variables.norm)

    def update(self, function, *variables, tensors=(), scalars=()):
        if grouped_variables.available():
            return grouped_variables.update(function, variables, tensors, scalars)
        return super().update(function, *variables, tensors=tensors, scalars=scalars)

    def after(self, tensors, values):
        if tf.executing_eagerly():
            return values
        with tf.control_dependencies(tensors):
            return tf.nest.map_structure(tf.identity, values)

    def call(self, layer, *inputs, **arguments):
        layer = form_of(layer) or layer
        direction = jvp.current_direction()
        if direction is not None:
            return direction.call(layer, inputs, arguments)
        if traced.is_shared(layer, arguments.get("training", False)):
            return traced.call(layer, *inputs, arguments["weights"])
        return super().call(layer, *inputs, **arguments)

    def gradient(self, loss, weights, mix, wrt="weights", remat=False, linearize=False, loss_scale=None):
        if tf.executing_eagerly():
            return super().gradient(loss, weights, mix, wrt, remat, linearize, loss_scale)
        sources = {"weights": list(weights), "mix": list(mix)}
        wanted = [sources[name] for name in ((wrt,) if isinstance(wrt, str) else wrt)]
        precomputed = [] if linearize and not remat else None
        with contextlib.ExitStack() as inside:
            inside.enter_context(traced.rematerialize(remat))
            inside.enter_context(traced.without_weights("weights" not in wrt))
            inside.enter_context(traced.precomputing(precomputed))
            inside.enter_context(graphs.own_tapes())
            value, aux = scaled_gradient(loss, weights, mix, wanted, loss_scale)
        value = replica_totals(value)

        def product(vector):
            return self._product(loss, weights, mix, vector, remat, precomputed, loss_scale)

        return Gradient(value[0] if isinstance(wrt, str) else tuple(value), aux, product if linearize else None)

    def _product(self, loss, weights, mix, vector, remat, precomputed, loss_scale):
        """From one pass forward, of values and their Jacobian-vector products, and one back by mix.

        Nested tapes compute a third more, or keep all that the first gradient has computed.
        """
        # Tangents of norm 1 forward, and cotangents scaled as of any loss back.
        vector, back = stretched(vector, None if loss_scale is None else 1.0)
        direction = jvp.Direction(weights, vector, precomputed)
        with traced.rematerialize(remat), graphs.own_tapes():
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(mix)
                with jvp.in_direction(direction):
                    slope = loss(weights, mix)[0].tangent
                slope = slope if loss_scale is None else slope * loss_scale
            product = tape.gradient(slope, mix, unconnected_gradients="zero")
        if loss_scale is not None:
            product = [p / loss_scale for p in product]
        return replica_totals([back(p) for p in product])
