from types import SimpleNamespace

import keras
import numpy as np
import pytest

import keras_pibnas as kp
from keras_pibnas import callbacks, runs

PAIRS = (("max_pool_3x3", 0), ("skip_connect", 1))


def supernet_with(value):
    """What the recorder reads of a supernet of one node and three ops, every alpha at `value`."""
    return SimpleNamespace(
        allowed_alphas=lambda: {
            "normal": np.full((2, 3), value, "float32"),
            "reduce": np.full((2, 3), -value, "float32"),
        },
        space=SimpleNamespace(primitives=("none", "max_pool_3x3", "skip_connect")),
    )


def test_alphas_of_every_epoch_from_the_initial_ones_on(tmp_path):
    for epoch in range(3):
        runs.record_alphas(tmp_path, epoch, supernet_with(epoch))
    with np.load(tmp_path / "alphas.npz") as arrays:
        assert arrays["normal"].shape == arrays["reduce"].shape == (3, 2, 3)
        assert arrays["normal"].dtype == np.float32
        assert arrays["normal"][:, 1, 2].tolist() == [0, 1, 2]
        assert arrays["reduce"][:, 0, 0].tolist() == [0, -1, -2]
        assert arrays["primitives"].tolist() == ["none", "max_pool_3x3", "skip_connect"]


def test_recording_an_epoch_again_replaces_it_and_the_later_ones(tmp_path):
    genotype = kp.Genotype(normal=PAIRS, reduce=PAIRS, normal_concat=(2,), reduce_concat=(2,))
    for epoch, value in [(0, 0), (1, 1), (2, 2), (3, 3), (2, 7)]:
        runs.record_alphas(tmp_path, epoch, supernet_with(value))
        if epoch:
            runs.record_genotype(tmp_path, epoch, genotype, {"loss": value})
            runs.record_history(tmp_path, epoch, {"loss": value})
    with np.load(tmp_path / "alphas.npz") as arrays:
        assert arrays["normal"][:, 0, 0].tolist() == [0, 1, 7]
    assert [(row["epoch"], row["loss"]) for row in runs.read_lines(tmp_path / "genotypes.jsonl")] == [
        (1, 1),
        (2, 7),
    ]
    assert (tmp_path / "history.csv").read_text() == "epoch,loss\n1,1.0\n2,7.0\n"


def test_genotype_file_and_line_hold_the_genotype(tmp_path):
    genotype = kp.Genotype(normal=PAIRS, reduce=PAIRS[::-1], normal_concat=(2,), reduce_concat=(2,))
    runs.record_genotype(tmp_path, 1, genotype)
    assert kp.Genotype.load(tmp_path / "genotype.json") == genotype
    (line,) = runs.read_lines(tmp_path / "genotypes.jsonl")
    assert line == {
        "epoch": 1,
        "genotype": {
            "normal": [["max_pool_3x3", 0], ["skip_connect", 1]],
            "normal_concat": [2],
            "reduce": [["skip_connect", 1], ["max_pool_3x3", 0]],
            "reduce_concat": [2],
        },
    }


def test_history_of_an_ordinary_fit(tmp_path):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(keras.optimizers.schedules.PolynomialDecay(0.1, 4, 0.0)), "mse")
    x = np.ones((4, 1), "float32")
    history = model.fit(x, x, batch_size=2, epochs=2, verbose=0, callbacks=[callbacks.HistoryRecorder(tmp_path)])
    rows = runs.read_table(tmp_path / "history.csv")
    assert [row["epoch"] for row in rows] == ["1", "2"]
    # Two steps an epoch on a line from 0.1 to 0 over four steps.
    assert [float(row["learning_rate"]) for row in rows] == pytest.approx([0.05, 0.0])
    assert [float(row["loss"]) for row in rows] == pytest.approx(history.history["loss"])
