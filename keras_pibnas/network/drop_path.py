"""The drop path rate of a network."""

import keras

from keras_pibnas.layers import DropPath


def set_drop_path(model, rate):
    """Sets the rate of every drop path layer of a model, nested models included.

    Raises:
        ValueError: there is none.
    """
    layers = list(drop_paths(model))
    if not layers:
        raise ValueError(
            "The model has no DropPath layer: build it with drop_path above 0. "
            f"Received: model={model.name!r}, rate={rate}"
        )
    for layer in layers:
        layer.rate.assign(rate)


def drop_paths(model):
    """The drop path layers of a model."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from drop_paths(layer)
        elif isinstance(layer, DropPath):
            yield layer
