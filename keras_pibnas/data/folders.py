"""A folder of images: by class, or with a table of labels."""

import csv
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .images import Stored, check_size, fits, resized
from .source import Source, check_values

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
_VALIDATION = ("val", "valid", "validation")
_TABLE = "labels.csv"


def read_folder(
    folder: Path, size: tuple[int, int] | None = None, resize: str | None = None, task: str = "multiclass"
) -> Source:
    """Lists folder/class/image, or folder/train/class/image and folder/test/..., in order of names.

    Images may lie in folders of their class's folder. For the tasks multilabel and regression, labels.csv in the
    folder or beside it names the images instead: the file, relative to the folder, then one column a label.

    Args:
        size: (height, width) that the images get when they are read; None: their own, which is one then.
        resize: see `images.resized`.

    Raises:
        ValueError: no images, images that fit neither each other nor the size, classes or labels that do not fit.
    """
    parts = _parts(folder)
    if task == "multiclass":
        names, listed = _by_class(folder, parts)
    else:
        names, listed = _by_table(folder, parts, task)
    images = _stored([path for paths, _ in listed for path in paths], size, resize)
    count = len(listed[0][0])
    halves = [images.subset(np.arange(count)), images.subset(np.arange(count, len(images)))]
    pairs = [(half, labels) for half, (_, labels) in zip(halves, listed, strict=False)]
    return Source(pairs[0], pairs[1] if len(pairs) == 2 else None, names)


def _parts(folder):
    """[train/, test/] where the folder is divided so, else [the folder]."""
    train, test = folder / "train", folder / "test"
    others = [folder / name for name in _VALIDATION if (folder / name).is_dir()]
    if not train.is_dir() or not (test.is_dir() or others):
        return [folder]
    if not test.is_dir():
        raise ValueError(
            f"{folder} should be divided into train/ and test/; what validates a search is taken out of train/. "
            f"Rename {others[0].name}/ to test/ to report results on it. Received: train/ and {others[0].name}/"
        )
    if others:
        warnings.warn(
            f"{others[0]} is left out: train/ and test/ are read, and what validates a search is taken out of train/. "
            "Move its images to train/ to use them",
            stacklevel=4,
        )
    return [train, test]


def _by_class(folder, parts):
    """(class names, [(paths, integers (N,)) of each part])."""
    names = _classes(parts[0])
    if extra := set(_classes(parts[-1])) - set(names):
        raise ValueError(
            f"{parts[-1]} should hold classes of train only: {', '.join(names)}. Received: {', '.join(sorted(extra))}"
        )
    found = []
    for part in parts:
        files = [(path, label) for label, name in enumerate(names) for path in images_in(part / name)]
        found.append(([path for path, _ in files], np.array([label for _, label in files])))
    return names, found


def _classes(folder):
    """Names of the folders in a folder, each of which holds images."""
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(names) < 2:
        table = (folder / _TABLE).is_file()
        hint = f"; {_TABLE} is read for task='multilabel' and 'regression'" if table else ""
        raise ValueError(
            f"{folder} should hold a folder of images for each class, at least two, or train/ and test/ that do{hint}. "
            f"Received: {', '.join(names) or 'no folder'}"
        )
    for name in names:
        if not images_in(folder / name):
            raise ValueError(f"{folder / name} holds no image. Known: {', '.join(SUFFIXES)}")
    return names


def images_in(folder: Path) -> list[Path]:
    """The images in a folder and in all folders in it, in order of names; what begins with a dot is left out."""
    found = []
    for place, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, name) for name in files if not name.startswith(".")]
    return sorted(path for path in found if path.suffix.lower() in SUFFIXES)


def _by_table(folder, parts, task):
    """(label names, [(paths, float32 (N, labels)) of each part])."""
    own = [part / _TABLE for part in parts]
    if len(parts) == 2 and all(table.is_file() for table in own):
        tables = [_read_table(table, [part], task) for table, part in zip(own, parts, strict=True)]
        if tables[0][0] != tables[1][0]:
            raise ValueError(
                f"{own[1]} should have the columns of train: {', '.join(tables[0][0])}. "
                f"Received: {', '.join(tables[1][0])}"
            )
        return tables[0][0], [rows for _, *rows in tables]
    found = [table for table in (folder / _TABLE, folder.parent / _TABLE) if table.is_file()]
    if not found:
        raise ValueError(
            f"task={task!r} needs {_TABLE} in {folder} or beside it: the file, then one column a label. "
            "Received: no such file"
        )
    names, paths, labels = _read_table(found[0], [folder, found[0].parent], task)
    _say_what_is_left_out(folder, paths, found[0])
    return names, _divided(paths, labels, parts, found[0])


def _divided(paths, labels, parts, table):
    """[(paths, labels)] of each part, by the folder that an image lies in."""
    if len(parts) == 1:
        return [(paths, labels)]
    inside = [np.array([part in path.parents for path in paths]) for part in parts]
    if not (inside[0] | inside[1]).all():
        path = paths[int(np.argmin(inside[0] | inside[1]))]
        raise ValueError(f"{table} should name images in train/ and test/. Received: {path}")
    if not all(one.any() for one in inside):
        raise ValueError(f"{table} should name images of both train/ and test/. Received: {len(paths)} images of one")
    return [([path for path, chosen in zip(paths, one, strict=True) if chosen], labels[one]) for one in inside]


def _read_table(table, roots, task):
    """(label names, paths, float32 (N, labels)) of a table; paths are relative to the first root that has them."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = [row for row in csv.reader(file) if row]
    except (OSError, ValueError, csv.Error) as error:
        raise ValueError(f"{table} is not a readable table: {error}") from None
    names = [name.strip() for name in header[1:]]
    if not names or not rows or len(set(names)) < len(names):
        raise ValueError(
            f"{table} should have a column for the file and one for each label, of different names, and rows. "
            f"Received: {', '.join(header)}; {len(rows)} rows"
        )
    values = np.array([_numbers(table, row, len(names)) for row in rows], np.float64)
    paths = [_located(table, row[0].strip(), roots) for row in rows]
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise ValueError(f"{table} should name every image once. Received: {twice} in several rows")
    return names, paths, check_values(str(table), values, task)


def _numbers(table, row, count):
    try:
        if len(row) == count + 1:
            return [float(value) for value in row[1:]]
    except ValueError:
        pass
    raise ValueError(f"{table}: a row should be a file and {count} numbers. Received: {','.join(row)}")


def _located(table, name, roots):
    for root in roots:
        if (root / name).is_file():
            return root / name
    raise ValueError(f"{table}: the images should be in {roots[0]}. Received: {name!r}, which is not there")


def _say_what_is_left_out(folder, paths, table):
    left = sorted(set(images_in(folder)) - set(paths))
    if left:
        warnings.warn(f"{table} has no row for {len(left)} images, which are left out: {left[0]}, ...", stacklevel=5)


@dataclass(frozen=True)
class Header:
    """What a file says of its image: (height, width), and whether it is grey."""

    size: tuple[int, int]
    grey: bool


def _stored(paths: Sequence[Path], size, resize) -> Stored:
    """The images, still on disk: one channel if all are grey, else three."""
    headers = [_header(path) for path in paths]
    _check_sizes(paths, [header.size for header in headers], size, resize)
    shape = (*(size or headers[0].size), 1 if all(header.grey for header in headers) else 3)

    def read(index):
        image = resized(read_image(paths[index])[None], shape[:2], resize)[0]
        return np.broadcast_to(image, shape)

    return Stored(read, np.arange(len(paths)), shape)


def _check_sizes(paths, sizes, target, resize):
    if len(set(sizes)) == 1:
        return check_size(sizes[0], target, resize, "train images")
    for path, size in zip(paths, sizes, strict=True):
        if resize is not None and target is not None:
            check_size(size, target, resize, str(path))
        elif target is None or not fits(size, target, resize):
            other = next(place for place, one in enumerate(sizes) if one != size)
            first, second = sorted([(other, paths[other], sizes[other]), (paths.index(path), path, size)])
            hint = "a side" if target is None else "resize='crop', 'pad' or 'stretch'"
            raise ValueError(
                f"Without {hint}, images should all have one size. Received: "
                f"{first[1]} of {first[2][0]}x{first[2][1]}, {second[1]} of {second[2][0]}x{second[2][1]}"
            )


def _header(path):
    return _opened(path, lambda image: Header((image.height, image.width), _is_grey(image)))


def _is_grey(image):
    return image.mode in ("1", "L", "LA") and "transparency" not in image.info


def read_image(path: Path) -> np.ndarray:
    """uint8 (H, W, 1) of a grey image, (H, W, 3) of another; a transparent one loses its transparency.

    Raises:
        ValueError: a file that Pillow cannot read, or of more than 8 bits a channel.
    """
    return _opened(path, _pixels)


def _pixels(image):
    grey = _is_grey(image)
    if "transparency" in image.info:
        image = image.convert("RGBA")
    image = image.convert("L" if grey else "RGB")
    return np.asarray(image).reshape(image.height, image.width, -1)


def _opened(path, look):
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):
                raise ValueError(f"{image.mode}: more than 8 bits a channel")
            return look(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"The image {path} is not readable: {error}") from None
