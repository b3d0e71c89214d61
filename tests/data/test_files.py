import io
import zlib

import numpy as np
import pytest
from PIL import Image

from keras_pibnas import data


def picture(path, size=(8, 8), mode="RGB", value=None):
    """Writes a random image, or one of a constant value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}[mode]
    generator = np.random.default_rng(zlib.crc32(str(path.name).encode()))
    pixels = generator.integers(0, 256, (*size, channels)).astype(np.uint8)
    if value is not None:
        pixels[:] = value
    Image.fromarray(pixels[..., 0] if mode == "L" else pixels).save(path)
    return pixels


def folder(root, classes=("cat", "dog"), count=5, **arguments):
    for name in classes:
        for index in range(count):
            picture(root / name / f"{index:02}.png", **arguments)
    return root


def test_a_folder_of_classes(tmp_path):
    folder(tmp_path, classes=("dog", "cat"))
    splits = data.load(tmp_path, side=None)
    assert splits.class_names == ("cat", "dog")
    assert splits.input_shape == (8, 8, 3)
    # Ten images, a fifth of each class for the test.
    assert [np.bincount(splits.arrays[name][1]).tolist() for name in ("train", "test")] == [[4, 4], [1, 1]]
    assert splits.flip


def test_images_are_read_exactly_and_in_order_of_names(tmp_path):
    expected = [
        picture(tmp_path / part / name / file, value=None)
        for part in ("train", "test")
        for name in ("a", "b")
        for file in ("1.png", "2.bmp")
    ]
    splits = data.load(str(tmp_path), side=None)
    np.testing.assert_array_equal(splits.arrays["train"][0], expected[:4])
    np.testing.assert_array_equal(splits.arrays["test"][0], expected[4:])
    assert splits.arrays["test"][1].tolist() == [0, 0, 1, 1]


def test_classes_may_be_called_train(tmp_path):
    folder(tmp_path, classes=("airplane", "train"))
    assert data.load(tmp_path).class_names == ("airplane", "train")


@pytest.mark.parametrize(("side", "expected"), [(32, 32), (4, 4), (None, 8)])
def test_side(tmp_path, side, expected):
    folder(tmp_path, value=200)
    splits = data.load(tmp_path, side=side)
    assert splits.input_shape == (expected, expected, 3)
    assert (splits.arrays["train"][0] == 200).all()


@pytest.mark.parametrize(
    ("modes", "channels"), [(("L", "L"), 1), (("L", "RGB"), 3), (("RGBA", "RGB"), 3), (("LA", "L"), 1)]
)
def test_modes(tmp_path, modes, channels):
    for name, mode in zip("ab", modes, strict=True):
        for index in range(5):
            picture(tmp_path / name / f"{index}.png", mode=mode, value=90)
    splits = data.load(tmp_path, side=None)
    assert splits.input_shape == (8, 8, channels)
    assert (splits.arrays["train"][0] == 90).all()


def test_palette_with_transparency(tmp_path):
    folder(tmp_path)
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.save(tmp_path / "cat" / "00.png", transparency=b"\x00\x80")
    splits = data.load(tmp_path, side=None)
    images = np.concatenate([splits.arrays[name][0] for name in ("train", "test")])
    assert (images == [10, 20, 30]).all((1, 2, 3)).sum() == 1


def test_other_files_are_left_alone(tmp_path):
    folder(tmp_path)
    (tmp_path / "README.txt").write_text("x")
    (tmp_path / "cat" / "notes.txt").write_text("x")
    (tmp_path / "cat" / ".hidden.png").write_text("x")
    (tmp_path / ".cache").mkdir()
    assert sum(len(data.load(tmp_path).arrays[name][1]) for name in ("train", "test")) == 10


def test_a_folder_without_classes(tmp_path):
    picture(tmp_path / "0.png")
    with pytest.raises(ValueError, match="folder of images for each class.*Received: no folder"):
        data.load(tmp_path)


def test_a_folder_of_one_class(tmp_path):
    folder(tmp_path, classes=("cat",))
    with pytest.raises(ValueError, match="at least two.*Received: cat"):
        data.load(tmp_path)


def test_a_class_without_images(tmp_path):
    folder(tmp_path)
    (tmp_path / "bird").mkdir()
    with pytest.raises(ValueError, match="bird holds no image. Known: .png"):
        data.load(tmp_path)


def test_a_test_folder_with_another_class(tmp_path):
    folder(tmp_path / "train")
    folder(tmp_path / "test", classes=("cat", "fish"))
    with pytest.raises(ValueError, match="cat, dog. Received: fish"):
        data.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a picture", "cut"])
def test_an_unreadable_image(tmp_path, content):
    folder(tmp_path, size=(64, 64))
    path = tmp_path / "dog" / "03.png"
    path.write_bytes(path.read_bytes()[:200] if content == "cut" else content)
    with pytest.raises(ValueError, match="dog/03.png is not readable"):
        data.load(tmp_path)


def test_sixteen_bits_are_refused(tmp_path):
    folder(tmp_path)
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(tmp_path / "dog" / "03.png")
    with pytest.raises(ValueError, match="03.png is not readable: I;16: more than 8 bits"):
        data.load(tmp_path)


def test_images_of_mixed_sizes(tmp_path):
    folder(tmp_path)
    picture(tmp_path / "dog" / "03.png", size=(8, 9))
    with pytest.raises(ValueError, match="one size. Received: .*cat/00.png of 8x8, .*dog/03.png of 8x9"):
        data.load(tmp_path)


@pytest.mark.parametrize("size", [(8, 10), (3, 3)])
def test_images_of_unfit_size(tmp_path, size):
    folder(tmp_path, size=size)
    with pytest.raises(ValueError, match=f"square, at least 4x4.*train images of {size[0]}x{size[1]}"):
        data.load(tmp_path)


def arrays(count=20, side=28, channels=None, dtype=np.uint8, classes=4):
    shape = (count, side, side, *([channels] if channels else []))
    images = np.random.default_rng(0).integers(0, 256, shape)
    images = images / 255 if np.issubdtype(dtype, np.floating) else images
    return images.astype(dtype), np.arange(count) % classes


def saved(path, **content):
    np.savez(path, **content)
    return path


def test_npz_with_a_test_split(tmp_path):
    x, y = arrays()
    path = saved(tmp_path / "some.npz", x_train=x[:15], y_train=y[:15], x_test=x[15:], y_test=y[15:])
    splits = data.load(path, side=None)
    np.testing.assert_array_equal(splits.arrays["train"][0], x[:15, ..., None])
    np.testing.assert_array_equal(splits.arrays["test"][1], y[15:])
    assert splits.input_shape == (28, 28, 1) and splits.class_names == ("0", "1", "2", "3")
    assert data.load(path).input_shape == (32, 32, 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("channels", [None, 1, 3])
def test_npz_types(tmp_path, dtype, channels):
    x, y = arrays(channels=channels, dtype=dtype)
    expected, _ = arrays(channels=channels or 1)
    splits = data.load(saved(tmp_path / "some.npz", x=x, y=y[:, None]), side=None)
    found = np.concatenate([splits.arrays[name][0] for name in ("train", "test")])
    assert sorted(image.tobytes() for image in found) == sorted(image.tobytes() for image in expected)
    assert [np.bincount(splits.arrays[name][1]).tolist() for name in ("train", "test")] == [[4] * 4, [1] * 4]


def test_npz_class_names(tmp_path):
    x, y = arrays()
    splits = data.load(saved(tmp_path / "some.npz", x=x, y=y, class_names=list("abcde")))
    assert splits.class_names == tuple("abcde") and splits.num_classes == 5


def test_npz_statistics_of_the_training_split(tmp_path):
    x, y = arrays(channels=3)
    x[..., 2] = 7
    splits = data.load(saved(tmp_path / "some.npz", x=x, y=y), side=None)
    train = splits.arrays["train"][0] / 255
    np.testing.assert_allclose(splits.mean, train.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(splits.std[:2], train.std((0, 1, 2))[:2], rtol=1e-6)
    assert splits.std[2] == 1  # a channel of one value has no deviation to divide by


X, Y = arrays()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": X}, "missing: x, y. Received: a"),
        ({"x": X}, "missing: y"),
        ({"x_train": X, "y_train": Y}, "missing: x_test, y_test"),
        ({"x": X, "y": Y[:-1]}, "x and y should be as many.*20 images, 19 labels"),
        ({"x": X, "y": Y - 1}, "start at 0. Received: -1"),
        ({"x": X, "y": Y + 0.5}, "integer.*float64"),
        ({"x": X, "y": np.eye(4)[Y]}, r"integer.*float64 of shape \(20, 4\)"),
        ({"x": X, "y": Y * 100}, "largest label 300, 20 images"),
        ({"x": X, "y": Y * 0}, "at least two classes.*largest label 0"),
        ({"x": X, "y": Y, "class_names": ["a", "b"]}, "labels in y should be below.*2. Received: 3"),
        ({"x_train": X, "y_train": Y, "x_test": X, "y_test": Y + 1}, "labels in y_test.*4. Received: 4"),
        ({"x_train": X, "y_train": Y, "x_test": X[:, :8, :8], "y_test": Y}, r"\(28, 28, 1\) in train, \(8, 8"),
        ({"x_train": X, "y_train": Y, "x_test": X[:0], "y_test": Y[:0]}, "x_test"),
        ({"x": X[0], "y": Y}, r"shape.*Received: \(28, 28\)"),
        ({"x": X.astype(float), "y": Y}, "floats 0 to 1. Received: float64, 0.0 to 255.0"),
        ({"x": X / 255 - 0.5, "y": Y}, "Received: float64, -0.5"),
        ({"x": np.full((20, 8, 8), np.nan), "y": Y}, "nan"),
        ({"x": X.astype(int) + 1, "y": Y}, "integers 0 to 255.*1 to 256"),
        ({"x": X.astype(str), "y": Y}, "no number"),
        ({"x": X.astype(object), "y": Y}, "not a readable .npz of plain arrays"),
        ({"x": X[:, :8], "y": Y}, "square.*8x28"),
        ({"x": np.zeros((20, 3, 32, 32), np.uint8), "y": Y}, "square.*3x32"),
    ],
)
def test_npz_says_what_is_wrong(tmp_path, content, message):
    with pytest.raises(ValueError, match=message) as error:
        data.load(saved(tmp_path / "some.npz", **content))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["empty", "text", "npy", "cut"])
def test_a_file_that_is_no_npz(tmp_path, kind):
    path = saved(tmp_path / "some.npz", x=X, y=Y)
    buffer = io.BytesIO()
    np.save(buffer, X)
    contents = {"empty": b"", "text": b"x,y\n", "npy": buffer.getvalue(), "cut": path.read_bytes()[:-50]}
    path.write_bytes(contents[kind])
    with pytest.raises(ValueError, match="some.npz is not a readable .npz"):
        data.load(path)
