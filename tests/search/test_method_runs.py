"""Searches with every method: alphas that move on digits, and runs that go on in mid-epoch to the bit."""

import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_pibnas as kp

SPACE = kp.spaces.SearchSpace("runs", ("none", "skip_connect", "dil_conv_3x3"))
NAMES = [name for name in kp.methods.names() if not kp.methods.get(name).stages]


@pytest.fixture(autouse=True)
def eagerly():
    """Without tf.function, on the plain engine: a few small steps cost a tenth of a trace."""
    tf.config.run_functions_eagerly(True)
    with kp.engine.use("plain"):
        yield
    tf.config.run_functions_eagerly(False)


def supernet(method, shape, classes, seed=0):
    keras.utils.set_random_seed(seed)
    channels = 2 * kp.methods.get(method).partial
    model = kp.Supernet(SPACE, shape, classes, channels, layers=2, nodes=1, order=1, seed=seed, method=method)
    model.compile(kp.optimizers.SGD(0.1), run_eagerly=True)
    return model


def numbers(variables):
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


@pytest.fixture(scope="module", name="digits")
def handwritten_digits():
    """16 + 16 digits of 8x8 pixels, as pairs of training and validation batches of 8."""
    halves = kp.data.load("digits", side=8).halves(seed=0)
    return [kp.data.bilevel(*(halves.batches(name, 8, seed=0).take(2) for name in ("train", "valid"))), halves]


@pytest.mark.parametrize("name", NAMES)
def test_alphas_move_on_digits(name, digits):
    """All of the reduction cells' do (both cells are); none where nothing is learned. Two epochs, as some rest."""
    pairs, halves = digits
    model = supernet(name, halves.input_shape, halves.num_classes)
    before = numbers(model.alphas)[1]
    history = model.fit(pairs, epochs=2, verbose=0).history
    moved = numbers(model.alphas)[1] != before
    assert np.isfinite(history["loss"]).all()
    if name == "random_sharing":  # but for Adam's L2 term
        assert np.abs(numbers(model.alphas)[1] - before).max() < 2e-3
        return
    learned = {"fair_darts": [1, 2]}.get(name, [0, 1, 2])  # it has no `none`
    assert moved[:, learned].all()
    genotype = model.genotype()
    assert [genotype.nodes, len(genotype.reduce)] == [1, 2]


class Stopped(keras.callbacks.Callback):
    """A SIGTERM after the first step of the second epoch."""

    def __init__(self, checkpoint):
        super().__init__()
        self.checkpoint = checkpoint

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (1, 0):
            self.checkpoint.signals.received = signal.SIGTERM


def searched(method, directory, stop=False):
    """What the search has come to: three epochs of two steps, of which the second is cut where it should stop."""
    generator = np.random.default_rng(0)
    batches = [(generator.normal(size=(4, 4, 4, 3)).astype("float32"), np.arange(4) % 3) for _ in range(2)]
    model = supernet(method, (4, 4, 3), 3)
    saved = kp.callbacks.Checkpoint(directory, every_minutes=None, write=len)
    data = tf.data.Dataset.from_tensor_slices(tuple(batches)).batch(2)
    callbacks = [Stopped(saved), saved] if stop else [saved]
    model.fit(data, epochs=3, verbose=0, callbacks=callbacks)
    return kp.runs.read_state(model) | {"progress": np.array(float(model.progress))}


@pytest.mark.parametrize("name", NAMES)
def test_resumed_in_mid_epoch_to_the_bit(name, tmp_path):
    want = searched(name, tmp_path / "undisturbed")
    with pytest.raises(kp.runs.Interrupted, match="Stopped at epoch 2, step 1"):
        searched(name, tmp_path / "killed", stop=True)
    got = searched(name, tmp_path / "killed")
    assert want.keys() == got.keys() and want["progress"] == pytest.approx(2 / 3)
    for key, value in want.items():
        np.testing.assert_array_equal(got[key], value, err_msg=key)
