"""Checkpoint files: whole or not there, with a checksum, and the last ones kept.

A file is one line (format, SHA-256 and length of the rest), then an .npz whose array `meta` is JSON.
"""

import errno
import hashlib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .files import sweep, written_aside
from .state import CheckpointError

_FORMAT = b"keras_pibnas-checkpoint-1"
SUFFIX = ".checkpoint"


class DamagedCheckpoint(CheckpointError):
    """A checkpoint file that is not what was written.

    Example:
        >>> kp.runs.atomic_write("epoch-00000-step-0000000.checkpoint", "no checkpoint")
        >>> try:
        ...     kp.runs.read_snapshot("epoch-00000-step-0000000.checkpoint")
        ... except kp.runs.DamagedCheckpoint as error:
        ...     print(error)
        epoch-00000-step-0000000.checkpoint does not begin as a checkpoint does. Received: b'no checkpoint'
    """


def snapshot_path(directory, epoch, step):
    """Where the checkpoint of an epoch (from 0) and a step in it goes; names sort by time."""
    return Path(directory) / f"epoch-{epoch:05d}-step-{step:07d}{SUFFIX}"


def snapshots(directory: str | Path) -> list:
    """The checkpoint files of a directory, the oldest first.

    Example:
        >>> kp.runs.snapshots(".")
        []
    """
    return sorted(Path(directory).glob(f"epoch-*{SUFFIX}"))


def write_snapshot(path: str | Path, arrays: Mapping[str, np.ndarray], meta: Any) -> None:
    """Writes named arrays and a JSON value.

    Raises:
        OSError: the file cannot be written; the files before it are untouched.

    Example:
        >>> kp.runs.write_snapshot("epoch-00000-step-0000000.checkpoint", {"w": np.zeros(2)}, {"epoch": 0})
    """
    content = io.BytesIO()
    np.savez(content, meta=np.frombuffer(json.dumps(meta).encode(), np.uint8), **arrays)
    content = content.getbuffer()
    digest = hashlib.sha256(content).hexdigest().encode()
    with written_aside(path) as aside, open(aside, "wb") as file:
        file.write(b"%s %s %d\n" % (_FORMAT, digest, len(content)))
        file.write(content)


def read_snapshot(path: str | Path) -> tuple:
    """(arrays, meta) as they were written.

    Raises:
        DamagedCheckpoint: names the file and what is wrong with it.

    Example:
        >>> kp.runs.write_snapshot("epoch-00000-step-0000000.checkpoint", {"w": np.zeros(2)}, {"epoch": 0})
        >>> arrays, meta = kp.runs.read_snapshot("epoch-00000-step-0000000.checkpoint")
        >>> arrays["w"].shape, meta
        ((2,), {'epoch': 0})
    """
    head, _, content = Path(path).read_bytes().partition(b"\n")
    words = head.split()
    if len(words) != 3 or words[0] != _FORMAT:
        raise DamagedCheckpoint(f"{path} does not begin as a checkpoint does. Received: {head[:40]!r}")
    if len(content) != int(words[2]):
        raise DamagedCheckpoint(f"{path} should hold {int(words[2])} bytes. Received: {len(content)}")
    if hashlib.sha256(content).hexdigest().encode() != words[1]:
        raise DamagedCheckpoint(f"{path} has changed since it was written: its checksum is another")
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return arrays, json.loads(arrays.pop("meta").tobytes())


def newest_snapshot(directory: str | Path, write: Callable[[str], Any] = print) -> tuple | None:
    """(path, arrays, meta) of the newest checkpoint that is whole, or None where there is no file.

    A damaged one is named, renamed to *.damaged, and the one before it is tried.

    Raises:
        DamagedCheckpoint: there are files, and all are damaged.

    Example:
        >>> kp.runs.newest_snapshot(".") is None
        True
    """
    damaged = []
    for path in reversed(snapshots(directory)):
        try:
            return path, *read_snapshot(path)
        except DamagedCheckpoint as error:
            aside = path.with_name(f"{path.name}.damaged")
            path.rename(aside)
            damaged.append(aside)
            write(f"Damaged checkpoint: {error}. It is now {aside.name}; trying the one before it.")
    if damaged:
        raise DamagedCheckpoint(f"No checkpoint in {directory} is whole. Damaged: {', '.join(map(str, damaged))}")
    return None


def keep_newest(directory, keep):
    """Removes all but the newest `keep` checkpoints, and what a killed process left half-written."""
    sweep(directory)
    if Path(directory).name == "checkpoints":  # of a run directory, which has records too
        sweep(Path(directory).parent)
    for path in snapshots(directory)[:-keep]:
        path.unlink()


def no_space(error: OSError) -> bool:
    """Whether an OSError says that the disk, or the user's share of it, is full.

    Example:
        >>> kp.runs.no_space(FileNotFoundError(2, "No such file or directory"))
        False
    """
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
