"""Settings that hold inside a block."""

import contextlib
import gc

import keras


@contextlib.contextmanager
def holding(variable, value=True):
    """Inside, the ContextVar has the value."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


@contextlib.contextmanager
def no_collection():
    """Without Python's search for cycles: a trace makes a million objects that stay, and is a tenth faster."""
    wanted = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if wanted:
            gc.enable()


@contextlib.contextmanager
def one_variable_name():
    """To TensorFlow, variables that are made inside all have one name; in Keras they have their own, as ever.

    TensorFlow makes a kernel for every name that a variable is created under, and that takes longer than all the rest.
    """
    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    def create(next_creator, **kwargs):
        with tf.name_scope(""):
            return next_creator(**kwargs | {"name": "variable"})

    with tf.variable_creator_scope(create):
        yield
