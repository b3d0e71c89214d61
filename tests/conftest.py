import contextlib
import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
if "PYTEST_XDIST_WORKER" in os.environ:  # one op a core: workers, as many as cores, do not wait for each other
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

from keras_pibnas import engine, genotypes  # before Keras: it switches TensorFlow's oneDNN kernels on

# isort: split
import keras
import pytest

from keras_pibnas.spaces import catalog
from keras_pibnas.spaces import registry as ops


def pytest_addoption(parser):
    parser.addoption("--engine", default=None, help="the engine that tests run with; by default the current one")


@pytest.fixture(scope="session", autouse=True)
def frozen_imports():
    """Garbage collections skip the 370,000 objects of the imports: 0.2 s at each test's clear_session."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def seed(request):
    """Every test starts from the same seeds, whatever ran before it, with the engine that was asked for."""
    keras.utils.set_random_seed(0)
    name = request.config.getoption("--engine")
    with engine.use(name) if name else contextlib.nullcontext():
        yield
    keras.backend.clear_session()


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
