"""Scheduled drop path."""

import keras

from keras_pibnas.network import set_drop_path


class DropPathSchedule(keras.callbacks.Callback):
    """Raises the drop path rate linearly, as DARTS trains its networks: epoch e of all has rate * e / epochs.

    Args:
        rate: of an epoch after the last, in [0, 1); published: 0.2.
        epochs: of the whole run.

    Raises:
        ValueError: when training starts, if the model has no drop path: build it with a `drop_path` above 0.

    Example:
        >>> callback = kp.callbacks.DropPathSchedule(rate=0.2, epochs=600)
    """

    def __init__(self, rate: float, epochs: int):
        super().__init__()
        self.rate, self.epochs = rate, epochs

    def on_epoch_begin(self, epoch, logs=None):
        set_drop_path(self.model, self.rate * epoch / self.epochs)
