"""Functions cut out of a graph."""

import graphlib
import itertools

import tensorflow as tf
from tensorflow.core.framework.function_pb2 import FunctionDef
from tensorflow.python.eager import context
from tensorflow.python.eager.polymorphic_function.atomic_function import AtomicFunction

from keras_pibnas.packs import call

_PASSING = ("Identity", "IdentityN", "StopGradient")  # these give on what they get
_NUMBERS = itertools.count()


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


class CutFunction:
    """The function from inputs to outputs, tensors of one graph; called with a list, it is one node of a graph.

    The nodes between them are written down as they are, those that do the same once. tf.function, importing them, made
    each of them again in Python: a tenth of the tracing of a search step.

    Attributes: name; outputs, in their own graph; definition, as TensorFlow has it.
    """

    def __init__(self, inputs, outputs):
        self.name, self.outputs = f"shared_{next(_NUMBERS)}", outputs
        self.definition = _definition(self.name, inputs, outputs)
        context.context().add_function_def(self.definition)
        called = list(outputs[0].graph._functions.values())  # by loops and branches
        self._lasting = AtomicFunction(self.name, context.context(), None, called)  # takes it back in the end

    def __call__(self, tensors):
        return call(self, tensors, self.definition.signature.is_stateful, _CONFIG)

    def add_to_graph(self, graph):
        graph._add_function_recursive(self._lasting)


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


def _definition(name, inputs, outputs):
    definition = FunctionDef()
    definition.signature.name = name
    definition.attr["_noinline"].b = True
    arguments = {key: f"input_{place}" for place, key in enumerate(keys(inputs))}
    for place, (tensor, argument) in enumerate(zip(inputs, arguments.values(), strict=True)):
        definition.signature.input_arg.add(name=argument, type=tensor.dtype.as_datatype_enum)
        definition.arg_attr[place].attr["_output_shapes"].list.shape.append(tensor.shape.as_proto())
    operations, _ = walk(outputs, arguments)
    definition.signature.is_stateful = any(operation.op_def.is_stateful for operation in operations.values())
    nodes, names = _nodes(operations, arguments)
    definition.node_def.extend(nodes)
    for place, tensor in enumerate(outputs):
        definition.signature.output_arg.add(name=f"output_{place}", type=tensor.dtype.as_datatype_enum)
        definition.ret[f"output_{place}"] = _source(tensor, names, arguments)
    return definition


def _nodes(operations, arguments):
    """Of operations {name: operation} that do the same with the same, one: (nodes, name of the one by each name)."""
    sources = {name: [origin(tensor) for tensor in operation.inputs] for name, operation in operations.items()}
    awaited = {name: [other.name for other in operation.control_inputs] for name, operation in operations.items()}
    order = {name: [*awaited[name], *(tensor.op.name for tensor in tensors)] for name, tensors in sources.items()}
    nodes, names = {}, {}
    for name in graphlib.TopologicalSorter(order).static_order():
        if name not in operations:  # what gives arguments, or is waited for and gives nothing
            continue
        node = tf.compat.v1.NodeDef()
        node.CopyFrom(operations[name].node_def)
        node.input[:] = [_source(tensor, names, arguments) for tensor in sources[name]]
        node.input.extend(f"^{names[other]}" for other in awaited[name] if other in operations)
        for attribute in ("_class", "_gradient_op_type"):
            node.attr.pop(attribute, None)
        node.name = ""
        key = name if operations[name].op_def.is_stateful else node.SerializeToString(deterministic=True)
        node.name = name
        names[name] = nodes.setdefault(key, node).name
    return list(nodes.values()), names


def _source(tensor, names, arguments):
    """What the definition calls a tensor."""
    if tensor.ref() in arguments:
        return arguments[tensor.ref()]
    operation = tensor.op
    parts = [f"{output.name}:{i}" for output in operation.op_def.output_arg for i in range(_count(operation, output))]
    return f"{names[operation.name]}:{parts[tensor.value_index]}"


def _count(operation, output):
    """How many tensors one output of an operation's type stands for."""
    if output.number_attr:
        return operation.get_attr(output.number_attr)
    return len(operation.get_attr(output.type_list_attr)) if output.type_list_attr else 1
