"""An early end where the loss is not finite."""

from typing import Any

import keras

from keras_pibnas.runs.trouble import check_loss


class FiniteLoss(keras.callbacks.Callback):
    """Stops a run whose loss is not finite with `NotFinite`: looks at the loss of every step.

    Args: checkpoint: a `Checkpoint`, whose last file the error names, or None.

    Example:
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> try:
        ...     model.fit(np.full((2, 1), np.nan), np.ones(2), verbose=0, callbacks=[kp.callbacks.FiniteLoss()])
        ... except kp.runs.NotFinite:
        ...     print("stopped at the first step")
        stopped at the first step
    """

    def __init__(self, checkpoint: Any = None):
        super().__init__()
        self.checkpoint, self.epoch = checkpoint, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        check_loss(self.model, self.epoch, batch, logs, self.checkpoint and self.checkpoint.last)
