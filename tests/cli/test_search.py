import contextlib
import io
import json

import keras
import numpy as np
import pytest

import keras_pibnas as kp
from keras_pibnas.cli import search

EPOCHS = 4
TINY = ["--space=darts", "--side=8", "--layers=3", "--channels=4", "--nodes=1", "--order=1"]
TINY += [f"--epochs={EPOCHS}", "--learning-rate=0.1", "--alpha-learning-rate=0.003"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Directory and output of one small search."""
    directory, out = tmp_path_factory.mktemp("search") / "run", io.StringIO()
    with contextlib.redirect_stdout(out):
        assert search.main([*TINY, "--out", str(directory)]) == directory
    return directory, out.getvalue()


def test_the_summary_names_every_file_and_each_is_there(run):
    directory, out = run
    listed = out[out.index("The run directory holds:") :]
    for name in search.FILES:
        assert f"{directory / name} " in listed
        assert (directory / name).stat().st_size > 0
    assert {path.name for path in directory.iterdir()} == set(search.FILES)


def test_progress_tells_losses_accuracies_and_the_time_left(run):
    _, out = run
    for word in ("accuracy: ", "loss: ", "val_accuracy: ", "val_loss: "):
        assert out.count(word) >= EPOCHS
    assert [f"{epoch} of {EPOCHS} epochs done, about " in out for epoch in range(1, EPOCHS)] == [True] * 3


def test_the_configuration_is_that_of_the_command(run):
    config = json.loads((run[0] / "config.json").read_text())
    assert config["command"] == "search"
    assert (config["space"], config["side"], config["epochs"], config["hvp"]) == ("darts", 8, EPOCHS, "exact")


def test_genotypes_epoch_by_epoch_and_the_last_is_the_result(run):
    directory, out = run
    lines = [json.loads(line) for line in (directory / "genotypes.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]
    assert all({"loss", "accuracy", "val_loss", "val_accuracy"} <= set(line) for line in lines)
    last = kp.Genotype.from_json(json.dumps(lines[-1]["genotype"]))
    assert last == kp.Genotype.load(directory / "genotype.json")
    assert str(last) in out


def test_the_search_lowers_both_losses(run):
    losses = np.genfromtxt(run[0] / "history.csv", delimiter=",", names=True)
    assert losses["loss"][-1] < 0.9 * losses["loss"][0]
    assert losses["val_loss"][-1] < 0.9 * losses["val_loss"][0]


def test_the_learning_rate_goes_down_a_cosine_to_its_published_end(run):
    rates = np.genfromtxt(run[0] / "history.csv", delimiter=",", names=True)["learning_rate"]
    # 0.001 + (0.1 - 0.001) * (1 + cos(pi * t)) / 2 at a quarter, half, three quarters and all of the run.
    assert rates == pytest.approx([0.001 + 0.099 * (1 + np.cos(np.pi * t / 4)) / 2 for t in range(1, 5)], rel=1e-4)


def test_the_alphas_move(run):
    with np.load(run[0] / "alphas.npz") as arrays:
        assert arrays["primitives"].tolist() == list(kp.spaces.get("darts").primitives)
        for cell in ("normal", "reduce"):
            # One node reads two states: two edges; eight ops.
            assert arrays[cell].shape == (EPOCHS + 1, 2, 8)
            assert np.abs(arrays[cell][0]).max() < 0.01  # 1e-3 * N(0, 1)
            assert (np.abs(np.diff(arrays[cell], axis=0)).max(axis=(1, 2)) > 1e-3).all()


def test_the_supernet_loads_and_gives_the_same_genotype(run):
    directory, _ = run
    supernet = keras.saving.load_model(directory / "supernet.keras")
    assert supernet.genotype() == kp.Genotype.load(directory / "genotype.json")
    assert supernet.predict(np.zeros((2, 8, 8, 1), "float32"), verbose=0).shape == (2, 10)


def test_tensorboard_logs_of_training_and_validation(run):
    names = {path.parent.name for path in (run[0] / "tensorboard").rglob("events*")}
    assert names == {"train", "validation", "details"}


@pytest.mark.parametrize(
    "flags", [["--order=2", "--remat"], ["--order=2", "--hvp=finite_difference", "--stem=patchify"]]
)
def test_the_other_orders_run(flags, tmp_path, npz, capsys, monkeypatch):
    small = kp.spaces.SearchSpace("small", ("none", "skip_connect", "pib_conv_3x3"))
    monkeypatch.setitem(kp.spaces.catalog._SPACES, "small", small)
    tiny = [
        "--space=small",
        "--side=8",
        "--layers=2",
        "--channels=2",
        "--nodes=1",
        "--batch-size=4",
        "--epochs=1",
    ]
    search.main([*tiny, *flags, "--dataset", str(npz()), "--out", str(tmp_path / "run")])
    assert kp.Genotype.load(tmp_path / "run" / "genotype.json").nodes == 1
