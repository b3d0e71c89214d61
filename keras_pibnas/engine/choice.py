"""Which engine is in use."""

import contextlib
import os
import warnings
from collections import namedtuple
from collections.abc import Callable, Iterator

import keras

from keras_pibnas.engine.interface import Engine

VARIABLE = "KERAS_PIBNAS_ENGINE"
AUTO = "auto"

Entry = namedtuple("Entry", "make suits")

_ENTRIES: dict[str, Entry] = {}
_ENGINES: dict[str, Engine] = {}  # made so far
_UNUSABLE: dict[str, Exception] = {}  # what came of trying to make them
_WANTED: list[str] = []  # by `use`, innermost last; replicas of a strategy run in threads of their own, and see it too


def names() -> tuple[str, ...]:
    """The names of all registered engines, sorted.

    Example:
        >>> kp.engine.names()
        ('plain', 'tensorflow')
    """
    return tuple(sorted(_ENTRIES))


def register(name: str, make: Callable[[], Engine], suits: Callable[[], bool]) -> None:
    """Adds an engine. "auto" takes the first one registered that suits and can be made.

    Args:
        name: a new name.
        make: () -> `Engine`; called once, when the engine is first used. An ImportError or AttributeError in it means
            that the engine cannot be used with the libraries that are installed.
        suits: () -> whether the engine can compute with Keras's backend.

    Raises:
        ValueError: the name is taken, or is "auto".

    Example:
        >>> kp.engine.register("mine", lambda: kp.engine.Engine(), suits=lambda: False)
        >>> "mine" in kp.engine.names()
        True
    """
    if name in _ENTRIES or name == AUTO:
        raise ValueError(f"Engine {name!r} is there already. Known: {AUTO}, {', '.join(names())}")
    _ENTRIES[name] = Entry(make, suits)


def current() -> Engine:
    """The engine in use: what `use` says, else the environment's KERAS_PIBNAS_ENGINE, else "auto".

    Returns:
        An `Engine`; it equals its name: `current() == "plain"`.

    Raises:
        ValueError: an unknown name, or an engine that cannot be used here.

    Example:
        >>> with kp.engine.use("plain"):
        ...     kp.engine.current() == "plain"
        True
    """
    return resolve(_WANTED[-1] if _WANTED else os.environ.get(VARIABLE) or AUTO)


@contextlib.contextmanager
def use(name: str | None) -> Iterator[Engine]:
    """Inside the block, the engine of that name is in use; "auto" picks one, None changes nothing.

    Raises:
        ValueError: an unknown name, or an engine that cannot be used here.

    Example:

    >>> import keras_pibnas as kp
    >>> with kp.engine.use("plain"):
    ...     print(kp.engine.current())
    plain
    """
    engine = current() if name is None else resolve(name)
    _WANTED.append(engine.name)
    try:
        yield engine
    finally:
        _WANTED.pop()


def resolve(name: str) -> Engine:
    """The engine of that name."""
    if name == AUTO:
        return next(engine for engine in map(_suitable, _ENTRIES) if engine)
    if name not in _ENTRIES:
        raise ValueError(f"Unknown engine {name!r}. Known: {AUTO}, {', '.join(names())}")
    if not _ENTRIES[name].suits():
        raise ValueError(f"Engine {name!r} cannot compute with Keras's backend {keras.backend.backend()!r}.")
    engine = _made(name)
    if engine is None:
        raise ValueError(f"Engine {name!r} cannot be used with the libraries installed: {_UNUSABLE[name]}")
    return engine


def _suitable(name):
    return _made(name, warn=True) if _ENTRIES[name].suits() else None


def _made(name, warn=False):
    if name not in _ENGINES and name not in _UNUSABLE:
        try:
            _ENGINES[name] = _ENTRIES[name].make()
        except (ImportError, AttributeError) as error:
            _UNUSABLE[name] = error
            if warn:
                warnings.warn(f"The {name} engine is left out, and another is used: {error}", stacklevel=2)
    return _ENGINES.get(name)


def _plain():
    from keras_pibnas.engine.plain import Plain

    return Plain()


def _tensorflow():
    from keras_pibnas.engine.tensorflow import TensorFlow

    return TensorFlow()


register("tensorflow", _tensorflow, lambda: keras.backend.backend() == "tensorflow")
register("plain", _plain, lambda: True)
