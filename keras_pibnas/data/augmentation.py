"""Augmentation as DARTS was published with it, for whole batches at once.

Order: zeros around the raw pixels and a random crop, a horizontal flip, normalization, cutout
(arXiv:1708.04552). Everything random comes in as numbers (`draws`), so an image's augmentation is a function
of what the caller drew for it.
"""

from dataclasses import dataclass

import tensorflow as tf

# Columns of `draws`, each uniform in [0, 1): crop row, crop column, flip, cutout row, cutout column.
DRAWS = 5


@dataclass(frozen=True)
class Augmentation:
    """What happens to a batch of raw images.

    Args:
        mean, std: per channel, of pixels scaled to [0, 1].
        pad: pixels of zeros on each side before a random crop to the old size; 0: no crop.
        flip: mirrors half of the images.
        cutout: side in pixels of a square that is set to 0 after normalization; 0: none.
    """

    mean: tuple
    std: tuple
    pad: int = 0
    flip: bool = False
    cutout: int = 0

    @property
    def random(self):
        """Whether anything depends on the draws."""
        return bool(self.pad or self.flip or self.cutout)

    def __call__(self, images, draws):
        """uint8 images (B, H, W, C) and draws (B, 5) to float32 images (B, H, W, C)."""
        if self.pad or self.flip:
            images = crop_and_flip(images, draws[:, :3], self.pad, self.flip)
        images = normalize(images, self.mean, self.std)
        return cut_out(images, draws[:, 3:], self.cutout) if self.cutout else images


def crop_and_flip(images, draws, pad, flip):
    """Crops images (B, H, W, C) out of their zero-padded selves; draws (B, 3): row, column, flip.

    A flip only turns the columns around, so it costs nothing beside the crop.
    """
    height, width = images.shape[1:3]
    top, left = tf.unstack(_integers(draws[:, :2], 2 * pad + 1), axis=1)
    columns = left[:, None] + tf.range(width)
    if flip:
        columns = tf.where(draws[:, 2:] < 0.5, tf.reverse(columns, [1]), columns)
    images = tf.pad(images, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
    images = tf.gather(images, top[:, None] + tf.range(height), axis=1, batch_dims=1)
    return tf.gather(images, columns, axis=2, batch_dims=1)


def normalize(images, mean, std):
    """uint8 images (..., C) to float32: scaled to [0, 1], minus the mean, by the standard deviation."""
    scale = tf.constant([1 / (255 * s) for s in std], tf.float32)
    shift = tf.constant([-m / s for m, s in zip(mean, std, strict=True)], tf.float32)
    return tf.cast(images, tf.float32) * scale + shift


def cut_out(images, draws, length):
    """Zeroes a square of every image (B, H, W, C), centred anywhere, clipped at the borders; draws (B, 2)."""
    height, width = images.shape[1:3]
    rows = _in_square(draws[:, 0], height, length)
    columns = _in_square(draws[:, 1], width, length)
    return tf.where((rows[:, :, None] & columns[:, None, :])[..., None], 0.0, images)


def _in_square(draws, size, length):
    """(B, size) booleans: which positions of an axis the square covers."""
    start = _integers(draws, size)[:, None] - length // 2
    position = tf.range(size)
    return (position >= start) & (position < start + length)


def _integers(draws, bound):
    """Uniform draws in [0, 1) as integers in [0, bound)."""
    return tf.cast(draws * bound, tf.int32)
