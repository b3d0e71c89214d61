import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

import keras
import pytest


@pytest.fixture(autouse=True)
def seed():
    """Every test starts from the same seeds, whatever ran before it."""
    keras.utils.set_random_seed(0)
    yield
    keras.backend.clear_session()
