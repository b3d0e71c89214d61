"""The shape of the images that a tf.data dataset gives, said by the model that takes them."""

import tensorflow as tf


def with_shape(dataset: tf.data.Dataset, input_shape: tuple[int, int, int]) -> tf.data.Dataset:
    """The dataset, with images of the static shape (B, *input_shape) where their sides were not known before.

    tf.data forgets the sides of decoded images, (None, None, None, C), and a model then cannot be built. What
    `keras_pibnas.data` hangs on a dataset, `position` and `recipe`, stays on it.

    Args:
        dataset: of (x, y), (x, y, sample_weight) or pairs of them, ((x, y), (x_valid, y_valid)), batched.
        input_shape: (H, W, C) of the model.

    Raises:
        ValueError: images that have another number of dimensions, or other sides or channels.

    Example:
        >>> dataset = tf.data.Dataset.from_tensors((tf.zeros((2, 8, 8, 3)), [0, 1]))
        >>> with_shape(dataset, (8, 8, 3)).element_spec[0].shape
        TensorShape([2, 8, 8, 3])
    """
    spec = dataset.element_spec
    pairs = isinstance(spec, tuple) and all(isinstance(part, tuple) for part in spec)
    specs = spec if pairs else (spec,)
    images = [part[0] if isinstance(part, tuple) else part for part in specs]
    for one in images:
        check_images(one, input_shape)
    if all(one.shape[1:].is_fully_defined() for one in images):
        return dataset
    shaped = dataset.map(lambda *parts: _shaped(parts if pairs else (parts,), input_shape, pairs))
    for name in ("position", "recipe"):
        if hasattr(dataset, name):
            setattr(shaped, name, getattr(dataset, name))
    return shaped


def check_images(spec: tf.TensorSpec, input_shape: tuple[int, int, int]) -> None:
    """Raises ValueError where images of a specification cannot be of shape (B, *input_shape), naming both shapes.

    Example:
        >>> kp.data.check_images(tf.TensorSpec((None, 8, 8, 3)), (8, 8, 3))
    """
    shape = getattr(spec, "shape", None)
    if shape is None or not shape.is_compatible_with((None, *input_shape)):
        raise ValueError(
            f"The model takes images of (B, {', '.join(map(str, input_shape))}). "
            f"Received: images of {tuple(shape) if shape is not None and shape.rank is not None else spec}"
        )


def _shaped(parts, input_shape, pairs):
    """The parts (x, ...) of an element with x of the shape; an InvalidArgumentError at run time where it is not."""
    found = tuple((tf.ensure_shape(x, (None, *input_shape)), *rest) for x, *rest in parts)
    if pairs:
        return found
    return found[0] if len(found[0]) > 1 else found[0][0]
