import pytest

from keras_pibnas.analysis import style


@pytest.fixture
def drawn(monkeypatch):
    """List of the figures that were saved."""
    figures, save = [], style.save
    monkeypatch.setattr(style, "save", lambda figure, path: figures.append(figure) or save(figure, path))
    return figures
