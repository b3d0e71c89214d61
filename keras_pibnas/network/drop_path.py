"""The drop path rate of a network."""

from typing import Any

import keras

from keras_pibnas.layers import DropPath


def set_drop_path(model: keras.Model, rate: float) -> Any:
    """Sets the rate of every drop path layer of a model, nested models included.

    Raises:
        ValueError: there is none.

    Example:
        >>> genotype = kp.genotypes.random(("sep_conv_3x3",), nodes=1)
        >>> model = kp.build_network(genotype, (8, 8, 1), 2, channels=2, layers=2, drop_path=0.2)
        >>> changed = kp.network.set_drop_path(model, 0.1)
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
