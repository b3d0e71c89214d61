"""Images from files: a folder of images by class, and arrays in an .npz."""

import zipfile
import zlib
from dataclasses import dataclass

import numpy as np

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")


@dataclass(frozen=True, eq=False)
class Source:
    """A data set as it is stored.

    Args:
        train, test: (images, labels), uint8 (N, H, W, C) and integers (N,); test is None where there is none.
        class_names: one a class.
        flip: whether a mirrored image means the same.
    """

    train: tuple
    test: tuple | None
    class_names: list
    flip: bool = True


def read_folder(folder):
    """Reads folder/class/image, or folder/train/class/image and folder/test/...; all in order of names."""
    parts = [folder / "train", folder / "test"]
    if not all(part.is_dir() for part in parts):
        parts = [folder]
    names = _classes(parts[0])
    if extra := set(_classes(parts[-1])) - set(names):
        raise ValueError(f"{parts[-1]} should hold classes of train only: {', '.join(names)}. "
                         f"Received: {', '.join(sorted(extra))}")
    files = [[(path, label) for label, name in enumerate(names) for path in _images_in(part / name)]
             for part in parts]
    images = _read_images([path for part in files for path, _ in part])
    labels = np.array([label for part in files for _, label in part])
    count = len(files[0])
    test = (images[count:], labels[count:]) if len(parts) == 2 else None
    return Source((images[:count], labels[:count]), test, names)


def _classes(folder):
    """Names of the folders in a folder, each of which holds images."""
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(names) < 2:
        raise ValueError(f"{folder} should hold a folder of images for each class, at least two, or train/ "
                         f"and test/ that do. Received: {', '.join(names) or 'no folder'}")
    for name in names:
        if not _images_in(folder / name):
            raise ValueError(f"{folder / name} holds no image. Known: {', '.join(_SUFFIXES)}")
    return names


def _images_in(folder):
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir()
                  if path.suffix.lower() in _SUFFIXES and not path.name.startswith("."))


def _read_images(paths):
    """uint8 (N, H, W, C): one channel if all images are grey, else three."""
    arrays = [_read_image(path) for path in paths]
    for path, array in zip(paths, arrays, strict=True):
        if array.shape[:2] != arrays[0].shape[:2]:
            (height, width), (other_height, other_width) = arrays[0].shape[:2], array.shape[:2]
            raise ValueError(f"Images should all have one size. Received: {paths[0]} of {height}x{width}, "
                             f"{path} of {other_height}x{other_width}")
    channels = max(array.shape[-1] for array in arrays)
    return np.stack([np.broadcast_to(array, (*array.shape[:2], channels)) for array in arrays])


def _read_image(path):
    """uint8 (H, W, 1) of a grey image, (H, W, 3) of another; a transparent one loses its transparency."""
    from PIL import Image
    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):
                raise ValueError(f"{image.mode}: more than 8 bits a channel")
            if "transparency" in image.info:
                image = image.convert("RGBA")
            image = image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")
            return np.asarray(image).reshape(image.height, image.width, -1)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"The image {path} is not readable: {error}") from None


def read_npz(path):
    """Reads x_train, y_train, x_test, y_test, or x, y; and class_names."""
    arrays = _arrays(path)
    keys = [("x_train", "y_train"), ("x_test", "y_test")] if "x_train" in arrays else [("x", "y")]
    if missing := [key for pair in keys for key in pair if key not in arrays]:
        raise ValueError(f"{path} should hold x_train, y_train, x_test, y_test, or x, y; missing: "
                         f"{', '.join(missing)}. Received: {', '.join(arrays) or 'no array'}")
    parts = [(_images(path, x, arrays[x]), _labels(path, y, arrays[y])) for x, y in keys]
    for (x, y), (images, labels) in zip(keys, parts, strict=True):
        if len(images) != len(labels) or not len(labels):
            raise ValueError(f"{path}: {x} and {y} should be as many, and not empty. "
                             f"Received: {len(images)} images, {len(labels)} labels")
        if images.shape[1:] != parts[0][0].shape[1:]:
            raise ValueError(f"{path}: images should all have one shape. "
                             f"Received: {parts[0][0].shape[1:]} in train, {images.shape[1:]} in test")
    names = _class_names(path, arrays.get("class_names"), parts[0][1])
    for (_, y), (_, labels) in zip(keys, parts, strict=True):
        if labels.max() >= len(names):
            raise ValueError(f"{path}: labels in {y} should be below the number of classes, {len(names)}. "
                             f"Received: {labels.max()}")
    return Source(parts[0], parts[1] if len(parts) == 2 else None, names)


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
        raise ValueError(f"{path}: {key} should hold integers 0 to 255 or floats 0 to 1. "
                         f"Received: {images.dtype}, {found}")
    images = images if images.ndim == 4 else images[..., None]
    return np.round(images * (255 / top)).astype(np.uint8) if top == 1 else images.astype(np.uint8)


def _labels(path, key, labels):
    """Integers (N,) of what stands for labels; (N, 1) will do."""
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"{path}: {key} should hold one integer an image, shape (N,). "
                         f"Received: {labels.dtype} of shape {labels.shape}")
    if labels.size and labels.min() < 0:
        raise ValueError(f"{path}: labels in {key} should start at 0. Received: {labels.min()}")
    return labels


def _class_names(path, names, labels):
    """The given names, or one number a class of the training labels."""
    if names is not None:
        return [str(name) for name in np.atleast_1d(names)]
    count = int(labels.max()) + 1
    if not 2 <= count <= len(labels):
        raise ValueError(f"{path}: labels should name at least two classes, and no more than images. "
                         f"Received: largest label {labels.max()}, {len(labels)} images")
    return [str(number) for number in range(count)]
