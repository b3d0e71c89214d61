"""The private names of Keras that the package reads, each in one function here; seen with Keras 3.10 to 3.15.

Some methods of Keras's classes that have no public name are overridden, where they act: `_symbolic_build` and
`_maybe_symbolic_build` of its Trainer (distribution.py, search/supernet.py), `_backend_update_step`, `_clip_gradients`
and `_all_reduce_sum_gradients` of its optimizers (optimizers.py). tests/test_workarounds.py says where Keras has none
of a name any more.
"""

import keras


def all_layers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The layer and all within it, at any depth: `Model.layers` has the outermost alone."""
    return list(layer._flatten_layers())


def functional_graph(model: keras.Sequential) -> keras.Model:
    """The functional model that a built keras.Sequential holds."""
    return model._functional


def call_nodes(model: keras.Model) -> list:
    """The calls that a functional model is made of, as Keras's graph nodes."""
    return [node for nodes in model._nodes_by_depth.values() for node in nodes]


def begin_at(model: keras.Model, epoch: int | None) -> None:
    """Has the `fit` that is about to begin start at this epoch, as BackupAndRestore does; None: where `fit` says."""
    model._initial_epoch = epoch


def own_learning_rate(optimizer: keras.Optimizer):
    """The variable or the schedule: `optimizer.learning_rate` is a schedule's value at the present step."""
    return optimizer._learning_rate


def distributed_spec(iterator):
    """Type and shape of a batch, by replica: Keras's own iterator keeps tf.distribute's data set to itself."""
    return iterator._distributed_dataset.element_spec
