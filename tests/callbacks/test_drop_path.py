import keras
import numpy as np
import pytest

from keras_pibnas.callbacks import DropPathSchedule
from keras_pibnas.layers import DropPath
from keras_pibnas.network import set_drop_path


def network():
    inner = keras.Sequential([keras.Input((1,)), DropPath(0.0)])
    return keras.Sequential([keras.Input((1,)), DropPath(0.1), keras.layers.Dense(1), inner])


class Seen(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.rates = []

    def on_epoch_end(self, epoch, logs=None):
        self.rates.append((float(self.model.layers[0].rate), float(self.model.layers[2].layers[0].rate)))


def test_the_rate_rises_linearly_over_the_epochs():
    model, seen = network(), Seen()
    model.compile("sgd", "mse")
    x = np.ones((2, 1))
    model.fit(x, x, epochs=4, verbose=0, callbacks=[DropPathSchedule(0.2, 4), seen])
    # 0.2 * epoch / 4
    assert np.array(seen.rates) == pytest.approx(np.array([[0, 0], [0.05, 0.05], [0.1, 0.1], [0.15, 0.15]]))


def test_a_model_without_drop_path_is_refused():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)], name="plain")
    with pytest.raises(ValueError, match="no DropPath layer.*Received: model='plain', rate=0.2"):
        set_drop_path(model, 0.2)
