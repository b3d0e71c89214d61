"""The configuration that relaxations, penalties, perturbations, discretizations, schedules and methods share."""

from dataclasses import fields

import keras
import numpy as np

registered = keras.saving.register_keras_serializable("keras_pibnas.methods")


class Part:
    """A frozen dataclass that Keras's serializer knows: its configuration is its fields.

    Fields with `metadata={"config": False}` are derived from others, and are left out.
    """

    def get_config(self) -> dict:
        """The fields by name, as plain data that JSON holds."""
        names = [field.name for field in fields(self) if field.metadata.get("config", True)]
        return {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in names}

    @classmethod
    def from_config(cls, config: dict) -> "Part":
        """The inverse of `get_config`."""
        return cls(**{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()})


def check_type(name: str, value, kind: type, choices: str):
    """Raises ValueError unless `value` is a `kind`; choices: the right ones, in words."""
    if not isinstance(value, kind):
        raise ValueError(f"{name} must be {choices}. Received: {name}={value!r}")


def constant(values, dtype):
    """A constant tensor of numbers or bools in a dtype, a name or a backend's own."""
    return keras.ops.convert_to_tensor(np.asarray(values, keras.backend.standardize_dtype(dtype)))
