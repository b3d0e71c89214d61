"""apps.search on two devices and on two machines finds what one device does; apps.train in mixed precision too."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SMALL = ("--side", "8", "--layers", "3", "--channels", "2", "--batch-size", "256", "--epochs", "1")
SEARCH = ("--space", "tiny", "--nodes", "1", "--order", "1", *SMALL)
CODE = """
import sys
import keras_pibnas as kp
from apps import search, train
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
            np.testing.assert_allclose(one[cell], two[cell], atol=1e-5)
    rows = [np.genfromtxt(path / "history.csv", delimiter=",", names=True) for path in (directory, other)]
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(rows[0][name], rows[1][name], rtol=1e-3)


def test_two_devices(alone, tmp_path):
    end(start("search", *SEARCH, "--devices", "2", "--out", tmp_path / "run"))
    compare(alone, tmp_path / "run")


def test_two_machines_of_which_the_first_writes(alone, tmp_path):
    workers = [f"127.0.0.1:{free_ports() + i}" for i in range(2)]
    both = []
    for i in range(2):
        config = json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": i}})
        both.append(start("search", *SEARCH, "--out", tmp_path / f"run{i}", TF_CONFIG=config))
    outputs = end(*both)
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
