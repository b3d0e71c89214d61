"""Augmentation of whole batches at once: as DARTS was published with it, and by Keras layers or callables.

Order: zeros around the raw pixels and a random crop, a horizontal flip, layers, normalization, cutout
(arXiv:1708.04552). Everything random comes in as numbers (`draws`, `key`), so an image's augmentation is a function of
what the caller drew for it.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import keras
import tensorflow as tf

# Columns of `draws`, each uniform in [0, 1): crop row, crop column, flip, cutout row, cutout column.
DRAWS = 5


@dataclass(frozen=True)
class Augmentation:
    """The augmentation of a batch of raw images.

    Args:
        mean, std: per channel, of pixels scaled to [0, 1].
        pad: pixels of zeros on each side before a random crop to the old size, one number or (rows, columns); 0: no
            crop.
        flip: mirrors half of the images.
        cutout: side in pixels of a square that is set to 0 after normalization; 0: none.
        layers: called as `layer(images, key)`, one after the other, see `as_layer`.
    """

    mean: tuple
    std: tuple
    pad: int | tuple[int, int] = 0
    flip: bool = False
    cutout: int = 0
    layers: tuple[Callable, ...] = ()

    @property
    def random(self) -> bool:
        """Whether anything depends on the draws."""
        return bool(any(self.border) or self.flip or self.cutout)

    @property
    def border(self) -> tuple[int, int]:
        """(rows, columns) of zeros on each side."""
        return self.pad if isinstance(self.pad, tuple) else (self.pad, self.pad)

    def __call__(self, images, draws, key=None):
        """uint8 images (B, H, W, C), draws (B, 5) and, for layers, key (2,) int32 to float32 images (B, H, W, C)."""
        if any(self.border) or self.flip:
            images = crop_and_flip(images, draws[:, :3], self.pad, self.flip)
        for number, layer in enumerate(self.layers):
            images = layer(tf.cast(images, tf.float32), key + number)
        images = normalize(images, self.mean, self.std)
        return cut_out(images, draws[:, 3:], self.cutout) if self.cutout else images


def crop_and_flip(images, draws, pad, flip):
    """Crops images (B, H, W, C) out of their zero-padded selves; draws (B, 3): row, column, flip.

    A flip only turns the columns around, so it costs nothing beside the crop. `pad` is one number or (rows, columns).
    """
    height, width = images.shape[1:3]
    rows, sides = pad if isinstance(pad, tuple) else (pad, pad)
    top, left = _integers(draws[:, 0], 2 * rows + 1), _integers(draws[:, 1], 2 * sides + 1)
    columns = left[:, None] + tf.range(width)
    if flip:
        columns = tf.where(draws[:, 2:] < 0.5, tf.reverse(columns, [1]), columns)
    images = tf.pad(images, [[0, 0], [rows, rows], [sides, sides], [0, 0]])
    images = tf.gather(images, top[:, None] + tf.range(height), axis=1, batch_dims=1)
    return tf.gather(images, columns, axis=2, batch_dims=1)


def normalize(images, mean, std):
    """Raw images (..., C), 0 to 255, to float32: scaled to [0, 1], minus the mean, by the standard deviation."""
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


def as_layer(layer, input_shape: tuple[int, int, int]) -> Callable:
    """A Keras layer or a callable as `Augmentation` calls it: float32 (B, H, W, C), key (2,) -> the same shape.

    Raises:
        ValueError: what cannot be called, or changes the shape of images.
    """
    if not callable(layer):
        raise ValueError(f"augment should be True, False, a Keras layer or a callable. Received: augment={layer!r}")
    if isinstance(layer, keras.layers.Layer):
        call = StatelessLayer(layer)
    elif "seed" in inspect.signature(layer).parameters:
        call = _Seeded(layer)
    else:
        call = _Unseeded(layer)
    found = call(tf.zeros((1, *input_shape)), tf.zeros(2, tf.int32))
    if tuple(found.shape) != (1, *input_shape):
        raise ValueError(
            f"An augmentation should keep images of {tuple(input_shape)}. Received: {tuple(found.shape[1:])} of {layer}"
        )
    return call


@dataclass(frozen=True)
class _Seeded:
    function: Callable

    def __call__(self, images, key):
        return tf.convert_to_tensor(self.function(images, seed=key))


@dataclass(frozen=True)
class _Unseeded:
    function: Callable

    def __call__(self, images, key):
        return tf.convert_to_tensor(self.function(images))


@dataclass(frozen=True, eq=False)
class StatelessLayer:
    """A Keras layer whose random numbers come from a key instead of its own seed, so that they can be repeated.

    The states of all its seed generators are replaced for a call (`keras.StatelessScope`); none of them moves.
    """

    layer: keras.layers.Layer

    @cached_property
    def seeds(self) -> list:
        """Variables of the layer's seed generators."""
        return [variable for variable in self.layer.variables if variable.path.endswith("seed_generator_state")]

    def __call__(self, images, key):
        if not self.layer.built:  # variables cannot be made within the scope
            self.layer.build(images.shape)
        drawn = tf.random.stateless_uniform((len(self.seeds), 2), key, 0, 2**31 - 1, tf.int32)
        states = [(seed, tf.cast(drawn[number], seed.dtype)) for number, seed in enumerate(self.seeds)]
        with keras.StatelessScope(state_mapping=states):
            return tf.convert_to_tensor(self.layer(images, training=True))
