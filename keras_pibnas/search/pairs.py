"""What `Supernet.fit` makes of its arguments: pairs of a training and a validation batch."""

import inspect
import math

import keras
import numpy as np
import tensorflow as tf

from keras_pibnas.search.check import check_pair
from keras_pibnas.training.batches import check_batch, describe

FIT = inspect.signature(keras.Model.fit)


def fit_arguments(model, args, kwargs) -> dict:
    """The arguments of keras.Model.fit by name, with pairs of batches as x.

    Arrays, (x, y) with or without sample weights, are paired here: with others given as y, or with their own last part
    (validation_split), which is then validated on, too, unless there is other validation data.

    Other data is left to the train step, which may be a subclass's own.

    Raises:
        ValueError: arrays that cannot be paired; validation data that are pairs, or of other images.
    """
    given = dict(FIT.bind(model, *args, **kwargs).arguments)
    given.pop("self")
    if _can_be_paired(given):
        given = _paired_arrays(given)
    # Data that is not an array shuffles itself, and Keras warns where asked to.
    given.setdefault("shuffle", hasattr(given.get("x"), "shape"))
    validation = given.get("validation_data")
    if isinstance(validation, tf.data.Dataset | tuple | list):
        check_batch(getattr(validation, "element_spec", validation), model.image_shape)
    if given.get("class_weight") is not None:
        given["x"] = with_class_weight(given["x"], given.pop("class_weight"))
    return given


def _can_be_paired(given):
    """Whether there are arrays, and how to pair them is said."""
    x, split = given.get("x"), given.get("validation_split")
    batch = isinstance(x, tuple | list) and len(x) in (2, 3) and hasattr(x[0], "shape")
    return (batch and isinstance(given.get("y"), tuple | list)) or (split and (batch or hasattr(x, "shape")))


def _paired_arrays(given):
    split, batch_size = given.pop("validation_split", 0.0), given.pop("batch_size", None) or 32
    x, y, weight = given.pop("x"), given.pop("y", None), given.pop("sample_weight", None)
    if isinstance(y, tuple | list) and isinstance(x, tuple | list):
        train, valid = _arrays(x), _arrays(y)
    else:
        train, valid = _split(_arrays(x if isinstance(x, tuple | list) else (x, y, weight)), split)
        given.setdefault("validation_data", valid)
    shuffle = given.pop("shuffle", True)
    pairs = [_batches(arrays, batch_size, shuffle) for arrays in (train, valid)]
    if len(valid[0]) < len(train[0]):
        pairs[1] = pairs[1].repeat()
    given.setdefault("validation_batch_size", batch_size)
    return given | {"x": tf.data.Dataset.zip(tuple(pairs)), "shuffle": False}


def _arrays(arrays):
    """(x, y) or (x, y, sample_weight), of equal lengths, floats in Keras's own width."""
    arrays = [np.asarray(array) for array in arrays if array is not None]
    if len(arrays) < 2 or len({len(array) for array in arrays}) > 1:
        raise ValueError(f"Images and labels of the same number are wanted. Received: {describe(arrays)}")
    wide = keras.backend.floatx()
    return tuple(array.astype(wide) if array.dtype.kind == "f" else array for array in arrays)


def _split(arrays, validation_split):
    """The first and the last part of each, as Keras splits them."""
    count = len(arrays[0])
    place = math.floor(count * (1 - validation_split))
    if not 0 < place < count:
        raise ValueError(
            f"validation_split should leave images on both sides. Received: {validation_split} of {count} images"
        )
    return tuple(array[:place] for array in arrays), tuple(array[place:] for array in arrays)


def _batches(arrays, batch_size, shuffle):
    """tf.data of batches; the images are there once, and rows are drawn."""
    tensors, count = tuple(map(tf.convert_to_tensor, arrays)), len(arrays[0])
    rows = tf.data.Dataset.range(count)
    rows = (rows.shuffle(count) if shuffle else rows).batch(batch_size)
    return rows.map(lambda where: tuple(tf.gather(tensor, where) for tensor in tensors)).prefetch(2)


def with_class_weight(pairs, class_weight: dict):
    """tf.data of pairs whose batches, both of them, have the weights of their classes as sample weights.

    Raises:
        ValueError: other data than tf.data; batches that have sample weights.
    """
    if not isinstance(pairs, tf.data.Dataset):
        raise ValueError(f"class_weight is for tf.data of pairs, or arrays. Received: {type(pairs).__name__}")
    check_pair(pairs.element_spec)
    return pairs.map(lambda train, valid: (weighted(train, class_weight), weighted(valid, class_weight)))


def weighted(batch, class_weight: dict):
    """(x, y, weights): of class y, or of the largest of y (B, classes), the weight in the dictionary, or else 1."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    if sample_weight is not None:
        raise ValueError("Give either class_weight or batches with sample weights. Received: both")
    y = tf.convert_to_tensor(y)
    if y.shape.rank > 1:
        classes = tf.argmax(y, -1, tf.int32) if y.shape[-1] > 1 else tf.cast(tf.round(y[..., 0]), tf.int32)
    else:
        classes = tf.cast(tf.round(y), tf.int32)
    last = max(class_weight)
    table = tf.constant([float(class_weight.get(c, 1.0)) for c in range(last + 1)], keras.backend.floatx())
    weights = tf.gather(table, tf.minimum(classes, last))
    return x, y, tf.where(classes <= last, weights, tf.ones_like(weights))
