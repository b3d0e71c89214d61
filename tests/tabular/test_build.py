"""The builder of tables: what is done, what is left, what is written."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict

import numpy as np
import pytest

from benchmarks.tabular import build
from benchmarks.tabular.__main__ import add_settings, main, settings_of
from keras_pibnas import tabular
from keras_pibnas.tabular import CellSpace, Settings

SETTINGS = Settings(side=8, layers=3, channels=4, train_images=64, valid_images=64, batch_size=32, epochs=1)
SPACE = CellSpace(("skip_connect",))  # 3 cells


def test_tasks_are_all_cells_by_seed_and_every_fifth_from_more():
    assert build.tasks(6, 2, 1) == [(c, 0) for c in range(6)] + [(c, 1) for c in range(6)] + [(0, 2), (5, 2)]


def write_shard(directory, name, rows, tail=""):
    text = "".join(json.dumps({"loss": 0.5, "seconds": 1.5, **row}) + "\n" for row in rows)
    (directory / f"shard_{name}.jsonl").write_text(text + tail)


def test_what_is_done_is_not_left_and_half_a_line_is(tmp_path):
    build.begin(tmp_path, SETTINGS, SPACE, 2, 1)
    assert len(build.left(tmp_path)) == 3 * 2 + 1
    write_shard(tmp_path, "a", [{"cell": 0, "seed": 0, "valid": 5, "test": 6}], '{"cell": 1, "se')
    write_shard(tmp_path, "b", [{"cell": 2, "seed": 1, "valid": 7, "test": 8}])
    assert build.left(tmp_path) == [(1, 0), (2, 0), (0, 1), (1, 1), (0, 2)]
    with pytest.raises(ValueError, match="5 trainings are not done yet"):
        build.finish(tmp_path, tmp_path / "table.npz")


def test_another_table_is_refused(tmp_path):
    build.begin(tmp_path, SETTINGS, SPACE, 2, 1)
    build.begin(tmp_path, SETTINGS, SPACE, 2, 1)
    with pytest.raises(ValueError, match="a table of other primitives, seeds: take another --out"):
        build.begin(tmp_path, SETTINGS, CellSpace(("avg_pool_3x3",)), 3, 1)


def test_what_was_trained_stands_in_the_table(tmp_path):
    build.begin(tmp_path, SETTINGS, SPACE, 1, 1)
    rows = [{"cell": cell, "seed": 0, "valid": 10 + cell, "test": 100 + cell} for cell in range(3)]
    write_shard(tmp_path, "a", [*rows, {"cell": 0, "seed": 1, "valid": 12, "test": 102}])
    table = tabular.load(build.finish(tmp_path, tmp_path / "table.npz"))
    assert (table.settings, table.space) == (SETTINGS, SPACE)
    np.testing.assert_allclose(table.test, np.array([[100, 102], [101, np.nan], [102, np.nan]]) / 1669)
    np.testing.assert_allclose(table.valid[:, 0], np.array([10, 11, 12]) / 64)
    assert table.about["seconds"] == 6 and table.about["versions"]["keras_pibnas"]
    assert len(set(table.macs)) == 1  # three cells of four skip connections


def test_trainings_are_taken_from_a_table_of_fewer_ops(tmp_path):
    """Cells keep what is known of them under their new numbers; of another processor or training nothing is taken."""
    about = {
        "settings": asdict(SETTINGS), "primitives": SPACE.primitives, "reduce": [list(p) for p in SPACE.reduce],
        "seconds": 8, "images": {"train": 64, "valid": 64, "test": 1669},
        "processor": build.processor(), "versions": build.versions(),
    }  # fmt: skip
    right = np.array([[10, 13], [11, -1], [12, 14]])

    def known(**changes):
        text = np.array(json.dumps(about | changes))
        return tabular.Table({"valid": right, "test": right, "params": right[:, 0], "macs": right[:, 0], "about": text})

    space = CellSpace(("noise", "skip_connect"))
    build.begin(tmp_path, SETTINGS, space, 2, 0)
    for changes in ({"processor": "another"}, {"settings": asdict(SETTINGS) | {"epochs": 2}}):
        with pytest.raises(ValueError, match=f"has other {next(iter(changes))} than"):
            build.take(tmp_path, known(**changes))
    assert not build.lines(tmp_path)
    assert build.take(tmp_path, known()) == 5
    numbers = [space.index(SPACE.genotype(cell)) for cell in range(3)]
    rows = zip([0, 0, 1, 2, 2], [0, 1, 0, 0, 1], [10, 13, 11, 12, 14], strict=True)
    wanted = {(numbers[cell], seed): count for cell, seed, count in rows}
    assert {task: (line["valid"], line["test"]) for task, line in build.lines(tmp_path).items()} == {
        task: (count, count) for task, count in wanted.items()
    }
    assert all(line["seconds"] == 1.6 for line in build.lines(tmp_path).values())
    assert len(build.left(tmp_path)) == 2 * len(space) - 5


def test_images_of_other_proportions(tmp_path, capsys):
    """Other data are one flag; what is wrong with them is said before any worker begins."""
    labels = np.arange(60) % 3
    np.savez(tmp_path / "data.npz", x=np.full((60, 12, 8), 255, "uint8"), y=labels)
    words = [f"--dataset={tmp_path / 'data.npz'}", "--side=8", "--train-images=20", "--valid-images=10"]
    with pytest.raises(SystemExit, match="2"):
        main(["build", *words, "--batch-size=10", f"--out={tmp_path / 'table'}"])
    assert "other proportions need resize='crop'" in capsys.readouterr().err
    assert not (tmp_path / "table").exists()
    parser = argparse.ArgumentParser()
    add_settings(parser)
    settings, _ = settings_of(parser.parse_args([*words, "--batch-size=10", "--resize=pad"]))
    splits = settings.splits()
    assert {name: len(y) for name, (_, y) in splits.arrays.items()} == {"train": 20, "valid": 10, "test": 30}
    assert not splits.arrays["train"][0][:, :, 0].any()  # 12x8 into 8x8: columns of zeros at both sides


@pytest.mark.slow
def test_a_killed_build_goes_on(tmp_path):
    words = [sys.executable, "-m", "benchmarks.tabular", "build", f"--out={tmp_path}", "--ops=skip_connect"]
    words += ["--side=8", "--layers=3", "--channels=4", "--train-images=64", "--valid-images=64", "--batch-size=32"]
    words += ["--epochs=1", "--seeds=1", "--more-seeds=1", "--jobs=1"]
    first = subprocess.Popen(words, start_new_session=True)
    deadline = time.monotonic() + 300
    while not build.lines(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGTERM)
    first.wait()
    before = build.lines(tmp_path)
    assert before
    subprocess.run(words, check=True, timeout=300)
    table = tabular.load(tmp_path / "table.npz")
    assert int((table.test >= 0).sum()) == 4 and table.test[:, 0].min() > 0
    assert before.items() <= build.lines(tmp_path).items()
