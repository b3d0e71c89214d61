import os
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_pibnas as kp
from keras_pibnas.cli import common, search


@pytest.fixture
def fails(capsys):
    """fails(main, argv): runs a command that should refuse, and returns its one line on standard error."""

    def run(main, argv):
        with pytest.raises(SystemExit) as stopped:
            main([str(word) for word in argv])
        error = capsys.readouterr().err
        assert stopped.value.code == 2
        assert error.endswith("\n") and error.count("\n") == 1, error
        return error

    return run


@pytest.fixture
def npz(tmp_path):
    """npz(**changes): path of a small data set of 24 images of two classes, some arrays changed."""

    def write(**changes):
        arrays = {"x": np.zeros((24, 8, 8, 1), "uint8"), "y": np.arange(24) % 2, **changes}
        np.savez(tmp_path / "data.npz", **arrays)
        return tmp_path / "data.npz"

    return write


class StopAt(keras.callbacks.Callback):
    """SIGTERM to this process after a step."""

    def __init__(self, step):
        super().__init__()
        self.left = step

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def stop_at():
    """stop_at(step): a callback that sends SIGTERM to this process after a step."""
    return StopAt


@pytest.fixture(scope="module")
def quick():
    """The module's runs are not traced, draw nothing and write no logs, which is most of a small run's time."""
    with pytest.MonkeyPatch.context() as patch:
        for place, name in ((kp.analysis, "plot_genotype"), (kp.analysis, "training_curves"), (search, "draw")):
            patch.setattr(place, name, lambda *args: None)
        patch.setattr(common, "progress_callbacks", lambda *args: [])
        tf.config.run_functions_eagerly(True)
        yield
        tf.config.run_functions_eagerly(False)
