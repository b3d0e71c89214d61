"""Losses that are not finite."""

import keras
import numpy as np
import pytest

from keras_pibnas import callbacks, runs, schedules


def model(rate=0.5):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(rate), "mse")
    return model


def fit(model, y, *extra, epochs=2):
    x = np.ones((4, 1), "float32")
    return model.fit(x, y, batch_size=1, epochs=epochs, shuffle=False, verbose=0, callbacks=list(extra))


INFINITE = np.array([1, 1, np.inf, 1], "float32")


def quiet(directory):
    return callbacks.Checkpoint(directory, every_steps=1, write=lambda line: None)


def test_the_error_names_step_rate_and_checkpoint(tmp_path):
    checkpoint = quiet(tmp_path)
    with pytest.raises(runs.NotFinite) as end:
        fit(model(), INFINITE, checkpoint)
    last = tmp_path / "epoch-00000-step-0000002.checkpoint"
    assert str(end.value) == (
        f"The loss is not finite (inf) at epoch 1, step 3, learning rate 0.5. Last good checkpoint: {last}"
    )
    arrays, _ = runs.read_snapshot(last)
    assert checkpoint.last == last and all(np.isfinite(array).all() for array in arrays.values())


def test_without_a_checkpoint():
    with pytest.raises(runs.NotFinite, match=r"\(inf\) at epoch 1, step 3, .*Last good checkpoint: none"):
        fit(model(), INFINITE, callbacks.FiniteLoss())
    fit(model(), np.ones(4), callbacks.FiniteLoss())


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    """The loss of the step that breaks the weights is still finite."""
    checkpoint = quiet(tmp_path)
    broken = model(1e38)
    with pytest.raises(runs.NotFinite, match="A weight is not finite .* at epoch 1, step 1"):
        fit(broken, np.full(4, 1e5, "float32"), checkpoint)
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-00000-step-0000000.checkpoint"]


class BreaksAbove(keras.callbacks.Callback):
    """Makes weights infinite at a learning rate above a limit, after the third step."""

    def __init__(self, limit):
        super().__init__()
        self.limit, self.rates = limit, []

    def on_train_batch_end(self, batch, logs=None):
        self.rates.append(float(self.model.optimizer.learning_rate))
        if batch == 2 and self.rates[-1] > self.limit:
            self.model.layers[-1].bias.assign([np.inf])


@pytest.mark.parametrize("schedule", [False, True], ids=["rate", "schedule"])
def test_going_on_at_half_the_rate_until_it_holds(schedule, tmp_path):
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([100], [0.8, 0.1]) if schedule else 0.8
    network, breaks, lines = model(rate), BreaksAbove(0.3), []
    checkpoint = quiet(tmp_path)
    history = runs.halving(
        lambda: fit(network, np.ones(4), breaks, checkpoint, epochs=1), checkpoint, write=lines.append
    )
    # The third step breaks the weights at 0.8, and at 0.4 where the two steps before are only told; at 0.2 it holds.
    assert breaks.rates == pytest.approx([0.8] * 3 + [0.4] * 3 + [0.2] * 4)
    assert float(network.optimizer.learning_rate) == pytest.approx(0.2)
    assert len(lines) == 2 and "Going on from it at 0.25 of the learning rate" in lines[1]
    assert len(history.history["loss"]) == 1 and int(network.optimizer.iterations) == 4
    # The factor is kept for another process.
    assert runs.newest_snapshot(tmp_path)[2]["factor"] == 0.25


def test_it_ends_where_halving_does_not_help(tmp_path):
    checkpoint = quiet(tmp_path)
    with pytest.raises(runs.NotFinite):
        runs.halving(lambda: fit(model(), INFINITE, checkpoint), checkpoint, times=2, write=lambda line: None)
    assert checkpoint.factor == 0.25


def test_a_scaled_schedule_is_saved_and_loaded():
    scaled = schedules.Scaled(keras.optimizers.schedules.CosineDecay(0.1, 10), 0.5)
    again = keras.optimizers.schedules.deserialize(
        keras.optimizers.schedules.serialize(scaled), custom_objects={"Scaled": schedules.Scaled}
    )
    assert float(again(5)) == pytest.approx(0.025)  # half of half of 0.1
