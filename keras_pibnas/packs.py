"""The same for many variables, in few nodes of a TensorFlow graph.

A search step reads, clips, moves and assigns a thousand variables. One by one they are most of its graph, and every
node delays the first step. Here a function takes SIZE of them at a time, in one node, and is traced once for all.
"""

import functools

import keras

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

SIZE = 32


def available():
    """Whether a TensorFlow graph is being traced, and variables are plain ones: not those of a strategy."""
    return (
        keras.backend.backend() == "tensorflow"
        and not tf.executing_eagerly()
        and not tf.distribute.has_strategy()
    )


def read(variables):
    """The values of variables as tensors."""
    held = [_held(variable) for variable in variables]
    if not available() or not all(isinstance(value, tf.Variable) for value in held):
        return [keras.ops.convert_to_tensor(value) for value in held]
    values = []
    for pack in split(held):
        values += run(_reader(tuple(value.dtype for value in pack)), handles(pack))
    return like(values, held)


def assign(variables, values):
    """Assigns to variables."""
    if not available():
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        return
    for pack, new in zip(split(handles(variables)), split(values), strict=True):
        run(_assign, pack, new)


def handles(variables):
    """What functions given to `run` know the variables by."""
    return [_held(variable).handle for variable in variables]


def _held(variable):
    return variable.value if isinstance(variable, keras.Variable) else variable


def split(tensors):
    """A list in parts of at most SIZE."""
    return [tensors[start : start + SIZE] for start in range(0, len(tensors), SIZE)]


def like(tensors, models):
    """The tensors, known to have the shapes of the models: what comes out of `run` has none."""
    for tensor, model in zip(tensors, models, strict=True):
        tensor.set_shape(model.shape)
    return tensors


def run(body, *arguments):
    """body(*arguments), in one node of a graph where `available`.

    body: a function that lives as long as the module, of tensors of any shape, which gives a tensor, a list of them or
    None; arguments: tensors, variables' handles and lists of both. No gradient goes through.
    """
    if not available():
        return body(*arguments)
    kinds = tuple(
        tuple(t.dtype for t in argument) if isinstance(argument, list) else argument.dtype for argument in arguments
    )
    function = _function(body, kinds)
    results = call(function, tf.nest.flatten(arguments), stateful=True)
    return results[0] if isinstance(function.structured_outputs, tf.Tensor) else results


def call(function, tensors, stateful, config=b""):
    """What a concrete function gives for tensors, in one node of the graph that is traced: a list, of unknown shapes.

    `tf.raw_ops.PartitionedCall` makes such a node, too, but each time goes over the whole body for the shapes of what
    comes out, a sixth of the tracing of a search step. No gradient goes through. config: a serialized ConfigProto.
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
    kind = "StatefulPartitionedCall" if stateful else "PartitionedCall"
    return list(graph.create_op(kind, list(tensors), types[1], attrs=attributes).outputs)


@functools.cache
def _function(body, kinds):
    signature = [[_spec(k) for k in kind] if isinstance(kind, tuple) else _spec(kind) for kind in kinds]
    attributes = {"_noinline": True}
    function = tf.function(body, signature, autograph=False, experimental_attributes=attributes)
    return function.get_concrete_function()


def _spec(dtype):
    return tf.TensorSpec(() if dtype == tf.resource else None, dtype)


@functools.cache
def _reader(dtypes):
    def read(handles):
        pairs = zip(handles, dtypes, strict=True)
        return [tf.raw_ops.ReadVariableOp(resource=handle, dtype=dtype) for handle, dtype in pairs]

    return read


def _assign(handles, values):
    for handle, value in zip(handles, values, strict=True):
        tf.raw_ops.AssignVariableOp(resource=handle, value=value)
