"""Fast paths for TensorFlow on a CPU with oneDNN, each equal to the plain form in `primitives` (held by a test).

A convolution is bilinear in input and kernel, so three functions are closed under differentiation: the convolution, its
transpose in the input, and its transpose in the kernel (the filter gradient). `_closed` ties them together, and every
derivative of any order is again one of the three, computed in the form that is fast here:

* oneDNN's depthwise filter gradient is 4 to 10 times slower when the kernel is wider than 3 columns or dilated. So wide
  kernels go in blocks of 3 columns, and dilation 2 turns into no dilation by a change of view, without a copy.
* Everything else is a forward convolution (grouped ones run natively and fast).
"""

import contextlib
import functools

import keras

_TENSORFLOW = keras.backend.backend() == "tensorflow"
if _TENSORFLOW:
    import tensorflow as tf


_PORTABLE = False


@contextlib.contextmanager
def portable():
    """Traces layers for other runtimes inside the block: no fast paths, grouped convolutions as ops that they all have.

    For inference; `interop.export` uses it.
    """
    global _PORTABLE
    before, _PORTABLE = _PORTABLE, True
    try:
        yield
    finally:
        _PORTABLE = before


def is_portable():
    """Whether layers are being traced for other runtimes."""
    return _PORTABLE


def available(x):
    """Whether the fast paths hold for tensor x: TensorFlow, no GPU, oneDNN on, float32 or bfloat16, known side."""
    return (
        _TENSORFLOW
        and not _PORTABLE
        and keras.backend.standardize_dtype(x.dtype) in ("float32", "bfloat16")
        and not isinstance(x, keras.KerasTensor)
        and None not in x.shape[1:]
        and _onednn()
    )


@functools.cache
def _onednn():
    """Asks by trying: without oneDNN the CPU has no filter gradient of a grouped convolution."""
    if tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"):
        return False
    with tf.init_scope():
        x = tf.zeros((1, 2, 2, 4))
        try:
            _filter_gradient(x, x, (1, 1), (1, 1))
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
            return False
        return True


def is_tensorflow(x):
    """Whether x is a tensor that TensorFlow computes with (and no symbolic one)."""
    return _TENSORFLOW and not isinstance(x, keras.KerasTensor)


def max_pool(x):
    """3x3 maximum at stride 1 whose derivatives of all orders read the same pixels.

    TensorFlow's second derivative of max pooling takes another pixel than its first where several are largest, and a
    pooled image, whose neighbours are often equal, is pooled again in every cell.
    """
    index = tf.nn.max_pool_with_argmax(tf.stop_gradient(x), 3, 1, "SAME", include_batch_in_index=True).argmax

    @tf.custom_gradient
    def gather(values, index):
        return tf.gather(tf.reshape(values, (-1,)), index), lambda g: (scatter(g, _here(index)), None)

    @tf.custom_gradient
    def scatter(values, index):
        total = tf.math.unsorted_segment_sum(values, index, tf.size(values, tf.int64))
        return tf.reshape(total, tf.shape(values)), lambda g: (gather(g, _here(index)), None)

    return tf.ensure_shape(gather(x, index), x.shape)


def _here(x):
    """x as a tensor of the function that is being traced.

    The derivative of a custom gradient may be traced in another tf.function than the gradient itself, and reaches only
    what was an operation there.
    """
    return tf.identity(x)


def _closed(forward, transpose, correlate):
    """Three functions of (x, kernel), (gradient, kernel), (x, gradient), each other's derivatives."""

    @tf.custom_gradient
    def convolve(x, kernel):
        return forward(x, kernel), lambda g: (back(g, _here(kernel)), filters(_here(x), g))

    @tf.custom_gradient
    def back(g, kernel):
        return transpose(g, kernel), lambda u: (convolve(u, _here(kernel)), filters(u, _here(g)))

    @tf.custom_gradient
    def filters(x, g):
        return correlate(x, g), lambda u: (back(_here(g), u), convolve(_here(x), u))

    return convolve


def depthwise(x, kernel, strides, dilation):
    """Depthwise convolution with symmetric padding. x (B, H, W, C), kernel (k, k, C, 1)."""
    convolve = _depthwise(kernel.shape[0], strides, dilation, *x.shape[1:3])
    return convolve(x, tf.reshape(kernel, (*kernel.shape[:2], 1, kernel.shape[2])))


@functools.cache
def _depthwise(size, strides, dilation, height, width):
    edge = dilation * (size - 1) // 2

    def forward(x, kernel):
        if strides == 1:  # then "SAME" pads symmetrically
            return tf.nn.conv2d(x, kernel, 1, "SAME", dilations=dilation)
        return tf.nn.conv2d(_pad(x, edge), kernel, strides, "VALID", dilations=dilation)

    def transpose(g, kernel):
        if strides == 1:
            return forward(g, tf.reverse(kernel, (0, 1)))
        sizes = (tf.shape(g)[0], height + 2 * edge, width + 2 * edge, g.shape[-1])
        padded = tf.raw_ops.Conv2DBackpropInput(
            input_sizes=sizes, filter=kernel, out_backprop=g, strides=(1, strides, strides, 1), padding="VALID",
            dilations=(1, dilation, dilation, 1),
        )  # fmt: skip
        return padded[:, edge : edge + height, edge : edge + width]

    def correlate(x, g):
        if dilation == 2 and strides == 1:
            return _dilated_filters(x, g, size)
        return _filters_in_blocks(_pad(x, edge), g, size, strides)

    return _closed(forward, transpose, correlate)


def _pad(x, edge, right=0, bottom=0):
    return tf.pad(x, ((0, 0), (edge, edge + bottom), (edge, edge + right), (0, 0)))


def _filters_in_blocks(x, g, size, strides=1):
    """Filter gradient (size, size, 1, C) of a valid depthwise convolution, at most three columns at a time."""
    if size <= 3:
        return _filter_gradient(x, g, (size, size), (strides, strides))
    reach = (g.shape[2] - 1) * strides
    blocks = []
    for start in range(0, size, 3):
        columns = min(3, size - start)
        part = x[:, :, start : start + reach + columns]
        blocks.append(_filter_gradient(part, g, (size, columns), (strides, strides)))
    return tf.concat(blocks, 1)


def _filter_gradient(x, g, size, strides, inputs=1):
    return tf.raw_ops.Conv2DBackpropFilter(
        input=x,
        filter_sizes=(*size, inputs, g.shape[-1]),
        out_backprop=g,
        strides=(1, *strides, 1),
        padding="VALID",
    )


def _dilated_filters(x, g, size):
    """Filter gradient at dilation 2. Pairs of columns become channels and pairs of rows stand side by side, which is
    only another shape for the same numbers; there the dilation is gone. The padding keeps the halves apart."""
    edge = size - 1
    height, width, channels = g.shape[1:]
    bottom, right = height % 2, width % 2
    x = _pad(x, edge, right, bottom)
    g = tf.pad(g, ((0, 0), (0, bottom), (0, right + 2 * edge), (0, 0)))
    wide = width + right + 2 * edge
    x = tf.reshape(x, (-1, (height + bottom) // 2 + edge, wide, 2 * channels))
    g = tf.reshape(g, (-1, (height + bottom) // 2, wide, 2 * channels))[:, :, : wide - edge]
    both = _filters_in_blocks(x, g, size)
    return tf.add(*tf.split(both, 2, -1))


def pointwise(x, kernel):
    """Grouped 1x1 convolution. x (B, H, W, G * I), kernel (1, 1, I, G * O)."""
    return tf.nn.conv2d(x, kernel, 1, "VALID")


def bias_add(x, bias):
    """A node that TensorFlow fuses into the convolution before it."""
    return tf.nn.bias_add(x, bias)


def convolution(x, kernel, strides, dilation):
    """Valid convolution, dense or grouped."""
    return tf.nn.conv2d(x, kernel, strides, "VALID", dilations=dilation)


def scaled(x, scale):
    """x * scale as a depthwise 1x1 convolution, into which a following bias can be fused."""
    return pointwise(x, tf.reshape(scale, (1, 1, 1, -1)))


def _inverse_count(x):
    """1 / (B * H * W)."""
    if x.shape[0] is not None:
        return 1.0 / (x.shape[0] * x.shape[1] * x.shape[2])
    return x.shape[-1] / tf.cast(tf.size(x), x.dtype)


def _sum(x):
    """The sum over all pixels, (1, 1, 1, C): a product with ones takes half the time of reduce_sum."""
    rows = tf.reshape(x, (-1, x.shape[-1]))
    ones = tf.ones((tf.shape(rows)[0], 1), x.dtype)
    return tf.reshape(tf.matmul(ones, rows, transpose_a=True), (1, 1, 1, x.shape[-1]))


def moments(x):
    """Mean and variance of x over all but channels, (C,); the squares come as a depthwise filter gradient."""
    return _mean_and_variance(_sum(x), _gram(x, x.shape[-1]), _inverse_count(x))


def moments_after(x, kernel):
    """Mean and variance, (G * O,), of y = pointwise(x, kernel), which is neither computed nor stored.

    E[y] = K'E[x] and E[y_o^2] = sum_i K_io (E[x x'] K)_io. The second moments come as a filter gradient of x with
    itself in the layout (1, 1, i, (g, j)): rows i are the pixels of an image that the same kernel convolves.
    """
    squares = pointwise(_gram(x, x.shape[-1] // kernel.shape[2]), kernel) * kernel
    return _mean_and_variance(pointwise(_sum(x), kernel), tf.reduce_sum(squares, 2), _inverse_count(x))


def _mean_and_variance(total, squares, scale):
    mean = tf.reshape(total, (-1,)) * scale
    variance = tf.reshape(squares, (-1,)) * scale - tf.square(mean)
    return mean, tf.nn.relu(variance)  # rounding may leave a constant channel a little below zero


def _gram(x, groups):
    size = x.shape[-1] // groups

    @tf.custom_gradient
    def products(x):
        return _filter_gradient(x, x, (1, 1), (1, 1), size), lambda u: pointwise(_here(x), u + transposed(u))

    def transposed(u):
        blocks = tf.transpose(tf.reshape(u, (size, groups, size)), (2, 1, 0))
        return tf.reshape(blocks, (1, 1, size, groups * size))

    return products(x)
