"""How far a search is: what schedules of methods follow."""

import keras

from keras_pibnas.layers.dropped_identity import dropped_identities


class SearchProgress(keras.callbacks.Callback):
    """Sets the supernet's progress, and rates that follow from it, when an epoch begins."""

    def __init__(self, epochs):
        super().__init__()
        self.epochs = max(1, epochs)

    def on_epoch_begin(self, epoch, logs=None):
        self.model.progress.assign(epoch / self.epochs)
        rate = self.model.relaxed.method.skip_dropout
        for layer in dropped_identities(self.model.network) if self.model.relaxed.method.drops_skips else ():
            layer.set(rate.value(epoch / self.epochs))


def with_first(callback, callbacks):
    """The `callbacks` argument of `fit` with one more callback, first where that can be."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks.append(callback)
        return callbacks
    return [callback, *(callbacks if isinstance(callbacks, list | tuple) else [callbacks] if callbacks else [])]
