"""Functions that are traced once and are one node of a graph wherever they are called, and so are their gradients."""

import graphlib
from collections import namedtuple

import tensorflow as tf
from tensorflow.python.eager import record

from keras_pibnas.layers.derivatives import along_directions, tapes_alone, transposing
from keras_pibnas.packs import call

_PASSING = ("Identity", "IdentityN", "StopGradient")  # these give on what they get


def _optimized_once():
    """Has TensorFlow's graph optimizer go over a function once, not twice: half a second less before the first step."""
    config = tf.compat.v1.ConfigProto()
    rewriting = config.graph_options.rewrite_options
    rewriting.meta_optimizer_iterations = rewriting.ONE
    return config.SerializeToString()


_CONFIG = _optimized_once()


Part = namedtuple("Part", "arguments captured outputs starts gradients stateful")


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
        stateful = any(operation.op_def.is_stateful for operation in traced.graph.get_operations())
        results = [[_origin(tensor) for tensor in part] for part in traced.structured_outputs]

        def part(arguments, by, outputs, starts, gradients):
            left = iter(gradients)
            gradients = [next(left) if has else None for has in by] + [None] * len(captured)
            return Part([*arguments, *captured], traced.captured_inputs, outputs, starts, gradients, stateful)

        arguments, captured = traced.inputs[: count + len(along)], traced.inputs[count + len(along) :]
        self.plain = part(arguments[:count], by, *results[:3])
        self.dual = part(arguments, dual_by, *results[3:]) if along else None
        self.common = self._common() if along else []

    def _common(self):
        ends = _keys([*self.dual.arguments, *self.dual.starts])
        inside, _ = _walk(self.plain.outputs[:1], ends)
        gradients = [gradient for gradient in self.dual.gradients if gradient is not None]
        _, read = _walk([*self.dual.outputs, *gradients], ends, inside)
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
        self.captured, self.stateful = part.captured, part.stateful  # captured: constants from outside
        arguments, outputs, starts = [*part.arguments, *given], part.outputs[:count], part.starts[:count]
        self.wanted = [*wanted, *[False] * (len(arguments) - len(wanted))]
        gradient = [slope for slope, want in zip(part.gradients, self.wanted, strict=False) if want]
        ends = _keys([*arguments, *part.starts])
        inside, _ = _walk(outputs, ends)
        _, needed = _walk(gradient, ends, () if recomputed else inside)
        kept = [tensor for key, tensor in needed.items() if key not in ends]
        self.read = [key in needed for key in _keys(arguments)]
        self.moved = [key in needed for key in _keys(starts)]
        known = _keys(kept)
        more = [tensor for tensor in beside if tensor.ref() not in known]
        places = {key: place for place, key in enumerate(_keys([*kept, *more]))}
        self.count, self.kept = len(outputs), len(kept)
        self.beside = [places[key] for key in _keys(beside)]
        self.forward = _part(arguments, [*outputs, *kept, *more])
        self.backward = _part([*kept, *_chosen(arguments, self.read), *_chosen(starts, self.moved)], gradient)

    def __call__(self, *tensors, given=()):
        tensors = [*tensors, *self.captured, *given]
        sources = _chosen(tensors, self.wanted)
        with record.stop_recording():  # TensorFlow would prepare the functions for gradients of its own
            results = self._call(self.forward, tensors)
            outputs, others = results[: self.count], results[self.count :]
        kept = others[: self.kept]

        def gradient(*g):
            with record.stop_recording():
                gradients = self._call(self.backward, [*kept, *_chosen(tensors, self.read), *g])
            for gradient, source in zip(gradients, sources, strict=True):
                gradient.set_shape(source.shape)
            return gradients

        record.record_operation("Shared", _chosen(outputs, self.moved), sources, gradient)
        return [*outputs, *(others[place] for place in self.beside)]

    def _call(self, function, tensors):
        return call(function, tensors, self.stateful, _CONFIG)


def _chosen(values, whether):
    return [value for value, chosen in zip(values, whether, strict=True) if chosen]


def _origin(tensor):
    while tensor.op.type in _PASSING:
        tensor = tensor.op.inputs[tensor.value_index]
    return tensor


def _keys(tensors):
    return [tensor.ref() for tensor in tensors]


def _walk(tensors, ends, inside=()):
    """From tensors back to the ends, or to what operations inside gave: (operations, {key: tensor} arrived at)."""
    ends, operations, arrived = set(ends), {}, {}
    ahead = list(tensors)
    while ahead:
        tensor = ahead.pop()
        key, operation = tensor.ref(), tensor.op
        if key in ends or (operation.name in inside and operation.type != "Const"):
            arrived[key] = tensor
        elif operation.name not in operations:
            operations[operation.name] = operation
            ahead += [_origin(tensor) for tensor in operation.inputs]
    return operations, arrived


def _part(inputs, outputs):
    """The function from inputs to outputs, tensors of one graph."""
    operations, arrived = _walk(outputs, _keys(inputs))
    nodes, names = _nodes(operations)
    graph = tf.compat.v1.GraphDef(node=nodes, versions=outputs[0].graph.graph_def_versions)
    if any(value.HasField("func") for node in nodes for value in node.attr.values()):
        graph.library.CopyFrom(outputs[0].graph.as_graph_def().library)
    places = {key: place for place, key in enumerate(_keys(inputs))}
    made = [_name(tensor, names) for tensor in outputs if tensor.ref() not in places]
    read = {name for node in nodes for name in node.input}  # an output may be an input that nothing reads

    def shared(*tensors):
        given = {tensor.name: tensors[places[key]] for key, tensor in arrived.items() if tensor.name in read}
        results = iter(tf.graph_util.import_graph_def(graph, given, made, name=""))
        return [tensors[places[t.ref()]] if t.ref() in places else next(results) for t in outputs]

    signature = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in inputs]
    attributes = {"_noinline": True}
    function = tf.function(shared, signature, autograph=False, experimental_attributes=attributes)
    return function.get_concrete_function()


def _nodes(operations):
    """Of operations {name: operation} that do the same with the same, one: (nodes, name of the one by each name)."""
    sources = {name: [_origin(tensor) for tensor in operation.inputs] for name, operation in operations.items()}
    order = {name: [t.op.name for t in tensors if t.op.name in operations] for name, tensors in sources.items()}
    nodes, names = {}, {}
    for name in graphlib.TopologicalSorter(order).static_order():
        node = tf.compat.v1.NodeDef()
        node.CopyFrom(operations[name].node_def)
        node.input[:] = [_name(tensor, names) for tensor in sources[name]]
        for attribute in ("_class", "_gradient_op_type"):
            node.attr.pop(attribute, None)
        node.name = ""
        key = name if operations[name].op_def.is_stateful else node.SerializeToString(deterministic=True)
        node.name = name
        names[name] = nodes.setdefault(key, node).name
    return list(nodes.values()), names


def _name(tensor, names):
    return f"{names.get(tensor.op.name, tensor.op.name)}:{tensor.value_index}"
