import pytest

from keras_pibnas import genotypes
from keras_pibnas.spaces import catalog, registry


@pytest.fixture(name="registry")
def copied_registry(monkeypatch):
    """Lets a test register ops and spaces that are gone after it."""
    monkeypatch.setattr(registry, "_OPS", dict(registry._OPS))
    monkeypatch.setattr(registry, "_ALIASES", dict(registry._ALIASES))
    monkeypatch.setattr(catalog, "_SPACES", dict(catalog._SPACES))
    monkeypatch.setattr(genotypes, "OPS", set(genotypes.OPS))
