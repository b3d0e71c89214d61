import keras
import pytest


@pytest.fixture(autouse=True)
def seed():
    """Only the seeds: these many small tests leave nothing behind that would need a new session."""
    keras.utils.set_random_seed(0)
