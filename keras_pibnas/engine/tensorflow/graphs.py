"""What belongs around tracing and around the construction of layers."""

import contextlib

import tensorflow as tf

from keras_pibnas.engine.context import no_collection
from keras_pibnas.engine.tensorflow.derivatives import tapes_alone


def compile_step(step):
    """A tf.function: Grappler skips the outer graph and optimizes each called function once.

    The functions hold nearly all of the work, and the thousands of nodes that call them need not be looked at before
    the first step. TensorFlow would also make a copy of a function for every call, and optimize each.
    """

    def body(*arguments):
        # Call nodes copy the optimizer options that are active when they are created.
        with _optimizer_options(disable_meta_optimizer=False), no_collection():
            return step(*arguments)

    traced = tf.function(body, autograph=False, reduce_retracing=True)

    def call(*arguments):
        with _optimizer_options(disable_meta_optimizer=True, function_optimization=False):
            return traced(*arguments)

    return call


@contextlib.contextmanager
def _optimizer_options(**options):
    """TensorFlow's graph optimizer with these options."""
    before = {name: tf.config.optimizer.get_experimental_options().get(name) for name in options}
    tf.config.optimizer.set_experimental_options(options)
    try:
        yield
    finally:
        unset = {"function_optimization": True, "disable_meta_optimizer": False}
        tf.config.optimizer.set_experimental_options(
            {name: unset[name] if value is None else value for name, value in before.items()}
        )


@contextlib.contextmanager
def own_tapes():
    """To be entered around tapes of the engine's: in a graph, gradients then take fewer nodes."""
    with no_collection(), contextlib.nullcontext() if tf.executing_eagerly() else tapes_alone():
        yield


@contextlib.contextmanager
def building():
    """TensorFlow makes a kernel for every name that a variable is created under, which takes longer than all the rest.

    So inside, variables have one name for TensorFlow; in Keras they have their own.
    """

    def create(next_creator, **kwargs):
        with tf.name_scope(""):
            return next_creator(**kwargs | {"name": "variable"})

    with no_collection(), tf.variable_creator_scope(create):
        yield
