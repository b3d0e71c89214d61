"""The same seed gives the same result, to the bit. `test_kill` compares processes that begin anew and go on."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_pibnas import runs

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import resumable  # noqa: E402


@pytest.mark.parametrize(("order", "eagerly"), [(1, False), (2, True)], ids=["traced", "second order"])
def test_two_searches_in_one_process(order, eagerly):
    states = []
    for _ in range(2):
        keras.backend.clear_session()  # Sums are ordered by the names of layers, which are counted.
        keras.utils.set_random_seed(7)
        supernet, pairs, _ = resumable.search(order)
        supernet.run_eagerly = eagerly
        supernet.fit(pairs, epochs=1, verbose=0)
        states.append(runs.read_state(supernet, metrics=True))
    assert states[0].keys() == states[1].keys()
    for name in states[0]:
        np.testing.assert_array_equal(states[0][name], states[1][name], err_msg=name)


def test_with_tensorflows_switch_too(tmp_path):
    """The switch cannot be undone in a process, so it gets one of its own."""
    code = (
        "import sys, pathlib, tensorflow as tf, resumable;"
        "tf.config.experimental.enable_op_determinism();"
        "[resumable.fit('training', path) for path in map(pathlib.Path, sys.argv[1:])]"
    )
    both = [tmp_path / "one", tmp_path / "other"]
    for path in both:
        path.mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])])}
    done = subprocess.run([sys.executable, "-c", code, *both], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    one, other = (dict(np.load(path / "end.npz")) for path in both)
    assert one.keys() == other.keys() and all((one[name] == other[name]).all() for name in one)
