"""Two processes over loopback compute what one does; one that dies ends the other; what Keras still needs."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_pibnas.distribution import cluster, strategy
from keras_pibnas.runs import is_chief

HERE = Path(__file__).parent
ENVIRONMENT = os.environ | {"PYTHONPATH": str(HERE.parents[1])}


def free_ports():
    """The first of two ports in a row that nobody uses."""
    for port in range(21000 + os.getpid() % 9000, 65000, 2):
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


def both(what, folder):
    """(exit status, error output, results or None) of both processes."""
    port, paths = free_ports(), [folder / f"{what}{i}.npz" for i in range(2)]
    commands = [[sys.executable, HERE / "two_workers.py", what, str(i), str(port), paths[i]] for i in range(2)]
    started = [subprocess.Popen(c, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT) for c in commands]
    errors = [process.communicate()[1] for process in started]
    read = [np.load(p, allow_pickle=True)["results"].item() if p.exists() else None for p in paths]
    return [(process.returncode, *rest) for process, *rest in zip(started, errors, read, strict=True)]


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    """What both processes computed."""
    done = both("fits", tmp_path_factory.mktemp("workers"))
    assert [status for status, _, _ in done] == [0, 0], done[0][1][-3000:]
    return [results for _, _, results in done]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same in one process."""
    path = tmp_path_factory.mktemp("alone") / "results.npz"
    code = (
        "import keras, numpy, sys; keras.config.set_floatx('float64'); import small_runs\n"
        "one = small_runs.fitted(small_runs.network(), small_runs.batches(9, 4, 0), small_runs.batches(5, 4, 2))\n"
        "two = small_runs.fitted(small_runs.supernet(order=1), small_runs.pairs(9, 4), small_runs.batches(5, 4, 2))\n"
        "results = {'training': one, 'search': two}\n"
        "numpy.savez(sys.argv[1], results=numpy.array(results, dtype=object))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path], cwd=HERE, capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr[-3000:]
    return np.load(path, allow_pickle=True)["results"].item()


@pytest.mark.slow
@pytest.mark.parametrize("what", ("training", "search"))
def test_fit(workers, alone, what):
    """Weights, statistics, alphas, both optimizers' slots, losses and accuracies; batches of 2 + 2, 2 + 2, 1 + 0."""
    for results in workers:
        assert len(results[what]) == len(alone[what])
        for (name, want), got in zip(alone[what].items(), results[what].values(), strict=True):
            np.testing.assert_allclose(got, want, atol=1e-7, err_msg=name)


@pytest.mark.slow
def test_one_is_the_chief(workers):
    assert [results["chief"] for results in workers] == [True, False]
    assert [results["cluster"] for results in workers] == [(2, 0), (2, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("what", ("stock", "built"))
def test_keras_still_needs_help(workers, what):
    """Where this fails, Keras has learned it: take the part out of distribution.ReplicatedMixin.

    "built": fit averages metrics of rank 0 on axis 0. "stock": that, or the build before it.
    """
    assert all(results[what] for results in workers), f"Keras {keras.__version__}"


@pytest.mark.slow
def test_a_worker_that_dies_ends_the_other_with_a_clear_line(tmp_path):
    (status, _, results), (died, _, nothing) = both("death", tmp_path)
    assert (status, died, nothing) == (0, -9, None)
    assert results["error"].startswith("A worker of this cluster is gone, so the others end: start all of them again")


def test_cluster(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert cluster() == (1, 0) and is_chief()
    monkeypatch.setenv(
        "TF_CONFIG",
        '{"cluster": {"chief": ["a:1"], "worker": ["b:1", "c:1"]}, "task": {"type": "worker", "index": 1}}',
    )
    assert cluster() == (3, 2) and not is_chief()
    for text in ("[1]", "{", '{"cluster": {"worker": ["a:1", "b:1"]}}'):
        monkeypatch.setenv("TF_CONFIG", text)
        with pytest.raises(ValueError, match="TF_CONFIG should look like .* Received: "):
            cluster()


def test_more_devices_than_there_are(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    keras.ops.ones(1)  # TensorFlow has started
    with pytest.raises(ValueError, match="Received: devices=99"):
        strategy(99)
