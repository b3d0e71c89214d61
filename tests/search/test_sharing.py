"""Random genotypes, and their ranking by shared weights."""

import numpy as np
import pytest
import tensorflow as tf

import keras_pibnas as kp

PRIMITIVES = ("none", "skip_connect", "avg_pool_3x3")
CELLS = [kp.methods.CellSpec(kind, 2, PRIMITIVES) for kind in ("normal", "reduce")]


def test_samples_are_uniform_over_edges_and_ops():
    """Node 0 has two edges of two ops: 4 ways; node 1 two of three edges: 3 * 4 ways; all 48 as likely."""
    counts = {}
    for genotype in kp.methods.sample_genotypes(CELLS, 4800, seed=1):
        pairs = genotype.normal
        key = frozenset(pairs[:2]), frozenset(pairs[2:])
        counts[key] = counts.get(key, 0) + 1
        assert len(key[0]) == len(key[1]) == 2 and not {"none"} & {op for op, _ in pairs}
    assert len(counts) == 48
    # Binomial(4800, 1/48) has the mean 100 and a standard deviation below 10.
    assert min(counts.values()) > 60 and max(counts.values()) < 140


def test_samples_keep_to_a_mask_and_to_the_seed():
    mask = [[1, 1, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0]]
    cells = [cell.masked(mask) for cell in CELLS]
    for genotype in kp.methods.sample_genotypes(cells, 5):
        assert genotype.normal[:2] == (("skip_connect", 0), ("none", 1))
        assert set(genotype.normal[2:]) == {("avg_pool_3x3", 0), ("skip_connect", 1)}
    one, other = (list(kp.methods.sample_genotypes(CELLS, count, seed=5)) for count in (3, 6))
    assert one == other[:3] and len(set(map(str, other))) > 3


def test_samples_keep_what_the_topology_keeps():
    """NAS-Bench-201 keeps all 1 + 2 + 3 edges, and `none` is an op of theirs; keep=1 takes one of each node."""
    cells = kp.methods.cells_of(kp.spaces.get("nas_bench_201"))
    found = list(kp.methods.sample_genotypes(cells, 20))
    assert {len(genotype.normal) for genotype in found} == {6}
    assert {op for genotype in found for op, _ in genotype.normal} == {*cells[0].primitives}
    (one,) = kp.methods.sample_genotypes(CELLS, 1, keep=1)
    assert sum(op != "none" for op, _ in one.normal) == 2


class Shared:
    """In place of a supernet: the accuracy on a part, and on all, of each genotype in the order of the samples."""

    def __init__(self, part, whole):
        self.metrics, self.seen = {"part": part, "whole": whole}, []
        self.order = {str(g): i for i, g in enumerate(kp.methods.sample_genotypes(CELLS, len(part), seed=7))}
        method = kp.methods.get("random_sharing")
        self.relaxed = type("Relaxed", (), {"method": method, "cells": CELLS})

    def evaluate(self, data, genotype, batch_statistics, **kwargs):
        assert batch_statistics
        number = self.order[str(genotype)]
        self.seen.append((data, number))
        return {"accuracy": self.metrics[data][number], "loss": -self.metrics[data][number]}


@pytest.mark.parametrize(("monitor", "mode"), (("accuracy", "max"), ("loss", "min")))
def test_the_best_on_a_part_are_compared_on_all(monitor, mode):
    """Samples 4, 1, 3 are the best of the part (1 before 3, which is as good); on all of the data 3 is the best."""
    shared = Shared([0.1, 0.5, 0.2, 0.5, 0.9], [9, 0.3, 9, 0.8, 0.3])
    known = {"part/2": 0.2 if mode == "max" else -0.2}
    options = {"samples": 5, "best": 3, "seed": 7, "monitor": monitor, "mode": mode, "known": known}
    ranked = kp.methods.rank_genotypes(shared, "part", "whole", **options)
    assert [each.number for each in ranked] == [3, 4, 1, 2, 0]
    assert [each.whole is None for each in ranked] == [False, False, False, True, True]
    assert shared.seen == [*(("part", n) for n in (0, 1, 3, 4)), *(("whole", n) for n in (4, 1, 3))]  # 2 was known
    assert known.keys() == {*(f"part/{n}" for n in range(5)), "whole/1", "whole/3", "whole/4"}
    shared.seen.clear()
    assert kp.methods.rank_genotypes(shared, "part", "whole", **options) == ranked and not shared.seen


@pytest.mark.parametrize(
    ("wrong", "words"),
    (
        ({"samples": 0}, "At least one genotype is sampled. Received: samples=0"),
        ({"best": 0}, "Received: best=0"),
        ({"mode": "most"}, "'max' or 'min'. Received: mode='most'"),
        ({"monitor": "f1"}, "Unknown monitor. Known: accuracy, loss. Received: 'f1'"),
    ),
)
def test_wrong_values(wrong, words):
    with pytest.raises(ValueError, match=words):
        kp.methods.rank_genotypes(Shared([0.0], [0.0]), "part", "whole", **{"samples": 1, "seed": 7} | wrong)


def test_all_genotypes_share_one_trace():
    space = kp.spaces.SearchSpace("shared", PRIMITIVES)
    model = kp.Supernet(space, (4, 4, 1), 2, 2, layers=2, nodes=2, seed=0, order=1, method="random_sharing")
    model.compile()
    traced, call = [], model.network.call
    model.network.call = lambda *args, **kwargs: (traced.append(1), call(*args, **kwargs))[1]
    x = np.random.default_rng(0).normal(size=(16, 4, 4, 1)).astype("float32")
    valid = tf.data.Dataset.from_tensor_slices((x, np.arange(16) % 2)).batch(8)
    ranked = kp.methods.rank_genotypes(model, valid.take(1), valid, samples=6, best=2)
    assert len(traced) == 1 and len({str(each.genotype) for each in ranked}) > 3
    best = ranked[0]
    assert best.whole == model.evaluate(valid, genotype=best.genotype, batch_statistics=True, verbose=0)[1]
