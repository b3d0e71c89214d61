"""A table: what is known of each cell of a space, after all of them were trained."""

import io
import json
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path

import numpy as np

from keras_pibnas.genotypes import Genotype
from keras_pibnas.runs import atomic_write
from keras_pibnas.tabular.cells import CellSpace
from keras_pibnas.tabular.settings import Settings
from keras_pibnas.tabular.statistics import Spread, best_of, expectation, spread


@dataclass(frozen=True)
class Entry:
    """What a table knows of a cell.

    Attributes:
        index: number of the cell in the space.
        genotype: in the form in which the table has it.
        valid, test: mean accuracies, 0 to 1, over the seeds that it was trained from.
        valid_seeds, test_seeds: accuracy of each.
        params, macs: trainable parameters, and MACs of an image.
        rank: by mean test accuracy, from 1 for the best; equal cells share the better rank.
        percentile: share of all cells, in percent, with a lower mean test accuracy.
        regret: by how much the best cell's mean test accuracy is higher.

    Example:
        >>> genotype = kp.tabular.CellSpace().genotype(0)
        >>> kp.tabular.Entry(0, genotype, 0.8, 0.9, (0.8,), (0.9,), 2000, 50000, 1, 99.0, 0.0).rank
        1
    """

    index: int
    genotype: Genotype
    valid: float
    test: float
    valid_seeds: tuple
    test_seeds: tuple
    params: int
    macs: int
    rank: int
    percentile: float
    regret: float


class Table:
    """All cells of a space, with their accuracies.

    Args:
        arrays: "valid" and "test", numbers of images classified right, (cells, seeds), -1 where a cell was not trained
            from a seed; "params" and "macs", (cells,); "about", JSON text: settings, primitives, reduce, images, ....

    Attributes:
        settings: how all networks were trained.
        space: a CellSpace.
        about: {"settings", "images": {split: number}, "seconds": of all trainings, "processor", "versions", ...}.
        valid, test: accuracies (cells, seeds), NaN where a cell was not trained from a seed.
        params, macs: (cells,).

    Example:
        >>> space = kp.tabular.CellSpace(("skip_connect",))  # three cells
        >>> about = {"settings": {}, "primitives": space.primitives, "reduce": space.reduce, "seconds": 3,
        ...          "images": {"train": 50, "valid": 10, "test": 100}}
        >>> right = np.array([[80], [90], [70]])
        >>> costs = {"params": np.ones(3), "macs": np.ones(3)}
        >>> table = kp.tabular.Table({"valid": right // 10, "test": right, "about": json.dumps(about), **costs})
        >>> table.query(space.genotype(0)).rank, table.ranking().tolist()
        (2, [1, 0, 2])
    """

    def __init__(self, arrays: dict):
        self.about = json.loads(str(arrays["about"]))
        self.settings = Settings(**self.about["settings"])
        self.space = CellSpace(self.about["primitives"], self.about["reduce"])
        self.valid, self.test = (
            np.where(arrays[split] < 0, np.nan, arrays[split] / self.about["images"][split])
            for split in ("valid", "test")
        )
        self.params, self.macs = arrays["params"], arrays["macs"]
        for name in ("valid", "test", "params", "macs"):
            if len(getattr(self, name)) != len(self.space):
                raise ValueError(
                    f"The space has {len(self.space)} cells. Received: {name} of {len(getattr(self, name))}"
                )

    def __len__(self):
        return len(self.space)

    @cached_property
    def mean_valid(self) -> np.ndarray:
        """Mean validation accuracy of each cell, (cells,)."""
        return np.nanmean(self.valid, 1)

    @cached_property
    def mean_test(self) -> np.ndarray:
        """Mean test accuracy of each cell, (cells,)."""
        return np.nanmean(self.test, 1)

    def query(self, genotype: Genotype) -> Entry:
        """What is known of a genotype's cell; isomorphic genotypes are one cell.

        Raises:
            ValueError: the genotype is none of this space; the message says why.
        """
        return self.entry(self.space.index(genotype))

    def entry(self, index: int) -> Entry:
        """What is known of a cell, by its number."""
        test = float(self.mean_test[index])
        seeds = [tuple(float(value) for value in row[index] if value >= 0) for row in (self.valid, self.test)]
        return Entry(
            index, self.space.genotype(index), float(self.mean_valid[index]), test, *seeds,
            int(self.params[index]), int(self.macs[index]), 1 + int((self.mean_test > test).sum()),
            100 * float((self.mean_test < test).mean()), float(self.mean_test.max()) - test,
        )  # fmt: skip

    def ranking(self) -> np.ndarray:
        """The numbers of all cells, best mean test accuracy first."""
        return np.argsort(-self.mean_test, kind="stable")

    def spread(self) -> Spread:
        """How far test accuracies differ from cell to cell, and over the seeds of one cell."""
        return spread(self.test)

    def random_choice(self, draws: int = 1) -> dict:
        """What one gets, exactly, who draws so many different cells and keeps the one of the best validation accuracy.

        Every cell is as likely. A cell's validation accuracy is that of one training; the expectation is the mean over
        the seeds from which all cells were trained.

        Returns:
            {"test": (mean, standard deviation), "percentile": the same, "regret": the same}.
        """
        whole = [seed for seed in range(self.valid.shape[1]) if not np.isnan(self.valid[:, seed]).any()]
        chances = np.mean([best_of(self.valid[:, seed], draws) for seed in whole], 0)
        percentiles = 100 * (self.mean_test[:, None] > self.mean_test).mean(1)
        values = {
            "test": self.mean_test, "percentile": percentiles, "regret": self.mean_test.max() - self.mean_test,
        }  # fmt: skip
        return {name: expectation(value, chances) for name, value in values.items()}


def names() -> tuple:
    """Names of the tables that are shipped.

    Example:
        >>> kp.tabular.names()
        ('digits', 'digits_without_noise')
    """
    return tuple(sorted(file.name.removesuffix(".npz") for file in _shipped().iterdir() if file.name.endswith(".npz")))


def _shipped():
    return resources.files("keras_pibnas").joinpath("tabular")


def load(name: str | Path) -> Table:
    """The table that is shipped under a name, or the one in a file that `python -m benchmarks.tabular build` wrote.

    Raises:
        ValueError: no such name or file, or a file that is no table.

    Example:
        >>> table = kp.tabular.load("digits")
        >>> len(table), table.query(table.space.genotype(0)).params
        (1225, 3870)
    """
    if str(name) in names():
        content = _shipped().joinpath(f"{name}.npz").read_bytes()
    elif Path(name).is_file():
        content = Path(name).read_bytes()
    else:
        raise ValueError(f"Unknown table. Known: {', '.join(names())}, or a file. Received: {str(name)!r}")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return Table({key: file[key] for key in ("valid", "test", "params", "macs", "about")})
    except (OSError, KeyError, EOFError, ValueError) as error:
        raise ValueError(f"{name} is no table of cells: {error}") from None


def write(path: str | Path, arrays: dict) -> Path:
    """Writes the arrays of a Table, compressed; returns the path. Raises ValueError: they are none.

    Example:
        >>> about = {"settings": {}, "primitives": ["skip_connect"], "reduce": kp.tabular.CellSpace().reduce,
        ...          "images": {"train": 50, "valid": 10, "test": 100}}
        >>> right = np.array([[8], [9], [7]])  # of three cells
        >>> costs = {"params": np.ones(3), "macs": np.ones(3)}
        >>> arrays = {"valid": right, "test": right, "about": np.array(json.dumps(about)), **costs}
        >>> len(kp.tabular.load(kp.tabular.write("table.npz", arrays)))
        3
    """
    Table(arrays)
    small = {key: array.astype("int16") if key in ("valid", "test") and array.max() < 2**15 else array
             for key, array in arrays.items()}  # fmt: skip
    content = io.BytesIO()
    np.savez_compressed(content, **small)
    atomic_write(path, content.getvalue())
    return Path(path)
