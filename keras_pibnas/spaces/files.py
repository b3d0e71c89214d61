"""Search spaces in JSON files."""

import json
from collections.abc import Mapping
from pathlib import Path

from keras_pibnas.spaces.registry import canonical
from keras_pibnas.spaces.space import KEYS, SearchSpace


def load(path: str | Path) -> SearchSpace:
    """Reads a search space of one's own from a JSON file: an object whose keys are the arguments of `SearchSpace`.

    {"name": "mine", "pool_norm": true, "edges": {"normal": [["skip_connect", "sep_conv_3x3"], null, ...],
    "reduce": [...]}}; null allows all ops of "primitives". A missing name is the file's, missing primitives are those
    that the edges name.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no search space; the message names the file and what is wrong.

    Example:
        >>> import pathlib
        >>> text = '{"edges": [["skip_connect"], ["sep_conv_3x3", "sep_conv_5x5"]]}'
        >>> _ = pathlib.Path("tiny.json").write_text(text)
        >>> kp.spaces.load("tiny.json").ops_on("normal", source=1, node=0)
        ('sep_conv_3x3', 'sep_conv_5x5')
    """
    path = Path(path)
    try:
        return _read(json.loads(path.read_text(encoding="utf-8")), path.stem)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} holds no search space: {error}") from None


def save(space: SearchSpace, path: str | Path) -> None:
    """Writes what `load` reads.

    Example:
        >>> kp.spaces.save(kp.spaces.get("s1"), "s1_of_mine.json")
        >>> kp.spaces.get("s1_of_mine.json") == kp.spaces.get("s1")
        True
    """
    Path(path).write_text(json.dumps(space.to_config(), indent=1) + "\n", encoding="utf-8")


def _read(config, name):
    if not isinstance(config, dict):
        raise ValueError(f"it should be an object with the keys {', '.join(KEYS)}. Received: {type(config).__name__}")
    if unknown := sorted(set(config) - set(KEYS)):
        raise ValueError(f"its keys may be {', '.join(KEYS)}. Received: {', '.join(unknown)}")
    config = {"name": name, "primitives": ops_of(config.get("edges")), **config}
    if not isinstance(config["name"], str) or not isinstance(config.get("pool_norm", False), bool):
        raise ValueError(f"name is a text and pool_norm true or false. Received: {config['name']!r}, "
                         f"{config.get('pool_norm', False)!r}")  # fmt: skip
    return checked(SearchSpace(**config))


def ops_of(edges) -> tuple:
    """The op names in rows of edges, as they come; () where there are none or they are wrong."""
    tables = list(edges.values()) if isinstance(edges, Mapping) else [edges]
    rows = [row for table in tables if isinstance(table, list | tuple) for row in table]
    ops = [op for row in rows if isinstance(row, list | tuple) for op in row]
    return tuple(dict.fromkeys(op for op in ops if isinstance(op, str)))


def checked(space: SearchSpace) -> SearchSpace:
    """The space. Raises ValueError: an op is unknown or stands twice, or there is nothing but `none`."""
    if not all(isinstance(op, str) for op in space.primitives):
        raise ValueError(f"primitives are op names. Received: {space.primitives}")
    known = [canonical(op) for op in space.primitives]
    if len(set(known)) != len(known) or not set(known) - {"none"}:
        raise ValueError(f"A search space needs different ops, one at least besides none. Received: {space.primitives}")
    return space
