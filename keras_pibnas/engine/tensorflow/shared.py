"""Functions that are traced once and are one node of a graph wherever they are called, and so are their gradients."""

from collections import namedtuple

import tensorflow as tf

from keras_pibnas.engine.tensorflow import private
from keras_pibnas.engine.tensorflow.calls import call
from keras_pibnas.engine.tensorflow.cut import cut, keys, origin, walk
from keras_pibnas.engine.tensorflow.derivatives import are_tapes_alone, for_jvp, tapes_alone, transposing

Part = namedtuple("Part", "arguments captured outputs cotangents gradients")


def _optimization():
    """How TensorFlow's graph optimizer goes over a function: once, not twice, and without two passes that gain nothing.

    Those order additions for GPUs' memory, and lower branches. A second less before the first step.
    """
    config = tf.compat.v1.ConfigProto()
    rewriting = config.graph_options.rewrite_options
    rewriting.meta_optimizer_iterations = rewriting.ONE
    rewriting.memory_optimization = rewriting.NO_MEM_OPT
    rewriting.disable_tfg_optimizer = True
    return config.SerializeToString()


_CONFIG = _optimization()


class Traced:
    """A function of tensors and its gradients by its arguments, traced once, in one graph.

    Args:
        function: (*tensors) -> several tensors.
        signature: the arguments' types.
        by: for each argument, whether there is a gradient by it.
        along: places of arguments that get tangents, all of them among `by`; if there are any, the first output's
            Jacobian-vector product is traced, too.
        frozen: the first so many arguments are those by which that product has no gradients.

    Attributes, tensors of the graph as `Part`s, which `Shared` makes functions of:
        plain: the function.
        dual: with the tangents as further arguments, (first output, its Jacobian-vector product); None without.
        common: what `dual` reads that `plain` computes on its way to the first output.
    """

    def __init__(self, function, signature, by, along=(), frozen=0):
        self.function, self.by, self.signature = function, by, signature
        count, places = len(signature), [place for place, has in enumerate(by) if has]
        dual_by = [has and place >= frozen for place, has in enumerate(by)]
        dual_by += [place >= frozen for place in along]

        def with_gradient(*arguments):
            with tapes_alone(), for_jvp(bool(along)):
                return differentiated(arguments[:count], arguments[count:])

        def differentiated(tensors, tangents):
            with tf.GradientTape(watch_accessed_variables=False) as outer:
                dual_sources = _chosen([*tensors, *tangents], dual_by) if along else []
                outer.watch(dual_sources)
                sources = _chosen(tensors, by)
                with tf.GradientTape(watch_accessed_variables=False) as tape:
                    tape.watch(sources)
                    outputs = list(function(*tensors))
                cotangents = [tf.zeros_like(output) for output in outputs]  # stand for those that come
                with tf.GradientTape(watch_accessed_variables=False) as transpose:
                    transpose.watch(cotangents[:1] if along else [])
                    gradients = tape.gradient(outputs, sources, cotangents, unconnected_gradients="zero")
                if not along:
                    return outputs, cotangents, gradients
                moving = [gradients[places.index(place)] for place in along]
                with transposing():  # the gradient is linear in its cotangent, and its transpose is the product
                    tangent = transpose.gradient(moving, cotangents[0], tangents, unconnected_gradients="zero")
            dual = [outputs[0], tangent]
            dual_cotangents = [tf.zeros_like(output) for output in dual]
            dual_gradients = outer.gradient(dual, dual_sources, dual_cotangents, unconnected_gradients="zero")
            return outputs, cotangents, gradients, dual, dual_cotangents, dual_gradients

        tangents = [signature[place] for place in along]
        traced = tf.function(with_gradient, [*signature, *tangents], autograph=False).get_concrete_function()
        results = [[origin(tensor) for tensor in part] for part in traced.structured_outputs]

        def part(arguments, by, outputs, cotangents, gradients):
            left = iter(gradients)
            gradients = [next(left) if has else None for has in by] + [None] * len(captured)
            return Part([*arguments, *captured], traced.captured_inputs, outputs, cotangents, gradients)

        arguments, captured = traced.inputs[: count + len(along)], traced.inputs[count + len(along) :]
        self.plain = part(arguments[:count], by, *results[:3])
        self.dual = part(arguments, dual_by, *results[3:]) if along else None
        self.common = self._common() if along else []
        self._again = {}

    def gradient_again(self, by, count):
        """(tensors, cotangents of the first `count` outputs, v) -> derivatives of <gradient by the tensors, v>.

        By the tensors and by the cotangents, zero where there is none. For tapes of a user's own around a tape, which
        are rare: traced when first asked for, from the plain function.
        """
        key = tuple(by), count
        if key not in self._again:

            def again(tensors, cotangents, vectors):
                with tf.GradientTape() as outer:
                    outer.watch([tensor for tensor in [*tensors, *cotangents] if tensor.dtype.is_floating])
                    with tf.GradientTape() as tape:
                        tape.watch(_chosen(tensors, by))
                        outputs = list(self.function(*tensors))[:count]
                    gradients = tape.gradient(outputs, _chosen(tensors, by), cotangents, unconnected_gradients="zero")
                sources = [*_chosen(tensors, by), *cotangents]
                return outer.gradient(gradients, sources, vectors, unconnected_gradients="zero")

            # As open as the signature: other layers of the family may have other numbers of channels.
            cotangents = [tf.TensorSpec(output.shape, output.dtype) for output in self.plain.outputs[:count]]
            types = list(self.signature), cotangents, _chosen(self.signature, by)
            self._again[key] = tf.function(again, types, autograph=False)
        return self._again[key]

    def _common(self):
        ends = keys([*self.dual.arguments, *self.dual.cotangents])
        inside, _ = walk(self.plain.outputs[:1], ends)
        gradients = [gradient for gradient in self.dual.gradients if gradient is not None]
        _, read = walk([*self.dual.outputs, *gradients], ends, inside)
        return [tensor for key, tensor in read.items() if key not in ends]


class Shared:
    """A function of tensors, and its gradient, with no residuals but those that it needs.

    TensorFlow's own functions store what gradients by all arguments would need, wanted or not, and what gradients of
    gradients would. Here the graph of both is cut in two.

    Args:
        part: one of `Traced`.
        wanted: for each argument, whether its gradient, which is there, is wanted.
        rematerialize: gradient checkpointing, only the arguments are stored.
        count: how many of the outputs are wanted, from the first on.
        extra: tensors of the graph that a call gives after the outputs; no gradient flows through them.
        precomputed: tensors of the graph that a call gets after the arguments instead of computing them.
        traced: the `Traced`, so that the gradient can be differentiated; None where nobody will.
    """

    def __init__(self, part, wanted, rematerialize=False, count=None, extra=(), precomputed=(), traced=None):
        self.captured, self.traced = part.captured, traced  # captured: constants from outside
        arguments, outputs, cotangents = [*part.arguments, *precomputed], part.outputs[:count], part.cotangents[:count]
        self.own = len(part.arguments) - len(part.captured)
        self.wanted = [*wanted, *[False] * (len(arguments) - len(wanted))]
        gradient = [slope for slope, want in zip(part.gradients, self.wanted, strict=False) if want]
        ends = keys([*arguments, *part.cotangents])
        inside, _ = walk(outputs, ends)
        _, needed = walk(gradient, ends, () if rematerialize else inside)
        residuals = [tensor for key, tensor in needed.items() if key not in ends]
        self.read = [key in needed for key in keys(arguments)]
        self.moved = [key in needed for key in keys(cotangents)]
        known = keys(residuals)
        more = [tensor for tensor in extra if tensor.ref() not in known]
        places = {key: place for place, key in enumerate(keys([*residuals, *more]))}
        self.count, self.residuals = len(outputs), len(residuals)
        self.extra = [places[key] for key in keys(extra)]
        self.forward = cut(arguments, [*outputs, *residuals, *more])
        self.backward = cut([*residuals, *_chosen(arguments, self.read), *_chosen(cotangents, self.moved)], gradient)

    def __call__(self, *tensors, precomputed=()):
        """The outputs, then the extra ones."""
        tensors = [*tensors, *self.captured, *precomputed]
        return self._recorded(tensors) if are_tapes_alone() else self._declared(tensors)

    def _recorded(self, tensors):
        def run():
            results = call(self.forward, tensors, _CONFIG)
            return self._sorted(results), lambda *g: self._gradients(tensors, results, g)

        return private.recorded("Shared", run, _chosen(tensors, self.wanted), lambda all: _chosen(all, self.moved))

    def _declared(self, tensors):
        """Under any tape, and differentiable twice."""
        places = [place for place, want in enumerate(self.wanted) if want]

        def with_sources(sources):
            everything = list(tensors)
            for place, source in zip(places, sources, strict=True):
                everything[place] = source
            return everything

        @tf.custom_gradient
        def run(*sources):
            here = with_sources(sources)
            with private.unrecorded():
                results = call(self.forward, here, _CONFIG)
            return self._sorted(results), lambda *g: backward(here, results, g[: self.count])

        def backward(here, results, cotangents):
            # The gradient's own gradient may be traced in another graph, and reaches only what is an operation here.
            here, cotangents = ([tf.identity(tensor) for tensor in tensors] for tensors in (here, cotangents))

            @tf.custom_gradient
            def gradients(*both):
                moved = iter(both[len(places) :])
                g = [next(moved) if moves else None for moves in self.moved]
                with private.unrecorded():
                    value = self._gradients(here, results, [one for one in g if one is not None])
                return value, lambda *v: self._again(here, cotangents, v)

            return gradients(*_chosen(here, self.wanted), *_chosen(cotangents, self.moved))

        outputs = run(*_chosen(tensors, self.wanted))
        moved = [*self.moved, *[False] * len(self.extra)]
        return [output if moves else tf.stop_gradient(output) for output, moves in zip(outputs, moved, strict=True)]

    def _again(self, tensors, cotangents, vectors):
        by, count = self.wanted[: self.own], self.count
        derivatives = self.traced.gradient_again(by, count)(tensors[: self.own], cotangents, list(vectors))
        left, right = derivatives[: sum(by)], derivatives[sum(by) :]
        return [*left, *_chosen(right, self.moved)]

    def _sorted(self, results):
        outputs, others = results[: self.count], results[self.count :]
        return [*outputs, *(others[place] for place in self.extra)]

    def _gradients(self, tensors, results, cotangents):
        residuals = results[self.count :][: self.residuals]
        with private.unrecorded():
            gradients = call(self.backward, [*residuals, *_chosen(tensors, self.read), *cotangents], _CONFIG)
        for gradient, source in zip(gradients, _chosen(tensors, self.wanted), strict=True):
            gradient.set_shape(source.shape)
        return gradients


def _chosen(values, whether):
    return [value for value, chosen in zip(values, whether, strict=False) if chosen]
