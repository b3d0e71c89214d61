"""Random search with weight sharing, arXiv:1902.07638: random genotypes, ranked by the weights that they share."""

from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_pibnas.genotypes import Genotype
from keras_pibnas.methods.cells import CellSpec
from keras_pibnas.methods.discretizations import TopEdges, genotype_of


@dataclass(frozen=True)
class Ranked:
    """A genotype and its metric.

    Attributes: number: of the sample, from 0; genotype; part: the metric on a part of the data; whole: on all of it, or
    None where it was not among the best of the part.

    Example:
        >>> kp.methods.Ranked(0, kp.genotypes.get("PIBCONV"), part=0.5).whole is None
        True
    """

    number: int
    genotype: Genotype
    part: float
    whole: float | None = None


def sample_genotypes(
    cells: Sequence[CellSpec], samples: int, seed: int = 0, keep: int | None = None
) -> Iterator[Genotype]:
    """Random genotypes: on each node `keep` of its edges, each with an op that the mask allows and can be derived.

    Edges are as likely as each other, and so are the ops of an edge; the first n of more samples are those of n.

    Args: cells: a CellSpec for each kind of cell; samples: how many, at least 1; seed; keep: 1, 2, or None for as many
    as the topology keeps.

    Raises:
        ValueError: samples below 1.

    Example:
        >>> cells = [kp.methods.CellSpec(kind, 1, ("none", "skip_connect")) for kind in ("normal", "reduce")]
        >>> [sorted(genotype.normal) for genotype in kp.methods.sample_genotypes(cells, 1)]
        [[('skip_connect', 0), ('skip_connect', 1)]]
    """
    if not isinstance(samples, int) or samples < 1:
        raise ValueError(f"At least one genotype is sampled. Received: samples={samples!r}")
    generator, choose = np.random.default_rng(seed), TopEdges(keep)
    for _ in range(samples):
        yield genotype_of([choose.pairs(_random_scores(cell, generator), cell) for cell in cells], cells)


def _random_scores(cell, generator):
    """(edges, ops): on each edge a random number from (0, 1] at one random op that is allowed."""
    strengths, draws = 1.0 - generator.random(cell.edges), generator.random(cell.shape)
    scores = np.zeros(cell.shape)
    scores[np.arange(cell.edges), np.where(cell.derivable, draws, -1.0).argmax(axis=1)] = strengths
    return np.where(cell.derivable, scores, 0.0)


def rank_genotypes(
    supernet: keras.Model, part: Any, valid: Any, samples: int = 1000, best: int = 10, seed: int = 0,
    monitor: str = "accuracy", mode: str = "max", keep: int | None = None, known: MutableMapping | None = None,
) -> list[Ranked]:  # fmt: skip
    """Samples genotypes, compares them under the shared weights on a part of the data, and the best ones on all of it.

    Normalization uses the statistics of each batch: the moved ones are a mean over all paths. All genotypes share one
    traced function.

    Args:
        supernet: a trained Supernet.
        part: batches (x, y) on which all are compared; published: ten batches.
        valid: batches on which the best are compared again.
        samples: how many are drawn; published: 1000.
        best: how many of them are compared again; published: 10.
        seed: of the samples.
        monitor: the metric, as `evaluate` names it; mode: "max" or "min", whether more of it is better.
        keep: edges of a node, 1, 2, or None for as many as the topology keeps.
        known: metrics that are known already, {"part/0": 0.5, "whole/0": 0.4}, by number of the sample; it gets each
            that is found, so that a mapping which is kept on disk has a call go on with it.

    Returns:
        All, the best first: those that were compared on all data, then the others. Of equal ones the first sample.

    Raises:
        ValueError: samples or best below 1, or an unknown monitor or mode.

    Example:
        >>> import tensorflow as tf
        >>> space = kp.spaces.SearchSpace("two", ("skip_connect", "avg_pool_3x3"))
        >>> supernet = kp.Supernet(space, (4, 4, 1), 2, channels=2, layers=2, nodes=1, method="random_sharing")
        >>> supernet.compile(run_eagerly=True)
        >>> valid = tf.data.Dataset.from_tensors((np.ones((2, 4, 4, 1), "float32"), [0, 1]))
        >>> [ranked.whole is None for ranked in kp.methods.rank_genotypes(supernet, valid, valid, samples=2, best=1)]
        [False, True]
    """
    if not isinstance(best, int) or best < 1:
        raise ValueError(f"At least one genotype is compared again. Received: best={best!r}")
    if mode not in ("max", "min"):
        raise ValueError(f"mode must be 'max' or 'min'. Received: mode={mode!r}")
    known, sign = {} if known is None else known, -1.0 if mode == "max" else 1.0
    relaxed = supernet.relaxed
    cells = [relaxed.method.relaxation.narrow(cell) for cell in relaxed.cells]
    genotypes = list(sample_genotypes(cells, samples, seed, keep))

    def metric(name, number, data):
        key = f"{name}/{number}"
        if key not in known:
            known[key] = _metric(supernet, data, genotypes[number], monitor)
        return known[key]

    first = sorted(range(samples), key=lambda number: sign * metric("part", number, part))
    again = sorted(first[:best], key=lambda number: sign * metric("whole", number, valid))
    return [
        Ranked(number, genotypes[number], known[f"part/{number}"], known.get(f"whole/{number}"))
        for number in [*again, *first[best:]]
    ]


def _metric(supernet, data, genotype, monitor):
    found = supernet.evaluate(data, genotype=genotype, batch_statistics=True, verbose=0, return_dict=True)
    if monitor not in found:
        raise ValueError(f"Unknown monitor. Known: {', '.join(found)}. Received: {monitor!r}")
    return float(found[monitor])
