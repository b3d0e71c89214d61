"""Files that are whole or not there: written aside, moved into place."""

import contextlib
import csv
import io
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_pibnas.distribution import cluster

_ASIDE = "-aside-"  # in the names of files that are not whole yet


def atomic_write(path: str | Path, content: str | bytes) -> None:
    """Writes text or bytes to `path`: a reader, or a crash, meets the old file or the new one, never a part.

    Raises:
        OSError: the file cannot be written; the file before it is untouched.

    Example:
        >>> kp.runs.atomic_write("notes.txt", "whole or not there")
    """
    path = Path(path)
    content = content.encode("utf-8") if isinstance(content, str) else content
    with written_aside(path) as aside:
        aside.write_bytes(content)


@contextlib.contextmanager
def written_aside(path: str | Path) -> Iterator[Path]:
    """A path beside `path`, of its suffix, to write to; moved onto `path` when the block ends well.

    Example:
        >>> with kp.runs.written_aside("notes.txt") as aside:
        ...     size = aside.write_text("written beside, then moved")
    """
    path = Path(path)
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}{_ASIDE}", suffix=path.suffix)
    os.close(handle)
    aside = Path(aside)
    try:
        yield aside
        with open(aside, "rb") as written:  # On the disk before the name points at it.
            os.fsync(written.fileno())
        os.chmod(aside, 0o666 & ~_umask())  # mkstemp's files are for their owner alone.
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def is_chief() -> bool:
    """Whether this process writes a run's files: of several workers (TF_CONFIG), the chief or else the first does.

    Raises:
        ValueError: TF_CONFIG is not JSON with workers and a task.

    Example:
        >>> kp.runs.is_chief()
        True
    """
    return cluster()[1] == 0


def sweep(directory):
    """Removes what a killed process was still writing aside in a directory."""
    for aside in Path(directory).glob(f".*{_ASIDE}*"):
        aside.unlink(missing_ok=True)


def save_model(model: keras.Model, path: str | Path) -> None:
    """Saves a Keras model as .keras, whole or not at all.

    Example:
        >>> kp.runs.save_model(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), "model.keras")
    """
    with written_aside(path) as aside:
        model.save(aside)


def write_json(path: str | Path, value: Any) -> None:
    """Writes `value` as indented JSON, whole or not at all.

    Example:
        >>> kp.runs.write_json("result.json", {"test_accuracy": 0.9})
    """
    atomic_write(path, json.dumps(value, indent=2) + "\n")


def read_lines(path: str | Path) -> list:
    """The JSON objects of a .jsonl file, one a line; none where there is no file.

    Example:
        >>> kp.runs.atomic_write("genotypes.jsonl", '{"epoch": 1}')
        >>> kp.runs.read_lines("genotypes.jsonl")
        [{'epoch': 1}]
    """
    path = Path(path)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def write_lines(path, rows):
    """Writes one JSON object a line."""
    atomic_write(path, "".join(json.dumps(row) + "\n" for row in rows))


def read_table(path: str | Path) -> list:
    """The rows of a .csv file as dictionaries of text; none where there is no file.

    Example:
        >>> kp.runs.record_history(".", 1, {"loss": 2.0})
        >>> kp.runs.read_table("history.csv")
        [{'epoch': '1', 'loss': '2.0'}]
    """
    path = Path(path)
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_table(path, rows):
    """Writes dictionaries as .csv; the columns are their keys as they appear, a missing value is empty."""
    text, columns = io.StringIO(newline=""), dict.fromkeys(key for row in rows for key in row)
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    atomic_write(path, text.getvalue())


def write_arrays(path: str | Path, **arrays) -> None:
    """Writes named arrays as .npz.

    Example:
        >>> kp.runs.write_arrays("arrays.npz", normal=np.zeros((2, 2)))
    """
    content = io.BytesIO()
    np.savez(content, **arrays)
    atomic_write(path, content.getvalue())


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
