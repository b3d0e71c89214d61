"""Callbacks that record a run, epoch by epoch."""

from pathlib import Path

import keras

from keras_pibnas.runs import is_chief, record_alphas, record_genotype, record_history


class HistoryRecorder(keras.callbacks.Callback):
    """Writes `history.csv`, one row an epoch: epoch (from 1), learning_rate, losses and metrics.

    Args:
        directory: an existing directory.

    Example:
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> history = model.fit(np.ones((2, 1)), np.ones(2), verbose=0, callbacks=[kp.callbacks.HistoryRecorder(".")])
        >>> [row["epoch"] for row in kp.runs.read_table("history.csv")]
        ['1']
    """

    def __init__(self, directory: str | Path):
        super().__init__()
        self.directory = Path(directory)

    def on_epoch_end(self, epoch, logs=None):
        if is_chief():
            record_history(self.directory, epoch + 1, {**_learning_rate(self.model), **(logs or {})})


class SearchRecorder(HistoryRecorder):
    """Writes what a search finds, after every epoch: `record_history`, `record_genotype`, `record_alphas`.

    Args:
        directory: an existing directory. It gets `history.csv`, `genotype.json` (the current genotype),
            `genotypes.jsonl` (one line an epoch) and `alphas.npz` (the initial alphas, then every epoch's).

    Example:
        >>> callback = kp.callbacks.SearchRecorder(".")  # for supernet.fit(..., callbacks=[callback])
    """

    def on_epoch_begin(self, epoch, logs=None):
        # A run that goes on within its first epoch has its initial alphas on file, and others now.
        goes_on = self.model.optimizer.iterations > 0 and (self.directory / "alphas.npz").exists()
        if epoch == 0 and not goes_on and is_chief():
            record_alphas(self.directory, 0, self.model)

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        if not is_chief():
            return
        record_genotype(self.directory, epoch + 1, self.model.genotype(), logs)
        record_alphas(self.directory, epoch + 1, self.model)

    def on_train_end(self, logs=None):
        if is_chief():  # `SkipLimit` may have gone back to another.
            self.model.genotype().save(self.directory / "genotype.json")


def _learning_rate(model):
    optimizer = getattr(model, "optimizer", None)
    return {} if optimizer is None else {"learning_rate": optimizer.learning_rate}
