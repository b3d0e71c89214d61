"""Images as they are stored: in memory or on disk until they are needed; their size, and how they get another one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

RESIZES = ("crop", "pad", "stretch")
SMALLEST = 4  # two reductions halve the side twice


@dataclass(frozen=True, eq=False)
class Stored:
    """Images that are read when they are asked for; it is indexed like the uint8 array (N, H, W, C) that it stands for.

    Args:
        read: index of a stored image -> uint8 (H, W, C); called from several threads.
        indices: (N,) integers, which stored images these are, in order.
        image_shape: (H, W, C).
        read_all: () -> uint8 (all stored images, H, W, C), where that is faster than one by one.
    """

    read: Callable[[int], np.ndarray]
    indices: np.ndarray
    image_shape: tuple[int, int, int]
    read_all: Callable[[], np.ndarray] | None = None

    dtype = np.dtype(np.uint8)
    ndim = 4

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, H, W, C)."""
        return (len(self.indices), *self.image_shape)

    @property
    def nbytes(self) -> int:
        """Bytes of memory that all of them take."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, where):
        chosen = self.indices[where]
        return self._read_many(chosen) if np.ndim(chosen) else self.read(int(chosen))

    def __array__(self, dtype=None, copy=None):
        if self.read_all is not None:
            return self.read_all()[self.indices].astype(dtype or self.dtype, copy=False)
        return self._read_many(self.indices).astype(dtype or self.dtype, copy=False)

    def subset(self, where: np.ndarray) -> "Stored":
        """The images at the given places, still unread."""
        return replace(self, indices=self.indices[where])

    def _read_many(self, indices):
        images = np.empty((len(indices), *self.image_shape), np.uint8)
        for place, index in enumerate(indices):
            images[place] = self.read(int(index))
        return images


def subset(images: np.ndarray | Stored, where: np.ndarray) -> np.ndarray | Stored:
    """The images at the given places; stored ones stay unread."""
    return images.subset(where) if isinstance(images, Stored) else images[where]


def gather(images: tf.Tensor | Stored, where: tf.Tensor) -> tf.Tensor:
    """uint8 (B, H, W, C): the images at places (B,), inside a tf.data function; stored ones are read."""
    if not isinstance(images, Stored):
        return tf.gather(images, where)
    batch = tf.numpy_function(images.__getitem__, [where], tf.uint8)
    return tf.ensure_shape(batch, [*where.shape, *images.image_shape])


def parse_side(text: str) -> int | tuple[int, int]:
    """Reads a side as commands take it: "64" is 64, "64x48" is (64, 48): height, width.

    Raises:
        ValueError: anything else.

    Example:
        >>> parse_side("64x48")
        (64, 48)
    """
    parts = text.lower().split("x")
    if not 1 <= len(parts) <= 2 or not all(part.strip().isdecimal() for part in parts):
        raise ValueError(f"side should be pixels as 64, or height x width as 64x48. Received: {text!r}")
    sides = tuple(map(int, parts))
    return sides[0] if len(sides) == 1 else sides


def checked_side(side) -> tuple[int, int] | None:
    """(height, width) of what `load` takes as side; None for None."""
    if side is None:
        return None
    pair = tuple(side) if isinstance(side, Sequence) and not isinstance(side, str) else (side, side)
    if len(pair) != 2 or not all(isinstance(one, int) and one >= SMALLEST for one in pair):
        raise ValueError(
            f"side should be an integer or (height, width), each of at least {SMALLEST} pixels, or None. "
            f"Received: side={side!r}"
        )
    return pair


def check_resize(resize: str | None):
    """Raises ValueError for a way to resize that there is not."""
    if resize not in (None, *RESIZES):
        raise ValueError(f"resize should be one of {', '.join(RESIZES)}, or None. Received: resize={resize!r}")


def fits(size: Sequence[int], target: tuple[int, int] | None, resize: str | None) -> bool:
    """Whether an image of (height, width) is large enough, and not distorted unasked.

    Without `resize`, an image has to have the target's proportions, to within a pixel.
    """
    (height, width), (rows, columns) = size, target or size
    if min(height, width) < SMALLEST:
        return False
    if resize is not None:
        return True
    return height == width if rows == columns else abs(height * columns - width * rows) < max(rows, columns)


def check_size(size: Sequence[int], target: tuple[int, int] | None, resize: str | None, what: str):
    """Raises ValueError where `fits` says no; `what` names the images."""
    if not fits(size, target, resize):
        rows, columns = target or (SMALLEST, SMALLEST)
        wanted = "square" if rows == columns else f"of the proportions {rows}x{columns}"
        raise ValueError(
            f"Images should be {wanted}, at least {SMALLEST}x{SMALLEST} pixels; other proportions need resize='crop', "
            f"'pad' or 'stretch'. Received: {what} of {size[0]}x{size[1]}"
        )


def resized(images: np.ndarray, size: tuple[int, int], resize: str | None = None) -> np.ndarray:
    """uint8 images (N, H, W, C) to (N, *size, C), bilinear, with averaging where they shrink.

    Args:
        resize: "crop" cuts the middle out in the target's proportions; "pad" puts zeros at both sides of the shorter
            direction; "stretch" and None change the proportions.
    """
    if tuple(images.shape[1:3]) == tuple(size):
        return images
    if resize == "crop":
        images = _middle(images, size)
    inner = _fitting(images.shape[1:3], size) if resize == "pad" else size
    out = np.zeros((len(images), *size, images.shape[-1]), np.uint8)
    top, left = ((outer - part) // 2 for outer, part in zip(size, inner, strict=True))
    with tf.device("CPU:0"):  # also where a thread of tf.data calls, GPU or not
        for start in range(0, len(images), 1000):
            part = tf.image.resize(images[start : start + 1000], inner, antialias=True)
            part = tf.saturate_cast(tf.round(part), tf.uint8).numpy()
            out[start : start + 1000, top : top + inner[0], left : left + inner[1]] = part
    return out


def _middle(images, size):
    """The largest part of the images' middle with the proportions of the size."""
    height, width = images.shape[1:3]
    rows = min(height, max(1, round(width * size[0] / size[1])))
    columns = min(width, max(1, round(height * size[1] / size[0])))
    top, left = (height - rows) // 2, (width - columns) // 2
    return images[:, top : top + rows, left : left + columns]


def _fitting(shape, size):
    """The largest (height, width) within the size with the proportions of the shape."""
    scale = min(size[0] / shape[0], size[1] / shape[1])
    return tuple(max(1, round(scale * side)) for side in shape)


def statistics(images: np.ndarray | Stored) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, of pixels scaled to [0, 1]; from counts of the values.

    Of more than 10,000 images that stay on disk, 10,000 are drawn, always the same.
    """
    values, channels = np.arange(256) / 255, images.shape[-1]
    counts = np.zeros((channels, 256), np.int64)
    for part in _portions(images):
        counts += [np.bincount(channel.ravel(), minlength=256) for channel in np.moveaxis(part, -1, 0)]
    mean = [np.average(values, weights=count) for count in counts]
    variance = [np.average(values**2, weights=count) for count in counts] - np.square(mean)
    std = np.sqrt(np.where(variance > 1e-12, variance, 1))  # 1: a channel of one value
    return tuple(map(float, mean)), tuple(map(float, std))


def _portions(images, drawn=10_000, size=250):
    """Arrays of at most `size` images, which together are all, or those drawn."""
    if isinstance(images, Stored) and len(images) > drawn:
        images = images.subset(np.sort(np.random.default_rng(0).choice(len(images), drawn, replace=False)))
    for start in range(0, len(images), size):
        yield images[start : start + size]
