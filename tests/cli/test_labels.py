"""Several labels or numbers an image, through search, train, gradcam, export and profile."""

import csv
import json

import keras
import numpy as np
import pytest
from PIL import Image

import keras_pibnas as kp
from keras_pibnas.cli import export, gradcam, profile, search, train
from keras_pibnas.interop import export_compare

pytestmark = [
    pytest.mark.usefixtures("quick"),
    pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`:UserWarning"),
]
PAIRS = (("sep_conv_3x3", 0), ("skip_connect", 1))
GENOTYPE = kp.Genotype(PAIRS, (("max_pool_3x3", 0), ("skip_connect", 1)), (2,), (2,))
SMALL = ["--side=8x12", "--layers=2", "--channels=2", "--batch-size=4", "--epochs=1"]
COUNT = 20


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """{task: path}: a folder with labels.csv beside it, and an .npz with y of shape (N, 2)."""
    root, random = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    images = random.integers(0, 256, (COUNT, 8, 12, 3), "uint8")
    (root / "images").mkdir()
    rows = [["file", "red", "green", "blue"]]
    for number, image in enumerate(images):
        Image.fromarray(image).save(root / "images" / f"{number}.png")
        rows.append([f"{number}.png", number % 2, int(number % 3 == 0), int(number % 5 < 3)])
    with open(root / "labels.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    y = np.stack([images[..., 0].mean((1, 2)) / 255, np.arange(COUNT)], 1)
    np.savez(root / "numbers.npz", x=images, y=y, class_names=["redness", "number"])
    return {"multilabel": root / "images", "regression": root / "numbers.npz"}


@pytest.fixture(scope="module", params=["multilabel", "regression"])
def run(request, quick, datasets, tmp_path_factory):
    """(Task, run directory of train)."""
    directory = tmp_path_factory.mktemp(request.param) / "run"
    argv = [*SMALL, f"--task={request.param}", "--dataset", str(datasets[request.param])]
    train.main([*argv, "--genotype", GENOTYPE.to_json(), "--out", str(directory)])
    return request.param, directory


def predicted(directory, task, datasets):
    """(Logits of the saved model, labels) of the test images, which are a fifth of all."""
    splits = kp.data.load(datasets[task], (8, 12), task=task)
    images, labels = next(iter(splits.batches("test", len(splits.arrays["test"][1]))))
    assert len(labels) == 4
    return keras.saving.load_model(directory / "model.keras").predict(images, verbose=0), labels.numpy()


def average_precision(scores, labels):
    """Mean precision at the ranks of the positives, the best score first."""
    hits = labels[np.argsort(-scores)]
    return (np.cumsum(hits) / np.arange(1, 1 + len(hits)))[hits > 0].mean()


def test_what_a_training_reports_is_what_its_model_gives(run, datasets):
    task, directory = run
    logits, labels = predicted(directory, task, datasets)
    result = json.loads((directory / "result.json").read_text())
    if task == "regression":
        error = logits - labels
        assert result["test_mae"] == pytest.approx(np.abs(error).mean(), rel=1e-4)
        assert result["test_rmse"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-4)
        assert result["test_loss"] == pytest.approx((error**2).mean(), rel=1e-4)
        return
    right = (logits > 0) == (labels > 0)
    assert result["test_label_accuracy"] == pytest.approx(right.mean(), abs=1e-6)
    assert list(result["labels"]) == ["red", "green", "blue"]
    for column, of_label in enumerate(result["labels"].values()):
        assert of_label["label_accuracy"] == pytest.approx(right[:, column].mean(), abs=1e-6)
    present = [column for column in range(3) if labels[:, column].any()]
    expected = [average_precision(logits[:, column], labels[:, column]) for column in present]
    assert result["test_mean_average_precision"] == pytest.approx(np.mean(expected), abs=1e-4)
    probability = 1 / (1 + np.exp(-logits))
    entropy = -(labels * np.log(probability) + (1 - labels) * np.log(1 - probability)).mean()
    assert result["test_loss"] == pytest.approx(entropy, rel=1e-4)


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_a_search(task, datasets, tmp_path, registry):
    kp.spaces.register("small", ("none", "skip_connect", "max_pool_3x3"))
    argv = [*SMALL, f"--task={task}", "--dataset", str(datasets[task]), "--space=small", "--nodes=1", "--order=1"]
    directory = search.main([*argv, "--out", str(tmp_path / "run")])
    (row,) = kp.runs.read_table(directory / "history.csv")
    metric = {"multilabel": "mean_average_precision", "regression": "mae"}[task]
    assert {metric, f"val_{metric}"} <= set(row) and "accuracy" not in row
    assert kp.Genotype.load(directory / "genotype.json").nodes == 1


def test_grad_cam_by_label(run, tmp_path, capsys):
    task, directory = run
    name = {"multilabel": "green", "regression": "number"}[task]
    gradcam.main([str(directory), "--class", name, "--out", str(tmp_path)])
    said = capsys.readouterr().out
    assert f"Grad-CAM for {name}:" in said and (tmp_path / "gradcam.png").stat().st_size > 0


def test_grad_cam_of_what_it_does_not_know(run, tmp_path, fails):
    task, directory = run
    known = {"multilabel": "Known: predicted, red, green, blue", "regression": "Known: redness, number"}[task]
    assert known in fails(gradcam.main, [directory, "--class=true", "--out", tmp_path])


def test_words_for_labels_and_predictions():
    names = ("a", "b", "c")
    assert gradcam.SAYS["multilabel"]([1, 0, 1], names) == "a, c"
    assert gradcam.SAYS["multilabel"]([0, 0, 0], names) == "none"
    assert gradcam.PREDICTS["multilabel"](np.array([0.75, 0.25, 0.5]), names) == "a (75.0%), c (50.0%)"
    assert gradcam.PREDICTS["multilabel"](np.array([0.25, 0.375, 0.125]), names) == "b (37.5%)"
    assert gradcam.PREDICTS["regression"](np.array([1.5, -2]), ("x", "y")) == "x 1.5, y -2"


def test_an_export_of_several_labels(run, datasets, tmp_path, capfd):
    task, directory = run
    if task != "multilabel":
        pytest.skip("one export takes long enough; the figures of the others are tried below")
    found = export.main([str(directory), "--format", "litert", "--repeats=2", "--out", str(tmp_path / "out")])
    rows = json.loads((found / "export.json").read_text())["exports"]
    logits, labels = predicted(directory, task, datasets)
    for row in rows:
        assert row["max_difference"] < 1e-4 and row["agreement"] == 1
        assert row["accuracy"] == pytest.approx(((logits > 0) == (labels > 0)).mean())


def test_what_an_export_compares():
    logits, reference = np.array([[2.0, -1.0], [-1.0, 3.0]]), np.array([[1.0, -1.0], [1.0, 2.0]])
    figures = {
        task: export_compare.compared(logits, reference, labels, task)
        for task, labels in (
            ("multiclass", np.array([0, 0])),
            ("multilabel", np.array([[1, 1], [0, 1]])),
            ("regression", np.array([[1.0, 0.0], [0.0, 3.0]])),
        )
    }
    assert figures["multiclass"] == {"agreement": 1, "accuracy": 0.5}
    assert figures["multilabel"] == {"agreement": 0.75, "accuracy": 0.75}
    assert figures["regression"] == {"mae": 0.75}  # (1 + 1 + 1 + 0) / 4
    assert export_compare.compared(logits, reference, None, "regression") == {}


def test_a_profile(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(kp.analysis, "machine_roofs", lambda: (1e11, 1e10))
    task, directory = run
    found = profile.main([str(directory), "--repeats=2", "--breakdown=0", "--out", str(tmp_path / "out")])
    model = keras.saving.load_model(directory / "model.keras")
    profiled = json.loads((found / "profile.json").read_text())["models"][0]
    assert profiled["params"] == sum(int(np.prod(weight.shape)) for weight in model.trainable_variables)


def test_one_number_an_image(tmp_path, npz):
    data = npz(y=np.linspace(0, 1, 24))
    argv = [*SMALL, "--side=8", "--task=regression", "--dataset", str(data), "--genotype", GENOTYPE.to_json()]
    directory = train.main([*argv, "--out", str(tmp_path / "run")])
    assert keras.saving.load_model(directory / "model.keras").output.shape == (None, 1)


@pytest.mark.parametrize("main", [search.main, train.main], ids=["search", "train"])
@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--task=segmentation"], "--task: invalid choice: 'segmentation'"),
        (["--task=regression"], "digits has classes: task='multiclass'. Received: task='regression'"),
    ],
)
def test_wrong_values(main, argv, words, fails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert words in fails(main, argv)
    assert not list(tmp_path.iterdir())


def test_a_regression_has_no_labels_to_smooth(datasets, fails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    argv = [*SMALL, "--task=regression", "--dataset", datasets["regression"], "--label-smoothing=0.1"]
    assert "no labels to smooth" in fails(train.main, argv)
