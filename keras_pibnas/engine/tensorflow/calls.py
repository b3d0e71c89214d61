"""Nodes that call functions."""

import weakref

import tensorflow as tf

_STATEFUL = weakref.WeakKeyDictionary()  # function -> whether an operation in it is


def call(function, tensors, config=b""):
    """What a concrete function gives for tensors, in one node of the graph that is traced: a list, of unknown shapes.

    A concrete function called as usual is prepared for gradients of TensorFlow's own, and TensorFlow goes over all that
    it does for the shapes of what comes out, a sixth of the tracing of a search step. No gradient goes through.

    config: a serialized ConfigProto, for TensorFlow's graph optimizer.
    """
    graph = tf.compat.v1.get_default_graph()
    function.add_to_graph(graph)
    value = tf.compat.v1.AttrValue
    types = [tensor.dtype for tensor in tensors], [output.dtype for output in function.outputs]
    lists = [value.ListValue(type=[dtype.as_datatype_enum for dtype in side]) for side in types]
    attributes = {
        "Tin": value(list=lists[0]),
        "Tout": value(list=lists[1]),
        "f": value(func=tf.compat.v1.NameAttrList(name=function.name)),
        "config_proto": value(s=config),
        "_disable_call_shape_inference": value(b=True),
    }
    if function not in _STATEFUL:
        _STATEFUL[function] = any(operation.op_def.is_stateful for operation in function.graph.get_operations())
    kind = "StatefulPartitionedCall" if _STATEFUL[function] else "PartitionedCall"
    return list(graph.create_op(kind, list(tensors), types[1], attrs=attributes).outputs)
