"""Batches as models take them: (images, labels) or (images, labels, sample_weight)."""

import contextlib
import re

import keras

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    _SHAPE_ERROR = tf.errors.InvalidArgumentError
else:
    _SHAPE_ERROR = ()


def with_images(batch, input_shape: tuple[int, int, int]):
    """The batch, its images (B, H, W, C) of the static shape (B, *input_shape).

    tf.data forgets the sides of decoded images, (None, None, None, C), and layers read them from shapes.

    Args:
        batch: (x, y), (x, y, sample_weight), (x,) or x.
        input_shape: (H, W, C) of the model.

    Raises:
        ValueError: as `check_batch`.
    """
    check_batch(batch, input_shape)
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    x = keras.tree.map_structure(lambda images: _of_shape(images, tuple(input_shape)), x)
    return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)


def check_batch(batch, input_shape: tuple[int, int, int]):
    """Raises ValueError for a pair of batches, and for images of other sides or channels, naming both shapes.

    batch: as `with_images`, of tensors, arrays or their specifications.
    """
    x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
    if _is_nested(x) and _is_nested(y):
        raise ValueError(
            f"Batches (x, y) of images and labels are wanted here, not pairs of batches. Received: {describe(batch)}"
        )
    for images in keras.tree.flatten(x):
        if not tf.TensorShape(_shape(images, input_shape)).is_compatible_with((None, *input_shape)):
            raise wrong_images(input_shape, images.shape)


def _is_nested(part):
    return isinstance(part, tuple | list) and len(part) in (2, 3) and hasattr(part[0], "shape")


def _shape(images, input_shape):
    """Of (B, H, W) with the channel that Keras adds where the model has one; None where there is none to see."""
    shape = tf.TensorShape(getattr(images, "shape", None))
    return [*shape, 1] if shape.rank == 3 and input_shape[-1] == 1 else shape


def _of_shape(images, input_shape):
    if not hasattr(images, "shape"):
        return images  # a list of numbers
    images = images[..., None] if len(images.shape) == 3 else images
    return images if None not in images.shape[1:] else tf.ensure_shape(images, (None, *input_shape))


@contextlib.contextmanager
def wrong_sizes(input_shape: tuple[int, int, int]):
    """Inside, images of wrong sides that TensorFlow saw when they came are the error of `check_batch`, too."""
    try:
        yield
    except _SHAPE_ERROR as error:
        found = re.search(r"Shape of tensor \S* \[([\d,]+)\] is not compatible with expected shape", str(error))
        if found is None:
            raise
        raise wrong_images(input_shape, map(int, found[1].split(","))) from None


def wrong_images(input_shape, shape) -> ValueError:
    """The error for images of a shape, of any form, that names both shapes."""
    sides = ", ".join(map(str, input_shape))
    return ValueError(f"The model takes images of (B, {sides}). Received: images of {tuple(shape)}")


def describe(batch) -> str:
    """The structure of a batch and the shapes in it, for messages."""
    if isinstance(batch, tuple | list):
        return f"({', '.join(describe(part) for part in batch)})"
    return f"{type(batch).__name__} of shape {tuple(getattr(batch, 'shape', ()))}"
