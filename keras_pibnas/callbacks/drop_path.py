"""Scheduled drop path."""

import keras

from keras_pibnas.layers import DropPath


class DropPathSchedule(keras.callbacks.Callback):
    """Raises the drop path rate linearly, as DARTS trains its networks: epoch e of all has rate * e / epochs.

    Args:
        rate: of an epoch after the last, in [0, 1); published: 0.2.
        epochs: of the whole run.

    Raises:
        ValueError: when training starts, if the model has no drop path: build it with a `drop_path` above 0.
    """

    def __init__(self, rate, epochs):
        super().__init__()
        self.rate, self.epochs = rate, epochs

    def on_epoch_begin(self, epoch, logs=None):
        set_drop_path(self.model, self.rate * epoch / self.epochs)


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
