"""Data sets by name: the digits of scikit-learn, CIFAR and what else is prepared, a folder of images, an .npz file."""

import os
from pathlib import Path

import numpy as np

from .arrays import read_npz
from .folders import read_folder
from .images import Stored, check_resize, check_size, checked_side, resized, statistics, subset
from .prepared import directory, newest, read_prepared
from .source import Source, check_task
from .splits import Splits
from .stratify import stratified

_DIGITS_SIDES = (32, 16, 8)
_CIFAR = ("cifar10", "cifar100")
# Mean and standard deviation as published with DARTS and PIBConv; others are those of the training split.
_PUBLISHED = {
    "cifar10": ((0.49139968, 0.48215827, 0.44653124), (0.24703233, 0.24348505, 0.26158768)),
    "imagenet2012": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


def load(
    name: str | Path,
    side: int | tuple[int, int] | None = 32,
    data_dir: str | Path | None = None,
    resize: str | None = None,
    task: str = "multiclass",
    stream: bool | None = None,
) -> Splits:
    """Loads a data set.

    Args:
        name: "digits" (1797 handwritten digits of 8x8 pixels, from scikit-learn), "cifar10", "cifar100", another data
            set of images and classes that tensorflow-datasets has prepared ("imagenet2012"), a folder of images, or
            an .npz file; `~` is the home directory. A folder holds a folder for each class, or train/ and test/ that
            do; images may lie deeper. An .npz holds x_train, y_train, x_test, y_test or x, y, and class_names if it
            likes: images (N, H, W) or (N, H, W, C) of any number of channels, integers 0 to 255 or floats 0 to 1, and
            integer labels from 0. Where there is no test split, a stratified fifth becomes it, always the same.
        side: pixels, or (height, width); images of other sizes and the same proportions are resized to it (bilinear),
            None keeps their own. Digits come at 32, 16 and 8.
        data_dir: where tensorflow-datasets prepared the data, or the prepared directory itself; if not given,
            TFDS_DATA_DIR or ~/tensorflow_datasets. Nothing is downloaded.
        resize: what images of other proportions than `side` get: "crop" (their middle), "pad" (zeros at both sides)
            or "stretch". None: they are refused.
        task: "multiclass"; or "multilabel" (labels 0 or 1) and "regression" (any numbers), several an image: y of
            shape (N, labels) in an .npz, where class_names names the labels, or a folder with labels.csv in it or
            beside it: the file, relative to the folder, then one column a label, named in the first row.
        stream: whether images of a folder or of prepared data stay on disk, and are read for each batch. None: where
            they would take more than half of the machine's memory. Either way the batches are the same; normalization
            is that of the whole training split, or of 10,000 images of a streamed one that is larger.

    Returns:
        `Splits`.

    Raises:
        ValueError: an unknown name, data that is not there, images or labels that do not fit; in one line.

    Example:
        >>> load("digits", side=8).input_shape
        (8, 8, 1)
    """
    size = checked_side(side)
    check_resize(resize)
    check_task(task)
    if resize and size is None:
        raise ValueError(f"resize needs a side. Received: resize={resize!r}, side=None")
    source = _read(str(name), size, data_dir, resize, task)
    train, test = source.train, source.test
    if stream and not isinstance(train[0], Stored):
        raise ValueError(f"stream=True is for folders and prepared data. Received: {name}, which is read as a whole")
    if test is None:
        first, second = stratified(train[1], 0.8, seed=0, task=task)
        test = [subset(train[0], second), train[1][second]]
        train = [subset(train[0], first), train[1][first]]
    streamed = _is_large(train[0], test[0]) if stream is None else stream
    dtype = np.int32 if task == "multiclass" else np.float32
    arrays = {
        split: (_sized(images, size, resize, split, streamed), labels.astype(dtype))
        for split, (images, labels) in (("train", train), ("test", test))
    }
    mean, std = _PUBLISHED.get(str(name)) or statistics(arrays["train"][0])
    return Splits(arrays, tuple(source.class_names), mean, std, source.flip, task)


def _read(name, size, data_dir, resize, task):
    path = Path(name).expanduser()
    is_npz = path.is_file() and name.lower().endswith(".npz")
    elsewhere = name == "digits" or (name not in _CIFAR and (path.is_dir() or is_npz))
    if data_dir is not None and elsewhere:
        raise ValueError(
            f"data_dir is for cifar10 and cifar100 only, and other data that tensorflow-datasets prepared. "
            f"Received: name={name}, data_dir={data_dir}"
        )
    if not elsewhere and (name in _CIFAR or data_dir is not None or newest(name, directory(None))):
        _refuse_task(name, task)
        return read_prepared(name, data_dir, size, resize)
    if name == "digits":
        _refuse_task(name, task)
        return _digits(size)
    if path.is_dir():
        return read_folder(path, size, resize, task)
    if is_npz:
        return read_npz(path, task)
    raise ValueError(
        "Unknown data set. Known: digits, cifar10, cifar100, a folder or .npz that exists, and what "
        f"tensorflow-datasets has prepared. Received: {name!r}"
    )


def _refuse_task(name, task):
    if task != "multiclass":
        raise ValueError(f"{name} has classes: task='multiclass'. Received: task={task!r}")


def _digits(size):
    if size is not None and (size[0] != size[1] or size[0] not in _DIGITS_SIDES):
        side = size[0] if size[0] == size[1] else size
        raise ValueError(f"digits come with side {', '.join(map(str, _DIGITS_SIDES))}. Received: side={side}")
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    # A mirrored digit is another one, or none.
    return Source((images, digits.target), None, [str(name) for name in digits.target_names], flip=False)


def _sized(images, size, resize, split, streamed):
    """Images of the size, in memory unless they are streamed."""
    if isinstance(images, Stored):
        return images if streamed else np.asarray(images)
    check_size(images.shape[1:3], size, resize, f"{split} images")
    return images if size is None else resized(images, size, resize)


def _is_large(*parts):
    """Whether stored images would take more than half of the memory."""
    return sum(images.nbytes for images in parts if isinstance(images, Stored)) > _memory() / 2


def _memory():
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
