"""search on two devices and on two machines finds what one device does; train in mixed precision too."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SMALL = ("--side", "8", "--layers", "3", "--channels", "2", "--batch-size", "256", "--epochs", "3")
SEARCH = ("--space", "tiny", "--nodes", "1", "--order", "1", *SMALL)
CODE = """
import sys
import keras_pibnas as kp
from keras_pibnas.cli import search, train
kp.spaces.register("tiny", ("none", "skip_connect", "dil_conv_3x3"))
{"search": search, "train": train}[sys.argv[1]].main(sys.argv[2:])
"""


def start(*arguments, **environment):
    """A command in a process of its own."""
    variables = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"} | environment
    command = [sys.executable, "-c", CODE, *map(str, arguments)]
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(*processes):
    """What they print; all of them must end well."""
    told = [process.communicate() for process in processes]
    for process, (output, errors) in zip(processes, told, strict=True):
        assert process.returncode == 0, output[-2000:] + errors[-2000:]
    return [output for output, _ in told]


def free_ports():
    """The first of two ports in a row that nobody uses."""
    for port in range(31000 + os.getpid() % 9000, 65000, 2):
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The run directory of a search on one device."""
    directory = tmp_path_factory.mktemp("alone") / "run"
    end(start("search", *SEARCH, "--out", directory))
    return directory


def compare(directory, other):
    """Alphas of every epoch, losses and accuracies in the epoch's record."""
    with np.load(directory / "alphas.npz") as one, np.load(other / "alphas.npz") as two:
        for cell in ("normal", "reduce"):
            assert np.abs(one[cell][-1] - one[cell][0]).max() > 1e-4
            np.testing.assert_allclose(one[cell], two[cell], atol=2e-4)  # float32, 6 steps of 3e-4
    rows = [np.genfromtxt(path / "history.csv", delimiter=",", names=True) for path in (directory, other)]
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(rows[0][name], rows[1][name], rtol=1e-3)


def test_two_devices(alone, tmp_path):
    end(start("search", *SEARCH, "--devices", "2", "--synchronized", "--out", tmp_path / "run"))
    compare(alone, tmp_path / "run")


def machines(*arguments):
    """A command on two machines; arguments: of each."""
    port = free_ports()
    workers = [f"127.0.0.1:{port + i}" for i in range(2)]
    cluster = [{"cluster": {"worker": workers}, "task": {"type": "worker", "index": i}} for i in range(2)]
    return [start("search", *own, TF_CONFIG=json.dumps(one)) for own, one in zip(arguments, cluster, strict=True)]


def test_two_machines_one_of_which_dies(alone, tmp_path):
    """The other ends with a line; both go on together, and the first alone has written."""
    chief, worker = machines(*((*SEARCH, "--synchronized", "--out", tmp_path / f"run{i}") for i in range(2)))
    while not list(tmp_path.glob("run0/checkpoints/epoch-00001-*")) and chief.poll() is None:
        time.sleep(0.05)
    worker.kill()
    worker.communicate()
    errors = chief.communicate()[1]
    assert chief.returncode == 1, errors[-2000:]
    last = errors.strip().splitlines()[-1]
    assert "A worker of this cluster is gone" in last and last.endswith(f"--resume {tmp_path / 'run0'}")
    outputs = end(*machines(*[("--resume", tmp_path / "run0")] * 2))
    compare(alone, tmp_path / "run0")
    assert "The run directory holds:" in outputs[0] and "The run directory holds:" not in outputs[1]
    assert [path.name for path in tmp_path.iterdir()] == ["run0"]


def test_training_on_two_devices_in_mixed_precision(tmp_path):
    flags = ("--precision", "mixed_float16", "--drop-path", "0.2", "--devices", "2", "--out", tmp_path / "run")
    assert "Test accuracy" in end(start("train", *SMALL, *flags))[0]
    assert np.isfinite(json.loads((tmp_path / "run" / "result.json").read_text())["test_loss"])


def test_several_machines_need_a_directory():
    config = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}
    process = start("search", TF_CONFIG=json.dumps(config))
    assert "which they share. Received: no --out, no --resume" in process.communicate()[1]
    assert process.returncode == 2
