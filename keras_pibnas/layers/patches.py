"""The neighbourhood of every pixel, for ops that weigh it differently at every pixel."""

import functools

import keras
from keras import ops

from keras_pibnas.layers import native
from keras_pibnas.layers.primitives import pad

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf


def patches(x, size, strides=1, dilation=1):
    """(B, H, W, C) -> (B, ceil(H / strides), ceil(W / strides), size^2 * C): the pixels around every pixel, row by row.

    Padding is symmetric, dilation * (size - 1) / 2 zeros on each side. TensorFlow's own derivative of slices fills a
    whole image with zeros for each of them; here the patches are folded back, which takes a tenth of the time.
    """
    if native.is_tensorflow(x):
        return _tied(size, strides, dilation, *x.shape[1:3])(x)
    return _unfold(x, size, strides, dilation)


def _unfold(x, size, strides, dilation):
    """First the columns around a pixel, then the rows of those: 2 * size slices in place of size^2."""
    reach = dilation * (size - 1)
    x = pad(x, reach // 2)
    ends = [(step * dilation, step * dilation - reach or None) for step in range(size)]
    x = ops.concatenate([x[:, :, start:end:strides] for start, end in ends], -1)
    return ops.concatenate([x[:, start:end:strides] for start, end in ends], -1)


@functools.cache
def _tied(size, strides, dilation, height, width):
    """`_unfold` and its transpose, each the other's derivative, so that all orders are fast."""

    @tf.custom_gradient
    def unfold(x):
        return _unfold(x, size, strides, dilation), fold

    @tf.custom_gradient
    def fold(g):
        rows = _fold(g, 1, height, size, strides, dilation)
        return _fold(rows, 2, width, size, strides, dilation), unfold

    return unfold


def _fold(g, axis, side, size, strides, dilation):
    """Adds every slice along an axis back to where it was taken from."""
    reach = dilation * (size - 1)
    parts = [_spread(part, axis, strides) for part in tf.split(g, size, -1)]
    beyond = parts[0].shape[axis] - side  # a spread odd side has a zero too many
    total = tf.add_n(
        [_pad(part, axis, step * dilation, reach - step * dilation) for step, part in enumerate(parts)]
    )
    return _crop(total, axis, reach // 2, reach // 2 + beyond)


def _spread(x, axis, strides):
    """Puts zeros between rows (columns) where the slice skipped them."""
    if strides == 1:
        return x
    shape = [-1, *x.shape[1:]]
    shape[axis] *= strides
    return tf.reshape(tf.stack([x] + [tf.zeros_like(x)] * (strides - 1), axis + 1), shape)


def _pad(x, axis, before, after):
    amounts = [(0, 0)] * 4
    amounts[axis] = (before, after)
    return tf.pad(x, amounts)


def _crop(x, axis, before, after):
    end = x.shape[axis] - after
    return x[:, before:end] if axis == 1 else x[:, :, before:end]
