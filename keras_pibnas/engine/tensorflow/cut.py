"""Functions cut out of a graph."""

import graphlib

import tensorflow as tf

_PASSING = ("Identity", "IdentityN", "StopGradient")  # these give on what they get


def cut(inputs, outputs):
    """The concrete function from inputs to outputs, tensors of one graph.

    Of nodes that do the same with the same there is one.
    """
    operations, arrived = walk(outputs, keys(inputs))
    nodes, names = _nodes(operations)
    graph = tf.compat.v1.GraphDef(node=nodes, versions=outputs[0].graph.graph_def_versions)
    if any(value.HasField("func") for node in nodes for value in node.attr.values()):  # branches and loops
        graph.library.CopyFrom(outputs[0].graph.as_graph_def().library)
    places = {key: place for place, key in enumerate(keys(inputs))}
    made = [_name(tensor, names) for tensor in outputs if tensor.ref() not in places]
    read = {name for node in nodes for name in node.input}

    def part(*tensors):
        given = {tensor.name: tensors[places[key]] for key, tensor in arrived.items() if tensor.name in read}
        results = iter(tf.graph_util.import_graph_def(graph, given, made, name=""))
        return [tensors[places[t.ref()]] if t.ref() in places else next(results) for t in outputs]

    signature = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in inputs]
    attributes = {"_noinline": True}
    function = tf.function(part, signature, autograph=False, experimental_attributes=attributes)
    return function.get_concrete_function()


def origin(tensor):
    """What an identity was given, and so on."""
    while tensor.op.type in _PASSING:
        tensor = tensor.op.inputs[tensor.value_index]
    return tensor


def keys(tensors):
    """What a mapping finds tensors by."""
    return [tensor.ref() for tensor in tensors]


def walk(tensors, ends, inside=()):
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
            ahead += [origin(tensor) for tensor in operation.inputs]
    return operations, arrived


def _nodes(operations):
    """Of operations {name: operation} that do the same with the same, one: (nodes, name of the one by each name)."""
    sources = {name: [origin(tensor) for tensor in operation.inputs] for name, operation in operations.items()}
    awaited = {
        name: [other.name for other in operation.control_inputs if other.name in operations]
        for name, operation in operations.items()
    }
    order = {
        name: [*awaited[name], *(t.op.name for t in tensors if t.op.name in operations)]
        for name, tensors in sources.items()
    }
    nodes, names = {}, {}
    for name in graphlib.TopologicalSorter(order).static_order():
        node = tf.compat.v1.NodeDef()
        node.CopyFrom(operations[name].node_def)
        node.input[:] = [_name(tensor, names) for tensor in sources[name]]
        node.input.extend(f"^{names[other]}" for other in awaited[name])
        for attribute in ("_class", "_gradient_op_type"):
            node.attr.pop(attribute, None)
        node.name = ""
        key = name if operations[name].op_def.is_stateful else node.SerializeToString(deterministic=True)
        node.name = name
        names[name] = nodes.setdefault(key, node).name
    return list(nodes.values()), names


def _name(tensor, names):
    return f"{names.get(tensor.op.name, tensor.op.name)}:{tensor.value_index}"
