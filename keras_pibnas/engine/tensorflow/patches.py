"""Sums over the neighbourhood of every pixel with weights that differ from pixel to pixel, and their derivatives."""

import functools

import tensorflow as tf

from keras_pibnas.engine.kernels import patches
from keras_pibnas.engine.tensorflow.derivatives import aside, here, with_gradient


def weigh(x, kernels, size, strides, dilation):
    """As `engine.kernels.weigh`."""
    return _tied(size, strides, dilation, *x.shape[1:3])(x, kernels)


@functools.cache
def _tied(size, strides, dilation, height, width):
    """`weigh` is bilinear: it and its transposes in x and in the kernels are each other's derivatives, of all orders.

    So no patches are kept for the derivatives, and they are put back together by padding and one sum: TensorFlow's
    own derivative fills an image with zeros for each of the 2 k slices, which takes ten times as long.
    """

    @with_gradient
    def forward(x, kernels):
        y = tf.matmul(kernels, patches(x, size, strides, dilation))
        return y, lambda g: (to_x(g, here(kernels)), to_kernels(g, here(x)))

    @with_gradient
    def to_x(g, kernels):
        x = _fold(tf.matmul(kernels, g, transpose_a=True), size, strides, dilation, (height, width))
        return x, lambda u: (forward(u, here(kernels)), aside(to_kernels, here(g), u))

    @with_gradient
    def to_kernels(g, x):
        kernels = tf.matmul(g, patches(x, size, strides, dilation), transpose_b=True)
        return kernels, lambda u: (forward(here(x), u), aside(to_x, here(g), u))

    return forward


def _fold(g, size, strides, dilation, sides):
    """The transpose of `patches`: adds every pixel of the patches to where it was taken from."""
    g = tf.reshape(g, (-1, *g.shape[1:3], size**2 * g.shape[-1]))
    for axis, side in zip((1, 2), sides, strict=True):
        g = _add_slices(g, axis, side, size, strides, dilation)
    return g


def _add_slices(g, axis, side, size, strides, dilation):
    reach = dilation * (size - 1)
    parts = [_spread(part, axis, strides) for part in tf.split(g, size, -1)]
    total = tf.add_n([_pad(part, axis, step * dilation, reach - step * dilation) for step, part in enumerate(parts)])
    start = reach // 2  # a spread odd side ends with a zero too many
    return total[:, start : start + side] if axis == 1 else total[:, :, start : start + side]


def _spread(x, axis, strides):
    """Puts zeros after the rows (columns) where the slices skipped some."""
    if strides == 1:
        return x
    shape = [-1, *x.shape[1:]]
    shape[axis] *= strides
    return tf.reshape(tf.stack([x] + [tf.zeros_like(x)] * (strides - 1), axis + 1), shape)


def _pad(x, axis, before, after):
    amounts = [(0, 0)] * 4
    amounts[axis] = (before, after)
    return tf.pad(x, amounts)
