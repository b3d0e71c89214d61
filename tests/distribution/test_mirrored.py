"""Two devices compute what one does: alpha gradients of every order, a search and a training by `fit`, in float64."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import keras_pibnas as kp

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("two_devices.py")
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}

METHODS = [name for name in kp.methods.names() if not kp.methods.get(name).stages]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What two_devices.py computed, in a process with two logical devices."""
    return computed(tmp_path_factory)


@pytest.fixture(scope="module", name="methods")
def results_of_methods(tmp_path_factory):
    """{method: gradients on one device and on two}, from one more such process."""
    return computed(tmp_path_factory, *METHODS)


def computed(tmp_path_factory, *names):
    path = tmp_path_factory.mktemp("mirrored") / "results.npz"
    done = subprocess.run([sys.executable, SCRIPT, path, *names], capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr[-3000:]
    return np.load(path, allow_pickle=True)["results"].item()


@pytest.mark.parametrize("case", ("first/3", "exact/3", "exact/5", "finite_difference/4"))
def test_alpha_gradients_are_those_of_the_global_batch(results, case):
    """5 images as 3 + 2, 5 + 0 and 4 + 1."""
    one, two = results[case]["one"], results[case]["two"]
    assert np.abs(one).max() > 1e-2
    for replica in two:
        np.testing.assert_allclose(replica, one, atol=1e-9)


def test_the_second_order_term_is_there(results):
    first, exact = results["first/3"]["one"], results["exact/3"]["one"]
    assert np.linalg.norm(exact - first) > 1e-3 * np.linalg.norm(first)


def compare(results):
    one, two = results["one"], results["two"]
    assert len(one) == len(two)
    for (name, want), got in zip(one.items(), two.values(), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("what", ("training", "search"))
def test_fit(results, what):
    """Weights, statistics, alphas, both optimizers' slots, losses and accuracies; batches of 2 + 2, 2 + 2, 1 + 0."""
    compare(results[what])
    names = [name for name in results[what]["one"] if name.startswith("history:")]
    assert sorted(names) == [f"history:{name}" for name in ("accuracy", "loss", "val_accuracy", "val_loss")]


@pytest.mark.parametrize("name", METHODS)
def test_methods_on_two_devices(methods, name):
    """Where batch statistics are those of the global batch, so are both gradients; noise is the same on both."""
    got = methods[name]
    assert len(got["one"]) == len(got["two"]) > got["alphas"] >= 2
    for want, copies in zip(got["one"], got["two"], strict=True):
        assert len(copies) == 2
        for copy in copies:
            np.testing.assert_allclose(copy, want, atol=1e-9)
    moving = [np.abs(gradient).max() > 1e-6 for gradient in got["one"][:2]]
    assert moving[1] == (name != "random_sharing")  # both cells reduce


@pytest.mark.parametrize("what", ("training", "search"))
def test_copies_of_the_devices_stay_equal(results, what):
    copies = results[what]["copies"]
    assert len(copies) > 10 and set(copies.values()) == {0.0}


def test_float32_kernels(results):
    got = results["float32"]
    np.testing.assert_allclose(got["two"], got["one"], atol=2e-3)  # 100 has 1e-5 of rounding, a deviation is 0.3
    np.testing.assert_allclose(got["state_two"], got["state_one"], rtol=1e-3)


def test_replicas_that_normalize_their_own_images(results):
    """Gradients of the mean of both halves' losses, by hand; moved statistics are the mean of both halves'."""
    got = results["unsynchronized"]
    for replica in got["got"]:
        np.testing.assert_allclose(replica, got["want"], atol=1e-9)
    halves = got["convolved"][:3], got["convolved"][3:]
    mean = np.mean([half.mean((0, 1, 2)) for half in halves], axis=0)
    variance = np.mean([half.var((0, 1, 2), ddof=1) for half in halves], axis=0)
    for copy in range(2):
        np.testing.assert_allclose(got["mean"][copy], 0.1 * mean, atol=1e-12)
        np.testing.assert_allclose(got["variance"][copy], 0.9 + 0.1 * variance, atol=1e-12)


def test_a_gradient_that_is_not_finite_on_one_device_skips_the_step_on_both(results):
    got = results["not_finite"]
    assert got["weights"] == [[1.0, 1.0], [0.5, 0.5]]
    assert got["scales"] == [[8.0, 8.0], [8.0, 8.0]] and got["steps"] == 1
