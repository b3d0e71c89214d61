import contextlib
import io
import json

import keras
import numpy as np
import pytest

import keras_pibnas as kp
from keras_pibnas.cli import train

PAIRS = (("sep_conv_3x3", 0), ("skip_connect", 1))
GENOTYPE = kp.Genotype(PAIRS, (("max_pool_3x3", 0), ("skip_connect", 1)), (2,), (2,))
EPOCHS = 3
TINY = [
    "--side=8",
    "--layers=3",
    "--channels=8",
    f"--epochs={EPOCHS}",
    "--batch-size=32",
    "--learning-rate=0.1",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Directory and output of one small training, with drop path and cutout."""
    directory, out = tmp_path_factory.mktemp("train") / "run", io.StringIO()
    argv = [*TINY, "--genotype", GENOTYPE.to_json(), "--drop-path=0.3", "--cutout=2", "--out", str(directory)]
    with contextlib.redirect_stdout(out):
        assert train.main(argv) == directory
    return directory, out.getvalue()


def test_the_summary_names_every_file_and_each_is_there(run):
    directory, out = run
    for name in train.FILES:
        assert f"{directory / name} " in out[out.index("Test accuracy") :]
        assert (directory / name).stat().st_size > 0
    assert {path.name for path in directory.iterdir()} == set(train.FILES)


def test_the_genotype_is_kept(run):
    assert kp.Genotype.load(run[0] / "genotype.json") == GENOTYPE
    assert json.loads((run[0] / "config.json").read_text())["drop_path"] == 0.3


def test_training_lowers_the_loss(run):
    rows = np.genfromtxt(run[0] / "history.csv", delimiter=",", names=True)
    assert rows["epoch"].tolist() == [1, 2, 3]
    assert rows["loss"][-1] < 0.8 * rows["loss"][0]


def test_the_saved_model_gives_the_recorded_accuracy_without_the_parts_of_training(run):
    model = keras.saving.load_model(run[0] / "model.keras")
    assert not any(isinstance(layer, kp.layers.DropPath) for layer in model.layers)
    result = json.loads((run[0] / "result.json").read_text())
    splits = kp.data.load("digits", 8)
    images, labels = next(iter(splits.batches("test", len(splits.arrays["test"][1]))))
    predicted = model.predict(images, verbose=0).argmax(-1)
    assert np.mean(predicted == labels.numpy()) == pytest.approx(result["test_accuracy"], abs=1e-6)
    assert result["test_accuracy"] > 0.5  # ten classes
    assert result["parameters"] == sum(int(np.prod(weight.shape)) for weight in model.trainable_variables)
    rows = np.genfromtxt(run[0] / "history.csv", delimiter=",", names=True)
    assert rows["val_accuracy"][-1] == pytest.approx(result["test_accuracy"], abs=1e-6)


def test_with_the_auxiliary_head(tmp_path, npz, capsys):
    data = npz(x=np.zeros((24, 32, 32, 3), "uint8"))
    argv = ["--side=32", "--layers=2", "--channels=2", "--epochs=1", "--batch-size=4", "--auxiliary=0.4"]
    directory = train.main(
        [*argv, "--genotype", GENOTYPE.to_json(), "--dataset", str(data), "--out", str(tmp_path / "run")]
    )
    rows = np.genfromtxt(directory / "history.csv", delimiter=",", names=True)
    assert float(rows["loss"]) == pytest.approx(rows["logits_loss"] + 0.4 * rows["auxiliary_loss"], rel=1e-3)
    model = keras.saving.load_model(directory / "model.keras")
    assert model.predict(np.zeros((2, 32, 32, 3)), verbose=0).shape == (2, 2)
    result = json.loads((directory / "result.json").read_text())
    assert 0 <= result["test_accuracy"] <= 1
