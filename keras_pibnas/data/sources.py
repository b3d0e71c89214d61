"""Data sets by name: the digits of scikit-learn, CIFAR, a folder of images, an .npz file."""

import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from .files import Source, read_folder, read_npz
from .splits import Splits, stratified

_DIGITS_SIDES = (32, 16, 8)
_SMALLEST = 4  # two reductions halve the side twice
# Mean and standard deviation as published with DARTS and PIBConv; others are those of the training split.
_PUBLISHED = {"cifar10": ((0.49139968, 0.48215827, 0.44653124), (0.24703233, 0.24348505, 0.26158768))}


def load(name, side=32, data_dir=None):
    """Loads a data set into memory.

    Args:
        name: "digits" (1797 handwritten digits of 8x8 pixels, from scikit-learn), "cifar10", "cifar100", a
            folder of images, or an .npz file. A folder holds a folder for each class, or train/ and test/
            that do. An .npz holds x_train, y_train, x_test, y_test or x, y, and class_names if it likes:
            images (N, H, W) or (N, H, W, C), integers 0 to 255 or floats 0 to 1, and integer labels from 0.
            Where there is no test split, a stratified fifth becomes it, always the same.
        side: pixels; square images of another side are resized to it (bilinear), None keeps their own. Digits
            come at 32, 16 and 8.
        data_dir: for CIFAR, where tensorflow-datasets prepared it, or the prepared directory itself; if not
            given, TFDS_DATA_DIR or ~/tensorflow_datasets. Nothing is downloaded.

    Returns:
        `Splits`.

    Raises:
        ValueError: an unknown name, data that is not there, images or labels that do not fit; in one line.
    """
    if side is not None and (not isinstance(side, int) or side < _SMALLEST):
        raise ValueError(f"side should be an integer of at least {_SMALLEST} pixels, or None. "
                         f"Received: side={side!r}")
    source = _read(str(name), side, data_dir)
    train, test = source.train, source.test
    if test is None:
        first, second = stratified(train[1], 0.8, seed=0)
        test = [array[second] for array in train]
        train = [array[first] for array in train]
    arrays = {split: (_resized(_checked(images, split), side), labels.astype(np.int32))
              for split, (images, labels) in (("train", train), ("test", test))}
    mean, std = _PUBLISHED.get(str(name)) or _statistics(arrays["train"][0])
    return Splits(arrays, tuple(source.class_names), mean, std, source.flip)


def _read(name, side, data_dir):
    if name in ("cifar10", "cifar100"):
        return _cifar(name, data_dir)
    if data_dir is not None:
        raise ValueError("data_dir is for cifar10 and cifar100 only. "
                         f"Received: name={name}, data_dir={data_dir}")
    if name == "digits":
        return _digits(side)
    if Path(name).is_dir():
        return read_folder(Path(name))
    if Path(name).is_file() and name.lower().endswith(".npz"):
        return read_npz(Path(name))
    raise ValueError("Unknown data set. Known: digits, cifar10, cifar100, a folder or .npz that exists. "
                     f"Received: {name!r}")


def _digits(side):
    if side not in (None, *_DIGITS_SIDES):
        raise ValueError(f"digits come with side {', '.join(map(str, _DIGITS_SIDES))}. Received: side={side}")
    from sklearn.datasets import load_digits
    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    # A mirrored digit is another one, or none.
    return Source((images, digits.target), None, [str(name) for name in digits.target_names], flip=False)


def _cifar(name, data_dir):
    root = Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    # Looked up here: tensorflow-datasets asks the network about a data set before it looks for its files.
    found = [*root.glob("dataset_info.json"), *sorted(root.glob(f"{name}/*/dataset_info.json"))]
    if not found:
        raise ValueError(
            f"{name} is not prepared in {root}. Either let tensorflow-datasets download it: python -c "
            f"\"import tensorflow_datasets as tfds; tfds.builder('{name}', data_dir='{root}')"
            f".download_and_prepare()\", or point data_dir at a directory that holds {name}/VERSION/"
            f"dataset_info.json. Received: data_dir={data_dir}")
    import tensorflow_datasets as tfds
    builder = tfds.builder_from_directory(found[-1].parent)
    if builder.name != name:
        raise ValueError(f"{root} holds {builder.name}, not {name}. Received: data_dir={data_dir}")
    try:
        splits = [builder.as_dataset(split=split, batch_size=-1) for split in ("train", "test")]
    except (tf.errors.OpError, OSError, ValueError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"The prepared {name} in {builder.data_path} is not readable: {reason}") from None
    train, test = ([split[key].numpy() for key in ("image", "label")] for split in splits)
    return Source(train, test, builder.info.features["label"].names)


def _checked(images, split):
    """Images, if they are square and large enough; (N, H, W, C)."""
    height, width = images.shape[1:3]
    if height != width or height < _SMALLEST:
        raise ValueError(f"Images should be square, at least {_SMALLEST}x{_SMALLEST} pixels. "
                         f"Received: {split} images of {height}x{width}")
    return images


def _resized(images, side):
    """uint8 images (N, S, S, C) to (N, side, side, C), bilinear, with averaging where they shrink."""
    if side in (None, images.shape[1]):
        return images
    out = np.empty((len(images), side, side, images.shape[-1]), np.uint8)
    for start in range(0, len(images), 1000):
        part = tf.image.resize(images[start:start + 1000], (side, side), antialias=True)
        out[start:start + 1000] = tf.saturate_cast(tf.round(part), tf.uint8)
    return out


def _statistics(images):
    """Mean and standard deviation of each channel, of pixels scaled to [0, 1]; from counts of the values."""
    values = np.arange(256) / 255
    counts = [np.bincount(channel.ravel(), minlength=256) for channel in np.moveaxis(images, -1, 0)]
    mean = [np.average(values, weights=count) for count in counts]
    variance = [np.average(values ** 2, weights=count) for count in counts] - np.square(mean)
    std = np.sqrt(np.where(variance > 1e-12, variance, 1))  # 1: a channel of one value
    return tuple(map(float, mean)), tuple(map(float, std))
