"""Spreads, ranks and expectations of a table's accuracies, in NumPy."""

from dataclasses import dataclass
from math import comb

import numpy as np


@dataclass(frozen=True)
class Spread:
    """How far accuracies differ from cell to cell and from seed to seed.

    Attributes: cells: interquartile range of the cells' means; seeds: standard deviation over the seeds of one cell,
    root mean square of all cells; ratio: the one by the other.

    Example:
        >>> kp.tabular.Spread(cells=0.06, seeds=0.02).ratio
        3.0
    """

    cells: float
    seeds: float

    @property
    def ratio(self) -> float:
        return self.cells / self.seeds


def spread(accuracies: np.ndarray) -> Spread:
    """The spread of accuracies (cells, seeds); NaN where a cell was not trained from a seed.

    Example:
        >>> kp.tabular.spread([[0.7, 0.7], [0.8, 0.8], [0.9, np.nan]]).seeds
        0.0
    """
    accuracies = np.asarray(accuracies, "float64")
    low, high = np.percentile(np.nanmean(accuracies, 1), (25, 75))
    count = (~np.isnan(accuracies)).sum(1)
    squares = np.nansum((accuracies - np.nanmean(accuracies, 1, keepdims=True)) ** 2, 1)
    return Spread(float(high - low), float(np.sqrt(squares.sum() / (count - 1).sum())))


def best_of(scores: np.ndarray, draws: int) -> np.ndarray:
    """For each cell, the probability that it has the best score of so many different cells drawn at random.

    Of equal scores each is chosen as often. Args: scores: (cells,); draws: 1 or more.

    Example:
        >>> best_of([0.1, 0.3, 0.2], 2).round(3).tolist()
        [0.0, 0.667, 0.333]
    """
    scores = np.asarray(scores)
    if not 1 <= draws <= len(scores):
        raise ValueError(f"draws should be from 1 to the number of cells, {len(scores)}. Received: draws={draws}")
    values, group, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    upto = np.cumsum(sizes)
    ways = [comb(int(n), draws) - comb(int(n - size), draws) for n, size in zip(upto, sizes, strict=True)]
    return (np.array([way / comb(len(scores), draws) for way in ways]) / sizes)[group]


def expectation(values: np.ndarray, probabilities: np.ndarray) -> tuple[float, float]:
    """(mean, standard deviation) of values under probabilities, both (cells,).

    Example:
        >>> kp.tabular.expectation([1.0, 3.0], [0.5, 0.5])
        (2.0, 1.0)
    """
    mean = float(np.dot(probabilities, values))
    return mean, float(np.sqrt(max(0.0, np.dot(probabilities, (np.asarray(values) - mean) ** 2))))


def kendall_tau(first: np.ndarray, second: np.ndarray) -> float:
    """Kendall's tau-b of two rankings of the same things: 1 where they agree, 0 by chance; NaN for one value alone.

    Kendall, "The treatment of ties in ranking problems", 1945.

    Example:
        >>> round(kendall_tau([1, 2, 3], [1, 3, 2]), 3)
        0.333
    """
    first, second = (np.sign(np.subtract.outer(values, values)) for values in map(np.asarray, (first, second)))
    norm = np.sqrt(float((first**2).sum()) * float((second**2).sum()))
    return float((first * second).sum() / norm) if norm else float("nan")
