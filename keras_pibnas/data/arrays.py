"""Images and labels from the arrays of an .npz."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from .source import Source, check_values


def read_npz(path: Path, task: str = "multiclass") -> Source:
    """Reads x_train, y_train, x_test, y_test, or x, y; and class_names.

    Raises:
        ValueError: arrays that are missing, or do not fit each other or the task.
    """
    arrays = _arrays(path)
    keys = [("x_train", "y_train"), ("x_test", "y_test")] if "x_train" in arrays else [("x", "y")]
    if missing := [key for pair in keys for key in pair if key not in arrays]:
        raise ValueError(
            f"{path} should hold x_train, y_train, x_test, y_test, or x, y; missing: "
            f"{', '.join(missing)}. Received: {', '.join(arrays) or 'no array'}"
        )
    parts = [(_images(path, x, arrays[x]), _labels(path, y, arrays[y], task)) for x, y in keys]
    for (x, y), (images, labels) in zip(keys, parts, strict=True):
        if len(images) != len(labels) or not len(labels):
            raise ValueError(
                f"{path}: {x} and {y} should be as many, and not empty. "
                f"Received: {len(images)} images, {len(labels)} labels"
            )
        if images.shape[1:] != parts[0][0].shape[1:]:
            raise ValueError(
                f"{path}: images should all have one shape. "
                f"Received: {parts[0][0].shape[1:]} in train, {images.shape[1:]} in test"
            )
    labels = {y: labels for (_, y), (_, labels) in zip(keys, parts, strict=True)}
    names = _names(path, arrays.get("class_names"), labels, task)
    return Source(parts[0], parts[1] if len(parts) == 2 else None, names)


def _names(path, names, labels, task):
    """Names of the classes or labels, after a look whether the labels of all parts fit them."""
    first = next(iter(labels.values()))
    if task != "multiclass":
        return _label_names(path, names, labels)
    names = _class_names(path, names, first)
    for key, part in labels.items():
        if part.max() >= len(names):
            raise ValueError(
                f"{path}: labels in {key} should be below the number of classes, {len(names)}. Received: {part.max()}"
            )
    return names


def _label_names(path, names, labels):
    """The given names, or one number a label."""
    names = None if names is None else [str(name) for name in np.atleast_1d(names)]
    count = next(iter(labels.values())).shape[1] if names is None else len(names)
    for key, part in labels.items():
        if part.shape[1] != count:
            raise ValueError(f"{path}: {key} should have {count} labels an image. Received: {part.shape[1]}")
    return names or [str(number) for number in range(count)]


def _arrays(path):
    try:
        with path.open("rb") as content, np.load(content, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} is not a readable .npz of plain arrays: {error}") from None


def _images(path, key, images):
    """uint8 (N, H, W, C) of what stands for images."""
    if images.ndim not in (3, 4):
        raise ValueError(f"{path}: {key} should be of shape (N, H, W[, C]). Received: {images.shape}")
    top = 1 if np.issubdtype(images.dtype, np.floating) else 255
    number = np.issubdtype(images.dtype, np.number) and not np.issubdtype(images.dtype, np.complexfloating)
    if not number or not (images.size and images.min() >= 0 and images.max() <= top):
        found = f"{images.min()} to {images.max()}" if number and images.size else "no number"
        raise ValueError(
            f"{path}: {key} should hold integers 0 to 255 or floats 0 to 1. Received: {images.dtype}, {found}"
        )
    images = images if images.ndim == 4 else images[..., None]
    return np.round(images * (255 / top)).astype(np.uint8) if top == 1 else images.astype(np.uint8)


def _labels(path, key, labels, task):
    """Integers (N,) of what stands for labels, where (N, 1) will do; for other tasks float32 (N, labels)."""
    if task != "multiclass":
        labels = labels[:, None] if labels.ndim == 1 else labels
        return check_values(f"{path}: {key}", labels, task)
    table = labels.ndim == 2 and labels.shape[1] > 1
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        hint = "; several labels an image are of task='multilabel' or 'regression'" if table else ""
        raise ValueError(
            f"{path}: {key} should hold one integer an image, shape (N,){hint}. "
            f"Received: {labels.dtype} of shape {labels.shape}"
        )
    if labels.size and labels.min() < 0:
        raise ValueError(f"{path}: labels in {key} should start at 0. Received: {labels.min()}")
    return labels


def _class_names(path, names, labels):
    """The given names, or one number a class of the training labels."""
    if names is not None:
        return [str(name) for name in np.atleast_1d(names)]
    count = int(labels.max()) + 1
    if not 2 <= count <= len(labels):
        raise ValueError(
            f"{path}: labels should name at least two classes, and no more than images. "
            f"Received: largest label {labels.max()}, {len(labels)} images"
        )
    return [str(number) for number in range(count)]
