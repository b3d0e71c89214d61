import json
import re

import keras
import numpy as np
import pytest

import keras_pibnas as kp
from keras_pibnas.cli import export

PAIRS = (("sep_conv_3x3", 0), ("skip_connect", 1))
GENOTYPE = kp.Genotype(PAIRS, (("max_pool_3x3", 0), ("skip_connect", 1)), (2,), (2,))


@pytest.fixture
def run(tmp_path, npz):
    """A run directory as train leaves it, of an untrained network for the small data set."""
    images = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 1), "uint8")
    directory = tmp_path / "run"
    directory.mkdir()
    model = kp.build_network(GENOTYPE, (8, 8, 1), 2, 2, 2, drop_path=0.2)
    model.normalization = ((0.5,), (0.25,))
    model.save(directory / "model.keras")
    (directory / "config.json").write_text(json.dumps({"dataset": str(npz(x=images)), "data_dir": None}))
    return directory


def test_an_export_of_a_run(run, tmp_path, capfd):
    directory = export.main(
        [str(run), "--format", "litert", "litert_int8", "--repeats=3", "--out", str(tmp_path / "out")]
    )
    captured = capfd.readouterr()
    found = json.loads((directory / "export.json").read_text())
    rows = {row["format"]: row for row in found["exports"]}
    assert list(rows) == ["keras", "litert", "litert_int8"] and found["threads"] == 1
    assert rows["litert"]["max_difference"] < 1e-4
    labels = np.load(json.loads((run / "config.json").read_text())["dataset"])["y"]
    assert len(labels) == 24 and rows["litert"]["images"] == 5  # a fifth of them, rounded up
    for row in rows.values():
        assert re.search(rf"^{re.escape(row['file'])} .*{row['accuracy']:.2%}", captured.out, re.MULTILINE)
        assert (directory / row["file"]).stat().st_size == row["bytes"]
    assert not any(isinstance(layer, kp.layers.DropPath) for layer in
                   keras.saving.load_model(directory / "model.keras").layers)  # fmt: skip
    assert captured.err == ""


def test_nothing_is_left_of_an_export_that_failed(run, tmp_path, fails, monkeypatch):
    """Not even the files that were written before."""

    def fail(*_, **__):
        assert (tmp_path / "out" / "model.keras").exists()
        raise ValueError("it cannot be written")

    monkeypatch.setattr(kp.interop, "export", fail)
    argv = [run, "--format", "litert", "--repeats=1", "--out", tmp_path / "out"]
    assert "it cannot be written" in fails(export.main, argv)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "argv, words",
    [
        (["nonsense"], "Not a run directory.*nonsense"),
        (["RUN", "--format", "tflite"], "--format: invalid choice: 'tflite'.*litert_int8"),
        (["RUN", "--dataset", "digits"], r"takes images \(8, 8, 1\) of 2 classes.*digits.*of 10 classes"),
        (["RUN", "--images=0"], "--images: invalid whole number"),
    ],
)
def test_wrong_values(argv, words, fails, run, tmp_path):
    argv = [str(run) if word == "RUN" else word for word in argv]
    assert re.search(words, fails(export.main, [*argv, "--out", str(tmp_path / "out")]))
    assert not (tmp_path / "out").exists()


def test_a_model_of_another_kind(fails, tmp_path):
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save(tmp_path / "other.keras")
    assert "but a Sequential" in fails(export.main, [tmp_path / "other.keras"])
