import contextlib
import gc
import json
import os
from dataclasses import asdict

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
if "PYTEST_XDIST_WORKER" in os.environ:  # one op a core: workers, as many as cores, do not wait for each other
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

from keras_pibnas import engine, genotypes  # before Keras: it switches TensorFlow's oneDNN kernels on

# isort: split
import keras
import numpy as np
import pytest

from keras_pibnas import tabular
from keras_pibnas.spaces import catalog
from keras_pibnas.spaces import registry as ops


def pytest_addoption(parser):
    parser.addoption("--engine", default=None, help="the engine that tests run with; by default the current one")


@pytest.fixture(scope="module", autouse=True)
def frozen_heap():
    """The collection at each test's clear_session skips what is older than the test: imports, and what others traced.

    That is a second a test after a thousand of them. When a file's tests have ended, everything is looked at once.
    """
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def seed(request):
    """Every test starts from the same seeds, whatever ran before it, with the engine that was asked for."""
    keras.utils.set_random_seed(0)
    name = request.config.getoption("--engine")
    with engine.use(name) if name else contextlib.nullcontext():
        yield
    keras.backend.clear_session()
    gc.freeze()


@pytest.fixture
def shapes_alone():
    """Variables made inside have shapes and no values: all that counting reads, in a third of the time."""
    with keras.StatelessScope(initialize_variables=False):
        yield


@pytest.fixture(name="registry")
def copied_registry(monkeypatch):
    """Lets a test register ops and spaces that are gone after it."""
    monkeypatch.setattr(ops, "_OPS", dict(ops._OPS))
    monkeypatch.setattr(ops, "_ALIASES", dict(ops._ALIASES))
    monkeypatch.setattr(catalog, "_SPACES", dict(catalog._SPACES))
    monkeypatch.setattr(genotypes, "OPS", set(genotypes.OPS))


@pytest.fixture
def small_table(tmp_path):
    """Path of a table of 42 cells, whose figures nobody trained: the higher a cell's number, the better it is."""
    space = tabular.CellSpace(("skip_connect", "sep_conv_3x3"))
    settings = tabular.Settings(
        side=8, layers=3, channels=4, train_images=64, valid_images=64, batch_size=32, epochs=1, learning_rate=0.05
    )
    about = {
        "settings": asdict(settings), "primitives": space.primitives, "reduce": space.reduce, "seconds": 84,
        "images": {"train": 64, "valid": 64, "test": 1669}, "processor": "none", "versions": {},
    }  # fmt: skip
    number = np.arange(42)
    arrays = {
        "valid": np.stack([number, number + 1], 1), "test": np.stack([20 * number, 20 * number + 10], 1),
        "params": 100 + number, "macs": 1000 + number, "about": np.array(json.dumps(about)),
    }  # fmt: skip
    return tabular.write(tmp_path / "table.npz", arrays)
