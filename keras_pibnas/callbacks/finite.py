"""An early end where the loss is not finite."""

import keras

from keras_pibnas.runs.trouble import check_loss


class FiniteLoss(keras.callbacks.Callback):
    """Stops a run whose loss is not finite with `NotFinite`: looks at the loss of every step.

    Args: checkpoint: a `Checkpoint`, whose last file the error names, or None.
    """

    def __init__(self, checkpoint=None):
        super().__init__()
        self.checkpoint, self.epoch = checkpoint, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        check_loss(self.model, self.epoch, batch, logs, self.checkpoint and self.checkpoint.last)
