"""Labels of the tasks multilabel and regression."""

import numpy as np
import pytest

from keras_pibnas import data
from keras_pibnas.data.stratify import stratified

from .helpers import classes, picture


def labelled(folder, table, rows=10, header="file,red,green", part=""):
    lines = [header]
    for index in range(rows):
        picture(folder / part / f"{index}.png", value=index)
        lines.append(f"{part}{index}.png,{index % 2},{int(index % 5 == 0)}")
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text("\n".join(lines))


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_a_table_of_labels(tmp_path, beside, task):
    folder = tmp_path / "images"
    labelled(folder, (tmp_path if beside else folder) / "labels.csv")
    splits = data.load(folder, side=None, task=task)
    assert splits.task == task and splits.label_names == splits.class_names == ("red", "green")
    assert splits.outputs == splits.num_classes == 2
    found = {}
    for images, labels in (splits.arrays[name] for name in ("train", "test")):
        assert labels.dtype == np.float32
        found |= {int(image[0, 0, 0]): tuple(label) for image, label in zip(images, labels, strict=True)}
    assert found == {index: (index % 2, index % 5 == 0) for index in range(10)}
    batch, labels = next(iter(splits.halves().batches("train", 4)))
    assert batch.shape == (4, 8, 8, 3) and labels.shape == (4, 2)


def test_a_table_for_train_and_test(tmp_path):
    labelled(tmp_path, tmp_path / "labels.csv", rows=6, part="train/")
    rows = (tmp_path / "labels.csv").read_text()
    labelled(tmp_path, tmp_path / "labels.csv", rows=3, part="test/")
    rest = (tmp_path / "labels.csv").read_text().split("\n")[1:]
    (tmp_path / "labels.csv").write_text("\n".join([rows, *rest]))
    splits = data.load(tmp_path, side=None, task="multilabel")
    assert [len(splits.arrays[name][1]) for name in ("train", "test")] == [6, 3]


def test_a_table_in_train_and_one_in_test(tmp_path):
    labelled(tmp_path / "train", tmp_path / "train" / "labels.csv", rows=6)
    labelled(tmp_path / "test", tmp_path / "test" / "labels.csv", rows=3)
    splits = data.load(tmp_path, side=None, task="multilabel")
    np.testing.assert_array_equal(splits.arrays["test"][1], [[0, 1], [1, 0], [0, 0]])


def test_images_without_a_row_are_left_out_with_a_word(tmp_path):
    labelled(tmp_path, tmp_path / "labels.csv")
    picture(tmp_path / "other.png")
    with pytest.warns(UserWarning, match="no row for 1 images.*other.png"):
        data.load(tmp_path, task="multilabel")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,a\n0.png,2", "0 or 1 for task='multilabel'. Received: 2"),
        ("file,a\n0.png,yes", "a file and 1 numbers. Received: 0.png,yes"),
        ("file,a\n0.png", "a file and 1 numbers. Received: 0.png"),
        ("file,a\nx.png,1", "Received: 'x.png', which is not there"),
        ("file,a\n0.png,1\n0.png,0", "every image once"),
        ("file\n0.png", "a column for the file and one for each label"),
        ("file,a,a\n0.png,1,1", "different names"),
        ("file,a", "and rows. Received: file, a; 0 rows"),
    ],
)
def test_a_table_says_what_is_wrong(tmp_path, text, message):
    picture(tmp_path / "0.png")
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        data.load(tmp_path, task="multilabel")
    assert "\n" not in str(error.value)


def test_an_empty_table(tmp_path):
    picture(tmp_path / "0.png")
    (tmp_path / "labels.csv").write_text("")
    with pytest.raises(ValueError, match="labels.csv"):
        data.load(tmp_path, task="regression")


def test_a_folder_without_a_table(tmp_path):
    with pytest.raises(ValueError, match="needs labels.csv in .* or beside it"):
        data.load(classes(tmp_path), task="multilabel")


def test_a_table_for_classes_is_pointed_out(tmp_path):
    labelled(tmp_path, tmp_path / "labels.csv")
    with pytest.raises(ValueError, match="labels.csv is read for task='multilabel' and 'regression'"):
        data.load(tmp_path)


X = np.random.default_rng(0).integers(0, 256, (20, 8, 8), np.uint8)
Y = np.random.default_rng(1).integers(0, 2, (20, 3))


def saved(tmp_path, **arrays):
    np.savez(tmp_path / "some.npz", **arrays)
    return tmp_path / "some.npz"


@pytest.mark.parametrize("dtype", [bool, np.int64, np.float32])
def test_npz_multilabel(tmp_path, dtype):
    splits = data.load(saved(tmp_path, x=X, y=Y.astype(dtype), class_names=list("abc")), side=None, task="multilabel")
    assert splits.label_names == ("a", "b", "c")
    found = np.concatenate([splits.arrays[name][1] for name in ("train", "test")])
    assert found.dtype == np.float32 and sorted(map(tuple, found)) == sorted(map(tuple, Y))


@pytest.mark.parametrize("shape", [(20,), (20, 1)])
def test_npz_regression(tmp_path, shape):
    y = np.linspace(-3, 5, 20).reshape(shape)
    splits = data.load(saved(tmp_path, x=X, y=y), side=None, task="regression")
    assert splits.outputs == 1 and splits.arrays["train"][1].shape == (16, 1)


@pytest.mark.parametrize(
    ("y", "task", "message"),
    [
        (Y * 2, "multilabel", "y should hold 0 or 1.*Received: 2"),
        (Y * np.nan, "regression", "finite numbers.*Received: nan"),
        (Y.astype(str), "regression", "should hold numbers"),
        (Y[None], "regression", r"\(N, labels\)"),
        (Y, "multiclass", "task='multilabel' or 'regression'"),
    ],
)
def test_npz_says_what_is_wrong(tmp_path, y, task, message):
    with pytest.raises(ValueError, match=message):
        data.load(saved(tmp_path, x=X, y=y), task=task)


def test_npz_of_other_labels_in_test(tmp_path):
    path = saved(tmp_path, x_train=X, y_train=Y, x_test=X, y_test=Y[:, :2])
    with pytest.raises(ValueError, match="y_test should have 3 labels an image. Received: 2"):
        data.load(path, task="multilabel")


@pytest.mark.parametrize("fraction", [0.5, 0.8])
def test_every_label_is_divided_alike(fraction):
    labels = np.random.default_rng(0).random((400, 6)) < [0.01, 0.05, 0.1, 0.3, 0.5, 0.9]
    first, second = stratified(labels, fraction, 3, "multilabel")
    assert sorted([*first, *second]) == list(range(400)) and len(first) == 400 * fraction
    # A random half is off by sqrt(n p q): 9 for a label of 200 images of 400 (half of that without replacement).
    assert max(abs(labels[first].sum(0) - fraction * labels.sum(0))) <= 2
    np.testing.assert_array_equal(first, stratified(labels, fraction, 3, "multilabel")[0])
    assert not np.array_equal(first, stratified(labels, fraction, 4, "multilabel")[0])


def test_images_without_labels_are_divided_too():
    first, second = stratified(np.zeros((10, 3)), 0.5, 0, "multilabel")
    assert len(first) == len(second) == 5


@pytest.mark.parametrize("outputs", [1, 3])
def test_a_regression_is_divided_along_its_values(outputs):
    rng = np.random.default_rng(0)
    labels = np.exp(rng.normal(size=(400, 1))) * np.arange(1, outputs + 1) + 0.01 * rng.normal(size=(400, outputs))
    first, second = stratified(labels, 0.5, 3, "regression")
    assert len(first) == len(second) == 200 and not set(first) & set(second)
    # The two of each neighbouring pair are parted: so means and quartiles are closer than by chance, whose error of a
    # difference of means is 2 sd / sqrt(400) = 0.1 sd.
    deviation = labels.std(0)
    assert (abs(labels[first].mean(0) - labels[second].mean(0)) < 0.05 * deviation).all()
    assert (abs(np.quantile(labels[first], 0.5, 0) - np.quantile(labels[second], 0.5, 0)) < 0.02 * deviation).all()
    assert not np.array_equal(first, stratified(labels, 0.5, 4, "regression")[0])
