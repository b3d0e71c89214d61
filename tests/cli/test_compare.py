import json

import keras
import numpy as np
import pytest

import keras_pibnas as kp
from keras_pibnas.cli import compare


def search_file(directory, name, seed, cells, ranked=(0, 1, 2), scores=(0.1, 0.2, 0.3)):
    path = compare.file_of(directory, name, seed)
    path.parent.mkdir(exist_ok=True)
    row = {"name": name, "seed": seed, "cell": cells[-1], "cells": cells, "seconds": 2.0}
    path.write_text(json.dumps(row | {"ranked": list(ranked), "scores": list(scores)}))


def test_figures_are_those_of_the_cells_found(small_table, tmp_path):
    table = kp.tabular.load(small_table)
    search_file(tmp_path, "darts, order 1", 0, [3, 41])
    search_file(tmp_path, "darts, order 1", 1, [39], scores=(0.3, 0.2, 0.1))
    found = compare.results(table, tmp_path)
    row = compare.figures("darts, order 1", found["darts, order 1"])
    # A cell's mean test accuracy is (20 i + 5) / 1669; the best cell is number 41.
    assert row["test (%)"] == f"{100 * 805 / 1669:.2f}" and row["best"] == f"{100 * 825 / 1669:.2f}"
    assert row["sd"] == f"{100 * 20 * 2**0.5 / 1669:.2f}"
    assert row["percentile"] == f"{100 * 40 / 42:.1f}" and row["regret"] == f"{100 * 20 / 1669:.2f}"
    assert row["tau"] == "0.00"  # the mean of 1 and -1
    found_ops = [op for cell in (41, 39) for op, _ in table.space.cells[cell]]
    assert found_ops.count("sep_conv_3x3") == 7 and row["most found"] == "sep_conv_3x3 88%"
    assert row["skips"] == "0.5"
    regrets = compare.regrets(table, found)["darts, order 1"]
    np.testing.assert_allclose(regrets, np.array([[760, 0], [40, 40]]) / 1669)


def test_what_is_done_is_not_done_again(small_table, tmp_path, capsys, monkeypatch):
    directory = tmp_path / "compared"
    first = ["--methods", "darts", "random", "--seeds", "0..1", f"--table={small_table}", f"--out={directory}"]
    asked = []

    def search(name, searcher, todo, stops, directory):
        asked.append((name, todo))
        for seed in todo:
            search_file(directory, name, seed, [seed, 39 + seed])

    monkeypatch.setattr(compare, "search", search)
    compare.main(first)
    assert asked == [("darts, order 1", [0, 1])]
    compare.main([f"--resume={directory}", "--seeds", "1..2", "--orders", "1", "2", "--hvp", "finite_difference"])
    assert asked[1:] == [("darts, order 1", [2]), ("darts, order 2, finite difference", [1, 2])]
    resumed = [f"--resume={directory}", "--seeds", "1"]
    compare.main([*resumed, "--none", "--skip-limit=2"])
    name = "darts, order 1, skip limit 2, with none"
    assert asked.pop(-2) == (name, [1]) and asked.pop()[0].endswith("difference, skip limit 2, with none")
    compare.file_of(directory, name, 1).unlink()
    compare.main([f"--resume={directory}"])  # goes on with the same
    assert asked.pop() == (name, [1])
    for path in directory.glob("searches/*with-none*"):
        path.unlink()
    compare.main([*resumed, "--orders", "1"])  # what is named anew is as it is by default
    assert len(asked) == 3
    out = capsys.readouterr().out
    for name in compare.FILES:
        assert f"{directory / name} " in out and (directory / name).exists()
    rows = (directory / "results.csv").read_text().splitlines()
    assert [row.split(",")[0].strip('"') for row in rows[1:]] == [
        "a random cell (exact)", "best of 4 by validation (exact)", "darts", "darts",
    ]  # fmt: skip


def test_methods_orders_and_products():
    def asked(*words):
        return list(compare.runs(compare.build_parser().parse_args(words)))

    assert asked("--methods", "darts", "random_sharing", "snas", "--orders", "1", "2", "--skip-limit=2") == [
        (method, order, "exact", 2, False)
        for method, order in (("darts", 1), ("darts", 2), ("random_sharing", 1), ("snas", 1))
    ]
    hvp = ["--hvp", "exact", "finite_difference"]
    assert asked("--methods", "darts", "--orders", "2", "--eigenvalue-stop", *hvp) == [
        ("darts", 2, way, None, True) for way in ("exact", "finite_difference")
    ]


def test_labels_are_files():
    assert compare.label("darts", 2, "finite_difference", 2, True, True) == (
        "darts, order 2, finite difference, skip limit 2, eigenvalue stop, with none"
    )
    assert compare.file_of("d", "darts, order 1", 3).name == "darts-order-1-seed3.json"


@pytest.mark.parametrize(
    "argv, message",
    [
        (["--methods", "annealing"], "Unknown method 'annealing'"),
        (["--methods", "p_darts"], "a supernet for each"),
        (["--seeds", "5-6"], "invalid seeds value"),
        (["--resume", "nowhere"], "Not the directory of a comparison"),
    ],
)
def test_wrong_words(fails, argv, message, small_table):
    assert message in fails(compare.main, [f"--table={small_table}", *argv])


@pytest.mark.slow
def test_a_search_is_looked_up(small_table, tmp_path, capsys):
    words = ["--methods", "darts", "--seeds", "0", "--epochs=1", "--batch-size=32", "--ranked=2", "--skip-limit=1"]
    directory = compare.main([*words, f"--table={small_table}", f"--out={tmp_path / 'compared'}"])
    name = "darts, order 1, skip limit 1"
    row = json.loads(compare.file_of(directory, name, 0).read_text())
    entry = kp.tabular.load(small_table).entry(row["cell"])
    assert row["genotype"] == [list(pair) for pair in entry.genotype.normal]
    told = f"{name}, seed 0: {entry.test:.2%}, better than {entry.percentile:.1f} % of all cells"
    assert told in capsys.readouterr().out


@pytest.mark.slow
def test_a_stopped_search_finds_what_it_went_back_to(small_table, monkeypatch):
    """Here eigenvalues double: the search ends in the second epoch with the alphas of the first."""
    table = kp.tabular.load(small_table)
    searcher = compare.Searcher(table, "darts", settings=compare.SearchSettings(epochs=3, batch_size=32, ranked=0))
    _, stop = compare.stopping(searcher, None, True)

    class Grown(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs):
            for alpha in self.model.alphas:  # another cell each epoch
                alpha.assign(np.random.default_rng(epoch).normal(size=alpha.shape))
            logs["eigenvalue"] = [1.0, 2.0, 4.0][epoch]

    stop.rule = {"window": 1, "back": 1, "factor": 1.3, "first": 0}
    found = searcher.search(0, [Grown(), stop])
    kept = searcher.supernet.genotype()
    assert stop.reached is not None and table.space.index(kept) == found["cell"] == found["cells"][-1]
    assert len(found["cells"]) == 3  # that of either epoch, and the one gone back to
