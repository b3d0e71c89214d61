"""Images as people have them, through the commands: any shape, channels, number of classes, and place."""

import json
import re

import keras
import numpy as np
import pytest
from PIL import Image

import keras_pibnas as kp
from keras_pibnas.cli import common, complexity, flags, grid, profile, search, sweep, tiny, train
from keras_pibnas.runs import trials

pytestmark = [
    pytest.mark.usefixtures("quick"),
    pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`:UserWarning"),
]
PAIRS = (("sep_conv_3x3", 0), ("skip_connect", 1))
GENOTYPE = kp.Genotype(PAIRS, (("max_pool_3x3", 0), ("skip_connect", 1)), (2,), (2,))
TRAIN = ["--layers=2", "--channels=2", "--batch-size=4", "--epochs=1", "--genotype", GENOTYPE.to_json()]
SEARCH = ["--space=small", "--layers=2", "--channels=2", "--nodes=1", "--order=1", "--batch-size=2", "--epochs=1"]
SIZES = ((90, 70), (64, 100), (65, 65), (130, 40), (48, 150), (71, 93), (80, 60), (64, 64))  # (width, height)


@pytest.fixture
def small(registry):
    """A search space that is soon traced."""
    kp.spaces.register("small", ("skip_connect", "max_pool_3x3"))


@pytest.fixture
def photographs(tmp_path):
    """Folder of photographs of two classes: discs and stripes of any shape, a grey one, several formats, deeper too."""
    for label, name in enumerate(("discs", "stripes")):
        for number, (width, height) in enumerate(SIZES):
            rows, columns = np.mgrid[:height, :width]
            disc = (rows - height / 2) ** 2 + (columns - width / 2) ** 2 < min(height, width) ** 2 / 9
            light = 60 + 150 * (disc if label == 0 else columns // 6 % 2)
            tint = np.random.default_rng(number).uniform(0.5, 1, 3) if number else 1
            picture = Image.fromarray((light[..., None] * tint * np.ones(3)).astype("uint8"))
            picture = picture if number else picture.convert("L")
            place = tmp_path / "photographs" / name / ("" if number % 2 else "more")
            place.mkdir(parents=True, exist_ok=True)
            picture.save(place / f"{number}.{('jpg', 'png', 'tif')[number % 3]}")
    return tmp_path / "photographs"


def test_the_imagenet_preset_on_photographs_of_any_shape(photographs, tmp_path):
    argv = ["--preset=imagenet", "--dataset", str(photographs), "--side=64", *TRAIN, "--layers=3", "--epochs=2"]
    directory = train.main([*argv, "--out", str(tmp_path / "run")])
    rows = kp.runs.read_table(directory / "history.csv")
    rows = [{name: float(value) for name, value in row.items()} for row in rows]
    assert [row["learning_rate"] for row in rows] == pytest.approx([0.1 * 0.97, 0.1 * 0.97**2])
    for row in rows:
        assert row["loss"] == pytest.approx(row["logits_loss"] + 0.4 * row["auxiliary_loss"], rel=1e-3)
    model = keras.saving.load_model(directory / "model.keras")
    assert model.input.shape == (None, 64, 64, 3)
    assert [layer.name for layer in model.layers[1:3]] == ["stem_0", "stem_1"]
    splits = kp.data.load(photographs, 64, resize="crop")
    images, labels = next(iter(splits.batches("test", len(splits.arrays["test"][1]))))
    right = model.predict(images, verbose=0).argmax(-1) == labels.numpy()
    assert json.loads((directory / "result.json").read_text())["test_accuracy"] == pytest.approx(right.mean())


def test_the_imagenet_preset_is_the_published_training():
    args = flags.parse(train.build_parser(), ["--preset=imagenet", "--layers=3"], train.PRESETS)
    assert (args.layers, args.channels, args.side, args.batch_size, args.epochs) == (3, 48, 224, 128, 250)
    assert train.PRESETS["imagenet"]["layers"] == 14
    assert (args.label_smoothing, args.l2, args.drop_path, args.cutout) == (0.1, 3e-5, 0.0, 0)
    rate = train.learning_rate(args, steps=10)
    rates = [float(rate(step)) for step in (0, 9, 10, 2499)]
    assert rates == pytest.approx([0.1, 0.1, 0.097, 0.1 * 0.97**249], rel=1e-5)
    assert float(train.learning_rate(train.build_parser().parse_args([]), 10)(0)) == pytest.approx(0.025)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_augmentations_of_any_channels(channels):
    arrays = {name: (np.full((4, 8, 8, channels), 128, "uint8"), np.arange(4) % 2) for name in ("train", "test")}
    splits = kp.data.Splits(arrays, ("a", "b"), (0.5,) * channels, (0.25,) * channels)
    plain = next(iter(splits.batches("train", 4)))[0].numpy()
    for argv in (["--augment=imagenet"], ["--augment=none", "--color-distortion=0.5"]):
        args = train.build_parser().parse_args(argv)
        found = next(iter(splits.batches("train", 4, **common.augmentation(args, splits))))[0].numpy()
        assert found.shape == plain.shape and abs(found - plain).max() > 0.05
    none = common.augmentation(train.build_parser().parse_args(["--augment=none"]), splits)
    np.testing.assert_array_equal(next(iter(splits.batches("train", 4, **none)))[0], plain)


def test_a_search_on_rectangles_of_four_channels(tmp_path, npz, small):
    data = npz(x=np.random.default_rng(0).integers(0, 256, (24, 8, 12, 4), "uint8"))
    argv = [*SEARCH, "--dataset", str(data), "--side=8x12", "--color-distortion=0.3"]
    directory = search.main([*argv, "--out", str(tmp_path / "run")])
    supernet = keras.saving.load_model(directory / "supernet.keras")
    assert supernet.settings["input_shape"] == (8, 12, 4)


@pytest.mark.parametrize("side", [64, 272])
def test_a_search_on_the_sides_of_pathology_images(side, tmp_path, npz, small):
    data = npz(x=np.zeros((8, 272, 272, 3), "uint8"), y=np.arange(8) % 2)
    directory = search.main([*SEARCH, "--dataset", str(data), f"--side={side}", "--out", str(tmp_path / "run")])
    assert keras.saving.load_model(directory / "supernet.keras").settings["input_shape"] == (side, side, 3)


def test_streamed_and_resized_a_training_is_the_same(photographs, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    argv = [*TRAIN, "--dataset=~/photographs", "--side=16x12", "--resize=pad"]
    histories = []
    for name, more in (("streamed", ["--stream"]), ("held", [])):
        directory = train.main([*argv, *more, f"--out=~/{name}"])
        assert directory == tmp_path / name
        histories.append((directory / "history.csv").read_text())
    assert histories[0] == histories[1]
    assert keras.saving.load_model(tmp_path / "held" / "model.keras").input.shape == (None, 16, 12, 3)


def test_thousands_of_classes(tmp_path, npz):
    data = npz(class_names=[f"class {number}" for number in range(2000)])
    directory = train.main([*TRAIN, "--side=8", "--dataset", str(data), "--out", str(tmp_path / "run")])
    result = json.loads((directory / "result.json").read_text())
    assert 0 <= result["test_accuracy"] <= result["test_top5_accuracy"] <= 1
    assert keras.saving.load_model(directory / "model.keras").output.shape == (None, 2000)


def test_rectangles_are_counted_and_built(capsys):
    expected = kp.analysis.complexity(kp.build_network(GENOTYPE, (16, 8, 3), 10, 2, 2))
    complexity.main(["--genotype", GENOTYPE.to_json(), "--layers=2", "--channels=2", "--side=16x8", "--format=csv"])
    row = capsys.readouterr().out.splitlines()[1].split(",")
    assert row[2:4] == [str(expected.params), str(expected.macs)]
    args = profile.build_parser().parse_args(["PIBCONV", "--side=16x8", "--layers=2", "--channels=2"])
    assert profile.resolve(GENOTYPE.to_json(), args)[1].input.shape == (None, 16, 8, 3)


def test_rectangles_in_a_sweep(tmp_path):
    args = sweep.build_parser().parse_args(["--side", "8x12", "16", "--layers=2", "--genotype", GENOTYPE.to_json()])
    wide, square = grid.networks(args)
    assert wide.name.endswith("-s8x12") and square.name.endswith("-s16")
    words, _ = trials.Trial(wide, 0, tmp_path).command("python", {"resize": "pad", "stream": True})
    assert {"--side=8x12", "--resize=pad", "--stream"} <= set(words)
    for number, side in enumerate((16, "8x12", 8)):
        folder = tmp_path / "trials" / str(number)
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps({"layers": 2, "channels": 2, "side": side}))
    assert [row["side"] for row in trials.results(tmp_path)] == [8, "8x12", 16]


SIDES = [("64x48", "64x48"), ("64", 64), ("32x32", 32), ("8X16", "8x16")]


@pytest.mark.parametrize(("text", "expected"), SIDES)
def test_sides(text, expected):
    assert flags.side(text) == expected


@pytest.mark.parametrize("command", [search, train, sweep, tiny], ids=["search", "train", "sweep", "tiny"])
@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--side=64x"], "--side: invalid side .64, or height x width as 64x48. value: '64x'"),
        (["--side=3"], "at least 4 pixels"),
        (["--resize=zoom"], "--resize: invalid choice: 'zoom'.*crop"),
        (["--side=8", "--stream"], "stream=True is for folders and prepared data. Received: digits"),
        (["--side=8x16"], "digits come with side"),
    ],
)
def test_wrong_values(command, argv, words, fails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert re.search(words, fails(command.main, argv))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("main", "argv", "words"),
    [
        (train.main, ["--l2=-1"], "--l2: invalid number .0 or more. value: '-1'"),
        (train.main, ["--decay=1.5"], "--decay: invalid number .above 0, at most 1. value: '1.5'"),
        (train.main, ["--label-smoothing=1"], "label_smoothing should be at least 0 and below 1. Received: 1.0"),
        (train.main, ["--color-distortion=2"], "above 0, at most 1. Received: 2.0"),
        (search.main, ["--color-distortion=-0.1"], "above 0, at most 1. Received: -0.1"),
        (search.main, ["--augment=mixup"], "--augment: invalid choice: 'mixup'"),
        (train.main, ["--stem=imagenet", "--side=32"], "at least 64 pixels"),
        (search.main, ["--preset=imagenet"], "--preset: invalid choice: 'imagenet'"),
    ],
)
def test_wrong_values_of_a_run(main, argv, words, fails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert re.search(words, fails(main, argv))
    assert not list(tmp_path.iterdir())


def test_photographs_of_other_shapes_need_a_word(photographs, fails, tmp_path):
    line = fails(train.main, [*TRAIN, "--side=16", "--dataset", photographs, "--out", tmp_path / "run"])
    assert "resize='crop', 'pad' or 'stretch'" in line and not (tmp_path / "run").exists()
