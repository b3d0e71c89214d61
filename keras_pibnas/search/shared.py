"""Functions that are traced once and are one node of a graph wherever they are called, and so are their gradients."""

import graphlib

import tensorflow as tf
from tensorflow.python.eager import record

from keras_pibnas.layers.derivatives import tapes_alone

_PASSING = ("Identity", "IdentityN", "StopGradient")  # these give on what they get


def _optimized_once():
    """Has TensorFlow's graph optimizer go over a function once, not twice: half a second less before the first step."""
    config = tf.compat.v1.ConfigProto()
    rewriting = config.graph_options.rewrite_options
    rewriting.meta_optimizer_iterations = rewriting.ONE
    return config.SerializeToString()


_CONFIG = _optimized_once()


class Traced:
    """A function of tensors and its gradients by its arguments, traced once, in one graph.

    Args:
        function: (*tensors) -> several tensors.
        signature: the arguments' types.
        by: for each argument, whether there is a gradient by it; none can be differentiated again.
    """

    def __init__(self, function, signature, by):
        def with_gradient(*tensors):
            sources = _chosen(tensors, by)
            with tapes_alone():
                with tf.GradientTape(watch_accessed_variables=False) as tape:
                    tape.watch(sources)
                    outputs = function(*tensors)
                starts = [tf.zeros_like(output) for output in outputs]  # stand for what the gradient will start from
                gradients = tape.gradient(outputs, sources, starts, unconnected_gradients="zero")
            return list(outputs), starts, gradients

        traced = tf.function(with_gradient, signature, autograph=False).get_concrete_function()
        self.stateful = any(operation.op_def.is_stateful for operation in traced.graph.get_operations())
        self.arguments, self.captured = traced.inputs, traced.captured_inputs
        self.outputs, self.starts, gradients = ([_origin(t) for t in part] for part in traced.structured_outputs)
        left = iter(gradients)
        self.gradients = [next(left) if has else None for has in by] + [None] * len(self.captured)


class Shared:
    """A function of tensors, and its gradient, for which nothing is kept that it does not need.

    TensorFlow's own functions keep what gradients by all arguments would need, wanted or not, and what gradients of
    gradients would. Here the graph of both is cut in two.

    Args:
        traced: Traced.
        wanted: for each argument, whether its gradient, which is there, is wanted.
        recomputed: whether nothing is kept but the arguments, and the gradient computes the rest again.
        count: how many of the outputs are wanted, from the first on.
    """

    def __init__(self, traced, wanted, recomputed=False, count=None):
        self.captured, self.stateful = traced.captured, traced.stateful  # constants from outside
        self.wanted = [*wanted, *[False] * len(self.captured)]
        arguments, outputs, starts = traced.arguments, traced.outputs[:count], traced.starts[:count]
        self.count = len(outputs)
        gradient = _chosen(traced.gradients, self.wanted)
        ends = _keys([*arguments, *traced.starts])
        inside, _ = _walk(outputs, ends)
        _, needed = _walk(gradient, ends, () if recomputed else inside)
        kept = [tensor for key, tensor in needed.items() if key not in ends]
        self.read = [key in needed for key in _keys(arguments)]
        self.moved = [key in needed for key in _keys(starts)]
        self.forward = _part(arguments, [*outputs, *kept])
        self.backward = _part([*kept, *_chosen(arguments, self.read), *_chosen(starts, self.moved)], gradient)

    def __call__(self, *tensors):
        tensors = [*tensors, *self.captured]
        sources = _chosen(tensors, self.wanted)
        with record.stop_recording():  # TensorFlow would prepare the functions for gradients of its own
            results = self._call(self.forward, tensors)
            outputs, kept = results[: self.count], results[self.count :]

        def gradient(*g):
            with record.stop_recording():
                gradients = self._call(self.backward, [*kept, *_chosen(tensors, self.read), *g])
            for gradient, source in zip(gradients, sources, strict=True):
                gradient.set_shape(source.shape)
            return gradients

        record.record_operation("Shared", _chosen(outputs, self.moved), sources, gradient)
        return outputs

    def _call(self, function, tensors):
        call = tf.raw_ops.StatefulPartitionedCall if self.stateful else tf.raw_ops.PartitionedCall
        types = [output.dtype for output in function.outputs]
        return call(args=list(tensors), Tout=types, f=function, config_proto=_CONFIG)


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

    def shared(*tensors):
        given = {tensor.name: tensors[places[key]] for key, tensor in arrived.items()}
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
