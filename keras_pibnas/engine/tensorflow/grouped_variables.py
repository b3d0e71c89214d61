"""Reads, assigns and moves variables in groups of 32, a node of the graph each.

A search step does so with a thousand variables. One by one they are most of its graph, and every node delays the first
step. Here a function takes SIZE of them at a time, in one node, and is traced once for all.
"""

import functools

import keras
import tensorflow as tf

from keras_pibnas.engine.tensorflow.calls import call

SIZE = 32


def available():
    """Whether a graph is being traced where variables have handles: everywhere but across a strategy's replicas."""
    if tf.executing_eagerly():
        return False
    return not tf.distribute.has_strategy() or tf.distribute.get_replica_context() is not None


def read(variables):
    """The values of variables as tensors; no gradient flows to the variables."""
    held = [_held(variable) for variable in variables]
    if not available() or not all(isinstance(value, tf.Variable) for value in held):
        return [keras.ops.convert_to_tensor(value) for value in held]
    values = []
    for group in split(held):
        values += run(_reader(tuple(value.dtype for value in group)), handles(group))
    return like(values, held)


def assign(variables, values):
    """Assigns a tensor to each variable; in a replica, to its own copy."""
    if not available():
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        return
    values = [tf.cast(value, variable.dtype) for variable, value in zip(variables, values, strict=True)]
    for group, new in zip(split(handles(variables)), split(values), strict=True):
        run(_assign, group, new)


def mapped(function, *lists, scalars=()):
    """[function(a, b, ..., *scalars) for a, b, ... in zip(*lists)], with the shapes of the first list."""
    results = []
    for group in zip(*map(split, lists), strict=True):
        results += run(_over_lists(function), *group, list(scalars))
    return like(results, lists[0])


def update(function, variables, tensors=(), scalars=()):
    """As `Engine.update`: reads, computes and assigns, in one node a group."""
    for group in zip(*map(split, [*variables, *tensors]), strict=True):
        held, given = group[: len(variables)], group[len(variables) :]
        dtypes = tuple(tuple(variable.dtype for variable in map(_held, part)) for part in held)
        run(_updater(function, dtypes), *map(handles, held), *given, list(scalars))


def norm(tensors):
    """The Euclidean norm of all tensors together."""
    squares = [run(_sum_of_squares, group) for group in split(list(tensors))]
    return tf.sqrt(tf.add_n(squares))


def _sum_of_squares(tensors):
    wide = tf.float64 if tf.float64 in {tensor.dtype for tensor in tensors} else tf.float32
    return tf.add_n([2.0 * tf.nn.l2_loss(tf.cast(tensor, wide)) for tensor in tensors])


def handles(variables):
    """What functions given to `run` know the variables by; in a replica, those of its own copies."""
    return [_local(_held(variable)).handle for variable in variables]


def _held(variable):
    return variable.value if isinstance(variable, keras.Variable) else variable


def _local(variable):
    if not tf.distribute.has_strategy():
        return variable
    copies = tf.distribute.get_strategy().experimental_local_results(variable)
    return copies[0] if len(copies) == 1 else variable  # a mirrored variable gives its replica's handle itself


def split(tensors):
    """A list in groups of at most SIZE."""
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
    results = call(function, tf.nest.flatten(arguments))
    return results[0] if isinstance(function.structured_outputs, tf.Tensor) else results


@functools.cache
def _function(body, kinds):
    signature = [[_spec(k) for k in kind] if isinstance(kind, tuple) else _spec(kind) for kind in kinds]
    attributes = {"_noinline": True}
    function = tf.function(body, signature, autograph=False, experimental_attributes=attributes)
    return function.get_concrete_function()


def _spec(dtype):
    return tf.TensorSpec(() if dtype == tf.resource else None, dtype)


@functools.cache
def _over_lists(function):
    def over_lists(*groups):
        *lists, scalars = groups
        return [function(*tensors, *scalars) for tensors in zip(*lists, strict=True)]

    return over_lists


@functools.cache
def _reader(dtypes):
    def read(handles):
        pairs = zip(handles, dtypes, strict=True)
        return [tf.raw_ops.ReadVariableOp(resource=handle, dtype=dtype) for handle, dtype in pairs]

    return read


@functools.cache
def _updater(function, dtypes):
    readers = [_reader(part) for part in dtypes]

    def update(*groups):
        *lists, scalars = groups
        held, given = lists[: len(dtypes)], lists[len(dtypes) :]
        values = [read(part) for read, part in zip(readers, held, strict=True)]
        new = [function(*each, *scalars) for each in zip(*values, *given, strict=True)]
        for part, column in zip(held, zip(*new, strict=True), strict=True):
            _assign(part, column)

    return update


def _assign(handles, values):
    for handle, value in zip(handles, values, strict=True):
        tf.raw_ops.AssignVariableOp(resource=handle, value=value)
