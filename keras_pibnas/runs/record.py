"""The records of a run, epoch by epoch.

Recording epoch e replaces whatever stands there for e and later epochs, so a run that went back to an earlier
epoch and on from there leaves the files of one undisturbed run.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_pibnas.genotypes import Genotype

from . import files


def record_history(directory: str | Path, epoch: int, logs: Mapping[str, Any]) -> None:
    """Puts a row into `history.csv`: the epoch (from 1) and `logs`, a dictionary of numbers.

    Example:
        >>> kp.runs.record_history(".", 1, {"loss": 2.0, "accuracy": 0.5})
    """
    path = Path(directory) / "history.csv"
    rows = [row for row in files.read_table(path) if int(row["epoch"]) < epoch]
    files.write_table(path, [*rows, {"epoch": epoch, **_numbers(logs)}])


def record_genotype(
    directory: str | Path, epoch: int, genotype: Genotype, logs: Mapping[str, Any] | None = None
) -> None:
    """Writes `genotype.json` and puts a line into `genotypes.jsonl`: epoch (from 1), genotype, and `logs`.

    Example:
        >>> kp.runs.record_genotype(".", 1, kp.genotypes.get("DARTS_V2"))
    """
    directory = Path(directory)
    path = directory / "genotypes.jsonl"
    rows = [row for row in files.read_lines(path) if row["epoch"] < epoch]
    row = {"epoch": epoch, "genotype": json.loads(genotype.to_json()), **_numbers(logs)}
    files.write_lines(path, [*rows, row])
    genotype.save(directory / "genotype.json")


def record_alphas(directory: str | Path, epoch: int, supernet: Any) -> None:
    """Puts the supernet's alphas into `alphas.npz` as row `epoch` (0: before training).

    Its arrays: `normal` and, where there are such cells, `reduce`, float32 of shape (epochs + 1, edges, ops), before
    the softmax, -1e30 where an edge does not allow the op; `primitives`, the op names of the last axis.

    Example:
        >>> space = kp.spaces.SearchSpace("two", ("none", "skip_connect"))
        >>> kp.runs.record_alphas(".", 0, kp.Supernet(space, (8, 8, 1), 2, channels=2, layers=2, nodes=1))
        >>> np.load("alphas.npz")["normal"].shape
        (1, 2, 2)
    """
    path = Path(directory) / "alphas.npz"
    alphas = {kind: alpha[None] for kind, alpha in supernet.allowed_alphas().items()}
    if epoch:
        with np.load(path) as before:
            alphas = {kind: np.concatenate([before[kind][:epoch], alpha]) for kind, alpha in alphas.items()}
    files.write_arrays(path, **alphas, primitives=np.array(supernet.space.primitives))


def _numbers(logs):
    return {name: float(keras.ops.convert_to_numpy(value)) for name, value in (logs or {}).items()}
