"""Functions that are traced once and are one node of a graph wherever they are called, and so are their gradients."""

from collections import namedtuple

import tensorflow as tf
from tensorflow.python.eager import record

from keras_pibnas.layers.derivatives import along_directions, tapes_alone, transposing
from keras_pibnas.search.cut import CutFunction, keys, origin, walk

Part = namedtuple("Part", "arguments captured outputs starts gradients")


class Traced:
    """A function of tensors and its gradients by its arguments, traced once, in one graph.

    Args:
        function: (*tensors) -> several tensors.
        signature: the arguments' types.
        by: for each argument, whether there is a gradient by it; none can be differentiated again.
        along: places of arguments that get tangents, all of them among `by`; if there are any, the first output's
            derivative along the tangents is traced, too.
        frozen: the first so many arguments are those by which that derivative has no gradients.

    Attributes, tensors of the graph as `Part`s, which `Shared` makes functions of:
        plain: the function.
        dual: with the tangents as further arguments, (first output, its derivative along them); None without tangents.
        common: what `dual` reads that `plain` computes on its way to the first output.
    """

    def __init__(self, function, signature, by, along=(), frozen=0):
        count, places = len(signature), [place for place, has in enumerate(by) if has]
        dual_by = [has and place >= frozen for place, has in enumerate(by)]
        dual_by += [place >= frozen for place in along]

        def with_gradient(*arguments):
            with tapes_alone(), along_directions(bool(along)):
                return differentiated(arguments[:count], arguments[count:])

        def differentiated(tensors, tangents):
            with tf.GradientTape(watch_accessed_variables=False) as outer:
                dual_sources = _chosen([*tensors, *tangents], dual_by) if along else []
                outer.watch(dual_sources)
                sources = _chosen(tensors, by)
                with tf.GradientTape(watch_accessed_variables=False) as tape:
                    tape.watch(sources)
                    outputs = list(function(*tensors))
                starts = [tf.zeros_like(output) for output in outputs]  # stand for what the gradient will start from
                with tf.GradientTape(watch_accessed_variables=False) as transpose:
                    transpose.watch(starts[:1] if along else [])
                    gradients = tape.gradient(outputs, sources, starts, unconnected_gradients="zero")
                if not along:
                    return outputs, starts, gradients
                moving = [gradients[places.index(place)] for place in along]
                with transposing():  # the gradient is linear in its start, and its transpose is the derivative
                    tangent = transpose.gradient(moving, starts[0], tangents, unconnected_gradients="zero")
            dual = [outputs[0], tangent]
            dual_starts = [tf.zeros_like(output) for output in dual]
            dual_gradients = outer.gradient(dual, dual_sources, dual_starts, unconnected_gradients="zero")
            return outputs, starts, gradients, dual, dual_starts, dual_gradients

        tangents = [signature[place] for place in along]
        traced = tf.function(with_gradient, [*signature, *tangents], autograph=False).get_concrete_function()
        results = [[origin(tensor) for tensor in part] for part in traced.structured_outputs]

        def part(arguments, by, outputs, starts, gradients):
            left = iter(gradients)
            gradients = [next(left) if has else None for has in by] + [None] * len(captured)
            return Part([*arguments, *captured], traced.captured_inputs, outputs, starts, gradients)

        arguments, captured = traced.inputs[: count + len(along)], traced.inputs[count + len(along) :]
        self.plain = part(arguments[:count], by, *results[:3])
        self.dual = part(arguments, dual_by, *results[3:]) if along else None
        self.common = self._common() if along else []

    def _common(self):
        ends = keys([*self.dual.arguments, *self.dual.starts])
        inside, _ = walk(self.plain.outputs[:1], ends)
        gradients = [gradient for gradient in self.dual.gradients if gradient is not None]
        _, read = walk([*self.dual.outputs, *gradients], ends, inside)
        return [tensor for key, tensor in read.items() if key not in ends]


class Shared:
    """A function of tensors, and its gradient, for which nothing is kept that it does not need.

    TensorFlow's own functions keep what gradients by all arguments would need, wanted or not, and what gradients of
    gradients would. Here the graph of both is cut in two.

    Args:
        part: one of `Traced`.
        wanted: for each argument, whether its gradient, which is there, is wanted.
        recomputed: whether nothing is kept but the arguments, and the gradient computes the rest again.
        count: how many of the outputs are wanted, from the first on.
        beside: tensors of the graph that a call gives after the outputs; no gradient flows through them.
        given: tensors of the graph that a call gets after the arguments instead of computing them.
    """

    def __init__(self, part, wanted, recomputed=False, count=None, beside=(), given=()):
        self.captured = part.captured  # constants from outside
        arguments, outputs, starts = [*part.arguments, *given], part.outputs[:count], part.starts[:count]
        self.wanted = [*wanted, *[False] * (len(arguments) - len(wanted))]
        gradient = [slope for slope, want in zip(part.gradients, self.wanted, strict=False) if want]
        ends = keys([*arguments, *part.starts])
        inside, _ = walk(outputs, ends)
        _, needed = walk(gradient, ends, () if recomputed else inside)
        kept = [tensor for key, tensor in needed.items() if key not in ends]
        self.read = [key in needed for key in keys(arguments)]
        self.moved = [key in needed for key in keys(starts)]
        known = keys(kept)
        more = [tensor for tensor in beside if tensor.ref() not in known]
        places = {key: place for place, key in enumerate(keys([*kept, *more]))}
        self.count, self.kept = len(outputs), len(kept)
        self.beside = [places[key] for key in keys(beside)]
        self.forward = CutFunction(arguments, [*outputs, *kept, *more])
        self.backward = CutFunction([*kept, *_chosen(arguments, self.read), *_chosen(starts, self.moved)], gradient)

    def __call__(self, *tensors, given=()):
        tensors = [*tensors, *self.captured, *given]
        sources = _chosen(tensors, self.wanted)
        with record.stop_recording():  # TensorFlow would prepare the functions for gradients of its own
            results = self.forward(tensors)
            outputs, others = results[: self.count], results[self.count :]
        kept = others[: self.kept]

        def gradient(*g):
            with record.stop_recording():
                gradients = self.backward([*kept, *_chosen(tensors, self.read), *g])
            for gradient, source in zip(gradients, sources, strict=True):
                gradient.set_shape(source.shape)
            return gradients

        record.record_operation("Shared", _chosen(outputs, self.moved), sources, gradient)
        return [*outputs, *(others[place] for place in self.beside)]


def _chosen(values, whether):
    return [value for value, chosen in zip(values, whether, strict=True) if chosen]
