"""Which kind of device computes; the forms of kernels are chosen by it."""

import contextvars
from contextlib import AbstractContextManager

import keras

from keras_pibnas.engine.context import holding

_ASSUMED = contextvars.ContextVar("whether an accelerator is taken to compute, whatever is there", default=False)


def accelerated() -> bool:
    """Whether a GPU or TPU computes; other backends than TensorFlow are treated as if one did."""
    if _ASSUMED.get() or keras.backend.backend() != "tensorflow":
        return True
    import tensorflow as tf

    return bool(tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"))


def as_if_accelerated() -> AbstractContextManager:
    """What is traced inside gets the forms of kernels that an accelerator gets, also where there is none."""
    return holding(_ASSUMED)
