"""Files that are whole or not there: written aside, moved into place."""

import contextlib
import csv
import io
import json
import os
import tempfile
from pathlib import Path

import numpy as np

from keras_pibnas.distribution import cluster

_ASIDE = "-aside-"  # in the names of files that are not whole yet


def atomic_write(path, content):
    """Writes text or bytes to `path`: a reader, or a crash, meets the old file or the new one, never a part.

    Raises:
        OSError: the file cannot be written; what stood there before is untouched.
    """
    path = Path(path)
    content = content.encode("utf-8") if isinstance(content, str) else content
    with written_aside(path) as aside:
        aside.write_bytes(content)


@contextlib.contextmanager
def written_aside(path):
    """A path beside `path`, of its suffix, to write to; moved onto `path` when the block ends well."""
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


def is_chief():
    """Whether this process writes a run's files: of several workers (TF_CONFIG), the chief or else the first does.

    Raises:
        ValueError: TF_CONFIG is not JSON with workers and a task.
    """
    return cluster()[1] == 0


def sweep(directory):
    """Removes what a killed process was still writing aside in a directory."""
    for aside in Path(directory).glob(f".*{_ASIDE}*"):
        aside.unlink(missing_ok=True)


def save_model(model, path):
    """Saves a Keras model as .keras, whole or not at all."""
    with written_aside(path) as aside:
        model.save(aside)


def write_json(path, value):
    """Writes `value` as indented JSON, whole or not at all."""
    atomic_write(path, json.dumps(value, indent=2) + "\n")


def read_lines(path):
    """The JSON objects of a .jsonl file, one a line; none where there is no file."""
    path = Path(path)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def write_lines(path, rows):
    """Writes one JSON object a line."""
    atomic_write(path, "".join(json.dumps(row) + "\n" for row in rows))


def read_table(path):
    """The rows of a .csv file as dictionaries of text; none where there is no file."""
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


def write_arrays(path, **arrays):
    """Writes named arrays as .npz."""
    content = io.BytesIO()
    np.savez(content, **arrays)
    atomic_write(path, content.getvalue())


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
