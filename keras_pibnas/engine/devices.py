"""Which kind of device computes; the forms of kernels are chosen by it."""

import contextvars
from contextlib import AbstractContextManager

import keras

from keras_pibnas.engine.context import holding

_ASSUMED = contextvars.ContextVar("whether an accelerator computes, where one does not look", default=None)


def accelerated() -> bool:
    """Whether a GPU or TPU computes. On other backends than TensorFlow, nothing depends on it."""
    if _ASSUMED.get() is not None:
        return _ASSUMED.get()
    if keras.backend.backend() != "tensorflow":
        return True
    import tensorflow as tf

    return bool(tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"))


def as_if_accelerated(wanted: bool = True) -> AbstractContextManager:
    """What is traced inside gets the forms of kernels that an accelerator gets, also where there is none."""
    return holding(_ASSUMED, wanted)
