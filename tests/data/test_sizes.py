"""Images of any size and shape, and where they lie."""

import numpy as np
import pytest

from keras_pibnas import data
from keras_pibnas.data.images import resized

from .helpers import all_images, classes, picture


def test_images_in_folders_of_a_class_and_tif_files_are_read(tmp_path):
    pixels = [picture(tmp_path / "cat" / "old" / "1.tif"), picture(tmp_path / "cat" / "2.tiff")]
    classes(tmp_path, names=("dog",), count=2)
    picture(tmp_path / "cat" / ".cache" / "3.png")
    splits = data.load(tmp_path, side=None)
    found = {image.tobytes() for image in all_images(splits)}
    assert len(found) == 4 and {image.tobytes() for image in pixels} <= found


def test_squares_of_many_sizes_are_resized(tmp_path):
    for name in ("cat", "dog"):
        for side in (16, 24, 40, 64):
            picture(tmp_path / name / f"{side}.png", side, side, value=90)
    splits = data.load(tmp_path, side=16)
    assert splits.input_shape == (16, 16, 3) and (all_images(splits) == 90).all()
    with pytest.raises(ValueError, match="Without a side, images should all have one size"):
        data.load(tmp_path, side=None)


def test_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    classes(tmp_path / "pets")
    np.savez(tmp_path / "some.npz", x=np.zeros((8, 8, 8), np.uint8), y=np.arange(8) % 2)
    assert data.load("~/pets").class_names == ("cat", "dog")
    assert data.load("~/some.npz").num_classes == 2


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_train_and_val_name_train_and_test(tmp_path, name):
    classes(tmp_path / "train"), classes(tmp_path / name)
    with pytest.raises(ValueError, match=f"train/ and test/.*Rename {name}/ to test/.*Received: train/ and {name}/"):
        data.load(tmp_path)


def test_val_beside_train_and_test_is_left_out_with_a_word(tmp_path):
    for part in ("train", "test", "val"):
        classes(tmp_path / part)
    with pytest.warns(UserWarning, match="val is left out"):
        splits = data.load(tmp_path)
    assert [len(splits.arrays[part][1]) for part in ("train", "test")] == [12, 12]


def striped(height, width):
    """Images whose columns are 0, 1, 2, ... in all rows."""
    return np.tile(np.arange(width, dtype=np.uint8)[None, None, :, None], (1, height, 1, 1))


def test_crop_takes_the_middle():
    found = resized(striped(4, 10), (4, 4), "crop")
    np.testing.assert_array_equal(found[0, :, :, 0], [[3, 4, 5, 6]] * 4)  # three columns go on each side


def test_pad_keeps_all_and_adds_zeros_on_both_sides():
    found = resized(np.full((1, 4, 8, 1), 7, np.uint8), (8, 8), "pad")
    np.testing.assert_array_equal(found[0, :, 0, 0], [0, 0, 7, 7, 7, 7, 0, 0])


def test_stretch_changes_the_proportions():
    image = np.repeat(np.array([[10, 20]], np.uint8), 4, 0)[None, ..., None]  # (1, 4, 2, 1)
    found = resized(image, (2, 2), "stretch")
    np.testing.assert_array_equal(found[0, :, :, 0], [[10, 20]] * 2)


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("side", [16, (16, 24)])
def test_photographs_of_any_size(tmp_path, resize, side):
    for index, (height, width) in enumerate([(30, 40), (40, 30), (16, 16), (9, 50), (64, 48)]):
        for name in ("cat", "dog"):
            picture(tmp_path / name / f"{index}.jpg", height, width, value=200)
    splits = data.load(tmp_path, side=side, resize=resize)
    images = all_images(splits)
    assert images.shape == (10, *(side if isinstance(side, tuple) else (side, side)), 3)
    assert abs(int(images.max()) - 200) <= 3  # a JPEG is not exact
    assert (images.min() < 3) == (resize == "pad")


def test_without_resize_other_proportions_are_refused(tmp_path):
    classes(tmp_path, height=8, width=12)
    assert data.load(tmp_path, side=None).input_shape == (8, 12, 3)
    assert data.load(tmp_path, side=(16, 24)).input_shape == (16, 24, 3)
    with pytest.raises(ValueError, match="square.*resize='crop', 'pad' or 'stretch'. Received: train images of 8x12"):
        data.load(tmp_path, side=16)
    with pytest.raises(ValueError, match="proportions 24x16.*8x12"):
        data.load(tmp_path, side=(24, 16))


@pytest.mark.parametrize("channels", [1, 3, 4, 7])
def test_npz_of_rectangles_and_many_channels(tmp_path, channels):
    x = np.random.default_rng(0).integers(0, 256, (20, 64, 48, channels), np.uint8)
    np.savez(tmp_path / "some.npz", x=x, y=np.arange(20) % 2)
    splits = data.load(tmp_path / "some.npz", side=(32, 24)).halves()
    assert splits.input_shape == (32, 24, channels)
    (images, labels), _ = next(
        iter(data.bilevel(splits.batches("train", 4, augment=True, cutout=8), splits.batches("valid", 4, augment=True)))
    )
    assert images.shape == (4, 32, 24, channels) and labels.shape == (4,)
    assert data.load(tmp_path / "some.npz", side=32, resize="crop").input_shape == (32, 32, channels)


def test_thousands_of_classes(tmp_path):
    np.savez(tmp_path / "some.npz", x=np.zeros((9000, 4, 4), np.uint8), y=np.arange(9000) % 3000)
    splits = data.load(tmp_path / "some.npz", side=4)
    assert splits.num_classes == splits.outputs == 3000
    # 7,200 of 9,000 stay in train; of the three images of a class at least two, as 0.8 * 3 = 2.4.
    assert len(splits.arrays["train"][1]) == 7200 and np.bincount(splits.arrays["train"][1]).min() == 2


@pytest.mark.parametrize(("text", "expected"), [("32", 32), ("64x48", (64, 48)), (" 64 X 48 ", (64, 48))])
def test_parse_side(text, expected):
    assert data.parse_side(text) == expected


@pytest.mark.parametrize("text", ["", "x", "64x", "a", "-3", "1x2x3", "6.5"])
def test_parse_side_says_what_is_wrong(text):
    with pytest.raises(ValueError, match=f"64x48. Received: '{text}'"):
        data.parse_side(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"side": (8, 3)}, r"at least 4 pixels.*Received: side=\(8, 3\)"),
        ({"side": (8, 8, 8)}, r"Received: side=\(8, 8, 8\)"),
        ({"side": "8"}, "Received: side='8'"),
        ({"resize": "squash"}, "one of crop, pad, stretch.*Received: resize='squash'"),
        ({"side": None, "resize": "crop"}, "resize needs a side"),
        ({"task": "ranking"}, "Unknown task 'ranking'. Known: multiclass, multilabel, regression"),
        ({"task": "regression"}, "digits has classes"),
        ({"stream": True}, "stream=True is for folders and prepared data. Received: digits"),
    ],
)
def test_load_says_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        data.load("digits", **arguments)
