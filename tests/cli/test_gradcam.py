import re

import keras
import numpy as np
import pytest

import keras_pibnas as kp
from keras_pibnas.analysis import grad_cam, style, upsample
from keras_pibnas.cli import gradcam

DIGITS = tuple("0123456789")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two run directories: networks of different depth and side."""
    root = tmp_path_factory.mktemp("models")
    for name, layers, side in (("deep", 3, 8), ("large", 2, 16)):
        network = kp.build_network("DARTS_V2", (side, side, 1), 10, channels=2, layers=layers, drop_path=0.1)
        (root / name).mkdir()
        network.save(root / name / "model.keras")
    return root


@pytest.fixture
def drawn(monkeypatch):
    """List of the figures that were saved."""
    figures, save = [], style.save
    monkeypatch.setattr(style, "save", lambda figure, path: figures.append(figure) or save(figure, path))
    return figures


def run(models, tmp_path, *argv):
    return gradcam.main([str(models / "deep"), *argv, "--out", str(tmp_path)])


def heats(figure, columns):
    return [ax.images[1].get_array() for row in np.array(figure.axes).reshape(-1, columns) for ax in row[1:]]


def expected(models, name, side, numbers, **kwargs):
    """The heat maps of a saved model, from images normalized here."""
    splits = kp.data.load("digits", side)
    images = (splits.arrays["test"][0][numbers] / 255 - splits.mean[0]) / splits.std[0]
    model = keras.saving.load_model(models / name / "model.keras")
    return upsample(grad_cam(model, images.astype("float32"), **kwargs))


def test_images_down_networks_across(models, tmp_path, drawn, capsys):
    path = gradcam.main([str(models / "deep"), f"L={models / 'large' / 'model.keras'}", "--out", str(tmp_path)])
    out = capsys.readouterr().out
    assert path == tmp_path / "gradcam.png" and f"{path} " in out
    axes = np.array(drawn[0].axes).reshape(4, 3)
    assert [ax.get_title() for ax in axes[0]] == ["input", "deep", "L"]
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["0", "1", "2", "3"]
    labels = kp.data.load("digits", 8).arrays["test"][1]
    numbers = [int(np.flatnonzero(labels == digit)[0]) for digit in range(4)]
    maps = np.stack([expected(models, "deep", 8, numbers), expected(models, "large", 16, numbers)], 1)
    assert maps.shape == (4, 2, 224, 224)
    np.testing.assert_allclose(np.stack(heats(drawn[0], 3)), maps.reshape(8, 224, 224), atol=1e-5)
    rows = [line.split() for line in out.splitlines() if line.split()[:1] and line.split()[0].isdigit()]
    assert [row[:2] for row in rows] == [[str(number), str(digit)] for digit, number in enumerate(numbers)]
    assert all(row[2] in DIGITS and row[3].endswith("%)") for row in rows)


@pytest.mark.parametrize(
    "argv, kwargs",
    [
        (["--class=7"], {"class_index": 7}),
        (["--class=true"], {"class_index": "labels"}),
        (["--layer=cell_0"], {"layer": "cell_0"}),
        (["--layer=stem", "--class=0"], {"layer": "stem", "class_index": 0}),
    ],
)
def test_any_image_class_and_layer(argv, kwargs, models, tmp_path, drawn):
    run(models, tmp_path, "--images", "5", "300", *argv)
    if kwargs.get("class_index") == "labels":
        kwargs = {"class_index": kp.data.load("digits", 8).arrays["test"][1][[5, 300]]}
    np.testing.assert_allclose(np.stack(heats(drawn[0], 2)), expected(models, "deep", 8, [5, 300], **kwargs), atol=1e-5)


def test_the_normalization_that_a_model_carries_counts():
    network = kp.build_network("DARTS_V2", (8, 8, 1), 10, channels=2, layers=2)
    splits = kp.data.load("digits", 8)
    plain = gradcam.prepared(network, splits, [0])
    np.testing.assert_allclose(plain[0], next(iter(splits.test))[0].numpy(), atol=1e-6)
    network.normalization = ((0.0,), (0.5,))
    np.testing.assert_allclose(gradcam.prepared(network, splits, [0]), splits.arrays["test"][0][:1] / 127.5, atol=1e-6)


def test_a_trial_of_a_sweep_is_named_by_its_directory(tmp_path):
    trial = tmp_path / "PIBCONV-l2" / "run"
    trial.mkdir(parents=True)
    assert gradcam.short(trial) == gradcam.short(trial / "model.keras") == "PIBCONV-l2"
    assert gradcam.short(tmp_path / "mine.keras") == "mine"


@pytest.mark.parametrize(
    "argv, words",
    [
        (["--layer=cell_9"], "No layer 'cell_9' .*Layers with one: stem, .*cell_2"),
        (["--class=11"], "Known: predicted, true, 0, .*Received: --class 11"),
        (["--images", "360"], "Test images are 0 to 359. Received: --images 360"),
        (["--dataset=nonsense"], "'nonsense'"),
    ],
)
def test_wrong_values(argv, words, models, tmp_path, fails):
    line = fails(gradcam.main, [models / "deep", *argv, "--out", tmp_path])
    assert re.search(words, line), line
    assert not list(tmp_path.iterdir())


def test_models_that_are_none_or_do_not_fit(models, tmp_path, fails, npz):
    assert "Not a run directory" in fails(gradcam.main, [tmp_path])
    assert "Two models of one name" in fails(gradcam.main, [models / "deep", models / "deep"])
    line = fails(gradcam.main, [models / "deep", "--dataset", npz()])
    assert "deep takes images (8, 8, 1) of 10 classes" in line and "of 2 classes" in line
