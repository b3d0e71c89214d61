"""Search steps in the forms that a GPU gets, against TensorFlow's registry of kernels; no GPU is needed.

That TensorFlow has a kernel for a node says that the node can run on a GPU, not how fast.
"""

import keras
import pytest
import tensorflow as tf
from tensorflow.python.framework import kernels as registry

import keras_pibnas as kp
from keras_pibnas.engine.devices import as_if_accelerated

# Nodes without a kernel of their own: arguments and results of functions.
STRUCTURE = {"Placeholder", "_Arg", "_Retval"}

# Kernels of devices without one of their own; shapes and other int32 numbers stay in the host's memory, by design.
GPU = {"GPU", "DEFAULT"}

STEPS = [(space, order, "float32") for space in ("darts", "pibconv") for order in (1, 2)]
STEPS.append(("pibconv", 2, "mixed_bfloat16"))


def step_graph(space, order, policy):
    """The graph of a search step, as a GraphDef with all its functions."""
    keras.utils.set_random_seed(0)
    supernet = kp.Supernet(space, (8, 8, 3), 3, channels=2, layers=3, nodes=1, order=order, dtype=policy)
    supernet.compile(engine="tensorflow")
    supernet.optimizer.build(supernet.network.trainable_variables)
    supernet.alpha_optimizer.build(supernet.alphas)
    batch = tf.TensorSpec((None, 8, 8, 3)), tf.TensorSpec((None,), tf.int32)
    step = tf.function(supernet.train_step, autograph=False)
    with as_if_accelerated(), supernet.engine_in_use():
        return step.get_concrete_function((batch, batch)).graph.as_graph_def()


def nodes_of(graph):
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def has_gpu_kernel(node):
    """Whether one of the registered kernels takes the node's types."""
    return any(
        kernel.device_type in GPU and all(_allows(constraint, node) for constraint in kernel.constraint)
        for kernel in registry.get_registered_kernels_for_op(node.op).kernel
    )


def _allows(constraint, node):
    value = node.attr[constraint.name]
    types = value.list.type if value.HasField("list") else [value.type]
    return set(types) <= set(constraint.allowed_values.list.type)


def named(node):
    types = sorted({tf.as_dtype(value.type).name for value in node.attr.values() if value.type})
    return f"{node.op}({', '.join(types)})"


def test_the_registry_knows_gpu_kernels():
    """Of a wheel without them (as macOS's), the tests below would say nothing."""
    convolution = tf.compat.v1.NodeDef(op="Conv2D")
    convolution.attr["T"].type = tf.float32.as_datatype_enum
    assert has_gpu_kernel(convolution)
    convolution.attr["T"].type = tf.int16.as_datatype_enum
    assert not has_gpu_kernel(convolution)


@pytest.mark.slow
@pytest.mark.parametrize(("space", "order", "policy"), STEPS)
def test_every_node_of_a_step_has_a_gpu_kernel(space, order, policy):
    graph = step_graph(space, order, policy)
    nodes = [node for node in nodes_of(graph) if node.op not in STRUCTURE]
    assert len(nodes) > 1000
    without = {named(node) for node in nodes if not has_gpu_kernel(node)}
    assert without == set()
    assert not [function.signature.name for function in graph.library.function if function.attr["_XlaMustCompile"].b]
    assert not [node.op for node in nodes if node.op.startswith("Xla")]
