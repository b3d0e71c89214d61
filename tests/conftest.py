import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

from keras_pibnas import genotypes  # before Keras: it switches TensorFlow's oneDNN kernels on

# isort: split
import keras
import pytest

from keras_pibnas.spaces import catalog
from keras_pibnas.spaces import registry as ops


@pytest.fixture(autouse=True)
def seed():
    """Every test starts from the same seeds, whatever ran before it."""
    keras.utils.set_random_seed(0)
    yield
    keras.backend.clear_session()


@pytest.fixture(name="registry")
def copied_registry(monkeypatch):
    """Lets a test register ops and spaces that are gone after it."""
    monkeypatch.setattr(ops, "_OPS", dict(ops._OPS))
    monkeypatch.setattr(ops, "_ALIASES", dict(ops._ALIASES))
    monkeypatch.setattr(catalog, "_SPACES", dict(catalog._SPACES))
    monkeypatch.setattr(genotypes, "OPS", set(genotypes.OPS))
