"""A wrong value ends in one line on standard error and exit status 2, before anything is written."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from keras_pibnas.cli import demo, search, train

SEARCH, TRAIN = (search.main, ["--order=1"]), (train.main, [])
NONSENSE = [["nonsense", 0], ["skip_connect", 1]]
BOTH = pytest.mark.parametrize("main, argv", [SEARCH, TRAIN], ids=["search", "train"])


@BOTH
@pytest.mark.parametrize(
    "wrong, words",
    [
        (["--dataset=nonsense"], "data set.*'nonsense'"),
        (["--layers=1"], "layers.*1"),
        (["--channels=3"], "channels.*3"),
        (["--layers=two"], "--layers: invalid whole number.*'two'"),
        (["--epochs=0"], "--epochs: invalid whole number.*'0'"),
        (["--learning-rate=-1"], "--learning-rate: invalid number above 0.*'-1'"),
        (["--batch-size=5000"], "batch_size.*5000"),
        (["--side=9"], "side.*9"),
        (["--stem=none"], "--stem: invalid choice: 'none'.*conv3x3"),
        (["--seed=-1"], "--seed: invalid seed.*'-1'"),
        (["--data-dir=x"], "data_dir.*x"),
        (["--dataset=cifar10", "--data-dir=nowhere"], "cifar10.*nowhere"),
        (["--no-such-flag"], "unrecognized arguments: --no-such-flag"),
        (["--preset=nonsense"], "--preset: invalid choice: 'nonsense'"),
    ],
)
def test_wrong_values(main, argv, wrong, words, fails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = fails(main, [*argv, *wrong])
    assert line.startswith("keras-pibnas ")
    assert re.search(words, line), line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "wrong, words",
    [
        (["--space=nonsense"], ["Unknown search space 'nonsense'", "darts, ", " pibconv"]),
        (["--nodes=9"], ["nodes", "9"]),
        (["--order=3"], ["--order: invalid choice: 3", "1, 2"]),
        (["--hvp=rough"], ["--hvp: invalid choice: 'rough'", "finite_difference"]),
    ],
)
def test_wrong_values_of_a_search(wrong, words, fails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = fails(search.main, wrong)
    assert all(word in line for word in words), line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "wrong, words",
    [
        (["--genotype=NONSENSE"], ["Unknown genotype 'NONSENSE'", "PIBCONV"]),
        (["--genotype=" + json.dumps({"normal": NONSENSE, "reduce": NONSENSE})], ["unknown op 'nonsense'"]),
        (["--genotype=."], ["genotype.json"]),
        (["--cutout=17"], ["cutout", "17"]),
        (["--drop-path=1.5"], ["drop path", "1.5"]),
        (["--auxiliary=0.4"], ["uxiliary", "8"]),
    ],
)
def test_wrong_values_of_a_training(wrong, words, fails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = fails(train.main, wrong)
    assert all(word in line for word in words), line
    assert not list(tmp_path.iterdir())


def test_a_genotype_file_that_is_not_one(fails, tmp_path):
    (tmp_path / "genotype.json").write_text('{"normal": 1}')
    line = fails(train.main, ["--genotype", tmp_path / "genotype.json"])
    assert str(tmp_path / "genotype.json") in line and "reduce" in line
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff\xfe")
    assert str(tmp_path / "picture.png") in fails(train.main, ["--genotype", tmp_path / "picture.png"])


@BOTH
def test_a_run_directory_that_holds_another_run(main, argv, fails, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    line = fails(main, [*argv, "--side=8", "--layers=2", "--channels=2", "--out", tmp_path])
    assert "holds another run" in line and str(tmp_path) in line
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_demo_directory_that_holds_another_run(fails, tmp_path):
    (tmp_path / "x").touch()
    assert "holds another run" in fails(demo.main, ["--out", tmp_path])


@BOTH
def test_a_run_directory_that_cannot_be_made(main, argv, fails, tmp_path):
    (tmp_path / "file").touch()
    line = fails(main, [*argv, "--side=8", "--layers=2", "--channels=2", "--out", tmp_path / "file" / "run"])
    assert str(tmp_path / "file") in line


@BOTH
def test_a_folder_without_classes(main, argv, fails, tmp_path):
    assert "each class" in fails(main, [*argv, "--dataset", tmp_path])


@BOTH
def test_images_of_mixed_size(main, argv, fails, tmp_path):
    for name, size in [("a", (8, 8)), ("b", (8, 9))]:
        (tmp_path / name).mkdir()
        for number in range(8):
            Image.new("L", size).save(tmp_path / name / f"{number}.png")
    line = fails(main, [*argv, "--dataset", tmp_path])
    assert "one size" in line and "8x8" in line and "9x8" in line


@BOTH
def test_a_file_that_is_no_image(main, argv, fails, tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_text("no image")
    assert "not readable" in fails(main, [*argv, "--dataset", tmp_path])


@BOTH
@pytest.mark.parametrize(
    "changes, words",
    [
        ({"y": np.arange(24) % 2 - 1}, ["labels", "-1"]),
        ({"y": np.array([0, 99] * 12)}, ["labels", "99"]),
        ({"x": np.zeros((24, 8)), "y": np.arange(24) % 2}, ["(N, H, W[, C])", "(24, 8)"]),
        ({"y": np.arange(23) % 2}, ["24 images, 23 labels"]),
    ],
    ids=["negative", "too large", "no images", "not as many"],
)
def test_arrays_that_do_not_fit(main, argv, changes, words, fails, npz):
    line = fails(main, [*argv, "--dataset", npz(**changes)])
    assert all(word in line for word in words), line


@BOTH
def test_fewer_images_than_a_batch(main, argv, fails, npz):
    line = fails(main, [*argv, "--dataset", npz(), "--side=8", "--batch-size=64"])
    assert "batch_size" in line and "64" in line


def test_a_process_prints_one_line_and_nothing_else():
    done = subprocess.run([sys.executable, "-m", "apps.search", "--space=nonsense"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("python -m apps.search: Unknown search space 'nonsense'.")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("app", [search, train])
def test_a_fault_of_the_training_itself_keeps_its_traceback(app, tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise ValueError("a bug")

    monkeypatch.setattr("keras.Model.fit", broken)
    with pytest.raises(ValueError, match="a bug"):
        app.main(["--side=8", "--layers=2", "--channels=2", "--out", str(tmp_path / "run")])
