"""Small data sets in the formats of real ones."""

import zlib

import numpy as np
from PIL import Image


def picture(path, height=8, width=8, value=None):
    """Writes a random image, or one of a constant value, and returns its pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(zlib.crc32(path.name.encode())).integers(0, 256, (height, width, 3), np.uint8)
    if value is not None:
        pixels[:] = value
    Image.fromarray(pixels).save(path)
    return pixels


def classes(root, count=6, names=("cat", "dog"), suffix=".png", **arguments):
    """A folder of classes, each image with a name of its own."""
    for name in names:
        for index in range(count):
            picture(root / name / f"{name}{index}{suffix}", **arguments)
    return root


def all_images(splits):
    return np.concatenate([np.asarray(splits.arrays[name][0]) for name in ("train", "test")])
