"""Kernels for TensorFlow on a CPU with oneDNN, each equal to the plain form in `engine.kernels` (held by a test).

A convolution is bilinear in input and kernel, so three functions are closed under differentiation: the convolution, its
transpose in the input, and its transpose in the kernel (the filter gradient). `_closed` ties them together, and every
derivative of any order is again one of the three, computed in the form that is fast here: grouped convolutions run
natively, but oneDNN's depthwise filter gradient is ten times slower when the kernel is wider than 3 columns or dilated.

Functions shared by layers call these with other numbers of channels, perhaps at the same time, so all are re-entrant.
TensorFlow's fused batch normalization is not: with oneDNN its node holds the number of channels while it runs, and it
writes out of bounds where two calls overlap (TensorFlow 2.21).
"""

import contextvars
import functools
import warnings

import keras
import numpy as np
import tensorflow as tf

from keras_pibnas import onednn
from keras_pibnas.engine.context import holding
from keras_pibnas.engine.devices import accelerated
from keras_pibnas.engine.replicas import replica_count
from keras_pibnas.engine.tensorflow.derivatives import (
    are_tapes_alone,
    aside,
    here,
    is_for_jvp,
    is_transposing,
    with_gradient,
)
from keras_pibnas.engine.tensorflow.patches import weigh as weigh

# What a side that is unknown is known to be, inside `any_side`: a multiple of one, and at least the other.
MULTIPLE, LEAST = 4, 8
_ANY_SIDE = contextvars.ContextVar("whether sides may be unknown", default=False)


def any_side():
    """Inside, the fast paths hold for images whose sides are unknown, but `for_any_side`."""
    return holding(_ANY_SIDE)


def for_any_side(x, strides):
    """Whether the sides of images x are such that they need not be known, nor those of an op's output."""
    sides = x.shape[1:3]
    return all(n is not None and n % (MULTIPLE * strides) == 0 and n >= LEAST * strides for n in sides)


def available(x):
    """Whether the fast paths hold for tensor x: TensorFlow, no accelerator, oneDNN on for its floats, known side."""
    return (
        keras.backend.standardize_dtype(x.dtype) in ("float32", "bfloat16")
        and not isinstance(x, keras.KerasTensor)
        and (None not in x.shape[1:3] or _ANY_SIDE.get())
        and not accelerated()
        and _onednn(keras.backend.standardize_dtype(x.dtype))
    )


@functools.cache
def _onednn(dtype="float32"):
    """Asks by trying: without oneDNN, which has bfloat16 on some processors only, there are no grouped gradients."""
    with tf.init_scope():
        x = tf.zeros((1, 2, 2, 4), dtype)
        try:
            _filter_gradient(x, x, (1, 1), 4)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
            why = onednn.why_missing()
            if why and dtype == "float32":
                warnings.warn(why, stacklevel=2)
            return False
        return True


def multiplies_bfloat16():
    """Whether sums of products of bfloat16 are float32's; TensorFlow's own kernels on a CPU keep 8 digits."""
    return accelerated() or _onednn("bfloat16")


def constant(make, *arguments, dtype=None):
    """The array make(*arguments) as a tensor; in a graph of TensorFlow, one tensor for all that ask for it."""
    return _once((make, arguments, dtype), lambda: keras.ops.convert_to_tensor(make(*arguments), dtype))


def measured(compute, *arguments):
    """compute(*arguments), which reads nothing but shapes; in a graph, one tensor for all that ask for it."""
    named = (argument.ref() if isinstance(argument, tf.Tensor) else argument for argument in arguments)
    return _once((compute, *named), lambda: compute(*arguments))


def _once(key, compute):
    graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
    if graph is None or replica_count() > 1:
        return compute()
    if not hasattr(graph, "keras_pibnas_known"):
        graph.keras_pibnas_known = {}
    if key not in graph.keras_pibnas_known:
        graph.keras_pibnas_known[key] = compute()
    return graph.keras_pibnas_known[key]


def _integers(*values):
    return constant(np.array, values, dtype="int32")


def _shape(x):
    return measured(tf.shape, x)


def _sum(x, *axes):
    return tf.raw_ops.Sum(input=x, axis=_integers(*axes))


def split(x, parts):
    """Equal blocks of channels."""
    return tf.raw_ops.Split(axis=_last(x), value=x, num_split=parts)


def concatenate(blocks):
    """Along channels, two blocks or more. Its gradient is a node a block; TensorFlow's takes many more."""

    def join(*blocks):
        return tf.raw_ops.ConcatV2(values=blocks, axis=_last(blocks[0])), lambda g: _cut(g, widths)

    widths = tuple(block.shape[-1] for block in blocks)
    return join(*blocks)[0] if None in widths else with_gradient(join)(*blocks)


def _cut(g, widths):
    """A gradient's blocks of channels, each out of a node of its own.

    On its way into oneDNN, TensorFlow puts the gradients by a convolution's kernel and by a bias into one node where
    they read the same node, and does not look which of its outputs: blocks that one split gave would be mixed up.
    """
    blocks, start, rest = [], 0, len(g.shape) - 1
    for width in widths:
        begin, size = constant(np.array, (0,) * rest + (start,)), constant(np.array, (-1,) * rest + (width,))
        blocks.append(tf.raw_ops.Slice(input=g, begin=begin, size=size))
        start += width
    return tuple(blocks)


def _last(x):
    return _integer(len(x.shape) - 1)


def _integer(value):
    return constant(int, value, dtype="int32")


def max_pool(x):
    """3x3 maximum at stride 1 whose derivatives of all orders read the same pixels.

    TensorFlow's second derivative of max pooling takes another pixel than its first where several are largest, and a
    pooled image, whose neighbours are often equal, is pooled again in every cell. Here the second derivative reads the
    pixel that the first one wrote to: the first of the largest.
    """

    @with_gradient
    def pool(x):
        return maxima(x), lambda g: spread(g, here(x))

    @with_gradient
    def spread(g, x):
        # oneDNN's gradient wants the maximum in the same graph. Without, it is TensorFlow's, ten times slower.
        dx = tf.raw_ops.MaxPoolGrad(
            orig_input=x, orig_output=maxima(x), grad=g, ksize=(1, 3, 3, 1), strides=(1, 1, 1, 1), padding="SAME"
        )
        return dx, lambda u: (read(u, here(x)), None)

    @with_gradient
    def read(u, x):
        return _at_maximum(u, x), lambda g: (spread(g, here(x)), None)

    def maxima(x):
        return tf.nn.max_pool2d(x, 3, 1, "SAME")

    return pool(x)


def _at_maximum(u, x):
    """Of each window of 3x3, u at the first of the largest x: first of three columns, then of three rows.

    Six times as fast as TensorFlow's argmax.
    """
    for axis in (2, 1):
        (before, after), (u_before, u_after) = _neighbours(x, axis, -np.inf), _neighbours(u, axis, 0.0)
        x, u = tf.maximum(before, x), tf.where(before >= x, u_before, u)
        x, u = tf.maximum(x, after), tf.where(x >= after, u, u_after)
    return u


def _neighbours(x, axis, edge):
    """The values before and after each, along an axis; beyond the first and the last is `edge`."""
    padded = tf.pad(x, [(1, 1) if i == axis else (0, 0) for i in range(4)], constant_values=edge)
    rest = (slice(None),) * axis
    return padded[(*rest, slice(-2))], padded[(*rest, slice(2, None))]


def _closed(forward, transpose, correlate, back_is_convolution=False):
    """Three functions of (x, kernel), (gradient, kernel), (x, gradient), each other's derivatives.

    A Jacobian-vector product by x and kernel is the sum of two convolutions. One of them gets a bias, of zeros:
    TensorFlow fuses convolution, bias and sum into one kernel, but not without a bias. So it is on the way back.
    """

    def convolution_of(beside):
        @with_gradient
        def convolve(x, kernel):
            def gradient(g):
                dx = back(g, here(kernel))
                return _summand(dx, kernel) if beside and back_is_convolution else dx, filters(here(x), g)

            y = forward(x, kernel)
            return _summand(y, kernel) if beside else y, gradient

        return convolve

    convolve, convolve_beside = convolution_of(False), convolution_of(True)

    @with_gradient
    def back(g, kernel):
        return transpose(g, kernel), lambda u: (convolve(u, here(kernel)), aside(filters, u, here(g)))

    @with_gradient
    def filters(x, g):
        def gradient(u):
            summand = convolve_beside if is_transposing() else convolve
            return aside(back, here(g), u), summand(here(x), u)

        return correlate(x, g), gradient

    return convolve


def _summand(y, kernel):
    return tf.nn.bias_add(y, measured(_no_bias, kernel))


def _no_bias(kernel):
    return tf.zeros([_channels(kernel)], kernel.dtype)


def depthwise(x, kernel, strides, dilation):
    """Depthwise convolution with symmetric padding. x (B, H, W, C), kernel (k, k, C, 1)."""
    convolve = _depthwise(kernel.shape[0], strides, dilation, *x.shape[1:3])
    return convolve(x, tf.reshape(kernel, (*kernel.shape[:2], 1, -1)))


@functools.cache
def _depthwise(size, strides, dilation, height, width):
    edge = dilation * (size - 1) // 2

    def forward(x, kernel):
        if strides == 1:  # then "SAME" pads symmetrically
            return tf.nn.conv2d(x, kernel, 1, "SAME", dilations=dilation)
        return tf.nn.conv2d(_pad(x, edge), kernel, strides, "VALID", dilations=dilation)

    def transpose(g, kernel):
        if strides == 1:
            return forward(g, tf.raw_ops.ReverseV2(tensor=kernel, axis=_integers(0, 1)))
        sizes = _shape(g) * (1, 2, 2, 1) + (0, 2 * edge - _odd(height), 2 * edge - _odd(width), 0)
        padded = tf.raw_ops.Conv2DBackpropInput(
            input_sizes=sizes, filter=kernel, out_backprop=g, strides=(1, 2, 2, 1), padding="VALID",
            dilations=(1, dilation, dilation, 1),
        )  # fmt: skip
        return padded[:, edge:-edge, edge:-edge] if edge else padded

    def correlate(x, g):
        if strides == 1:
            return _filters(x, g, size, dilation)
        return _filters_in_blocks(_pad(x, edge), g, size, _odd(width))

    return _closed(forward, transpose, correlate, strides == 1)


def _odd(side):
    return 0 if side is None else side % 2


def _channels(x):
    return measured(_last_size, x) if x.shape[-1] is None else x.shape[-1]


def _last_size(x):
    last = len(x.shape) - 1
    return tf.strided_slice(_shape(x), _integers(last), _integers(last + 1), _integers(1), shrink_axis_mask=1)


def _pad(x, edge):
    return tf.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0)))


def _filter_gradient(x, g, size, channels, strides=1, padding="SAME"):
    return tf.raw_ops.Conv2DBackpropFilter(
        input=x,
        filter_sizes=measured(_filter_sizes, size, channels),
        out_backprop=g,
        strides=(1, strides, strides, 1),
        padding=padding,
    )


def _filter_sizes(size, channels):
    return tf.stack((*map(_integer, size), _integer(1), channels))


def _filters(x, g, size, dilation):
    """Filter gradient (size, size, 1, C) of a depthwise convolution of stride 1, at most three columns at a time."""
    rows, channels = dilation * (size - 1) + 1, _channels(g)
    left, right = [], []
    centre = None if size > 1 else _narrow(x, g, (rows, 1), channels)
    for step in range(1, size // 2 + 1):
        before, centre, after = _three_columns(x, g, rows, step * dilation, channels)
        left, right = [before, *left], [*right, after]
    columns = _beside_each_other([*left, centre, *right])
    return columns[::dilation] if dilation > 1 else columns


def _beside_each_other(columns):
    return tf.raw_ops.ConcatV2(values=columns, axis=_integer(1)) if len(columns) > 1 else columns[0]


def _three_columns(x, g, rows, offset, channels):
    """The columns -offset, 0, offset of a filter gradient, (rows, 1, 1, C) each.

    Where `offset` pixels of a row stand side by side as channels, the columns are neighbours; that is only another
    shape for the same numbers.
    """
    if offset == 1:
        both = _narrow(x, g, (rows, 3), channels)
    else:
        x, g = _side_by_side(x, offset), _side_by_side(g, offset)
        both = _narrow(x, g, (rows, 3), measured(tf.multiply, channels, offset))
        both = _sum(tf.reshape(both, _integers(rows, 3, 1, offset, -1)), 3)
    return tf.raw_ops.Split(axis=_integer(1), value=both, num_split=3)


def _side_by_side(x, count):
    """(B, H, W, C) -> (B, H, W / count, count * C); W is made a multiple by columns of zeros."""
    width = x.shape[2]
    if (width or MULTIPLE) % count:
        x = _extended(x, 2, -width % count if width else measured(_missing_columns, x, count))
    return tf.reshape(x, measured(_shape_side_by_side, x, count))


def _shape_side_by_side(x, count):
    return _shape(x) // _integers(1, 1, count, 1) * _integers(1, 1, 1, count)


def _missing_columns(x, count):
    return -_shape(x)[2] % count


def _missing_rows(x, height):
    return tf.maximum(height - _shape(x)[1], 0)


def _extended(x, axis, missing):
    """x with so many rows (axis 1) or columns (axis 2) of zeros after its own."""
    if isinstance(missing, int):
        return tf.pad(x, constant(_paddings, axis, missing, dtype="int32"))
    return tf.pad(x, measured(tf.multiply, constant(_paddings, axis, 1, dtype="int32"), missing))


def _paddings(axis, missing):
    paddings = np.zeros((4, 2), int)
    paddings[axis, 1] = missing
    return paddings


def _narrow(x, g, size, channels):
    """Filter gradient at stride 1 for at most 3 columns; where the kernel is higher than the image, oneDNN needs ten
    times as long, unless the image gets more rows, which are zero."""
    if size[0] > (x.shape[1] or LEAST):
        missing = size[0] - x.shape[1] if x.shape[1] else measured(_missing_rows, x, size[0])
        x, g = (_extended(t, 1, missing) for t in (x, g))  # no row missing: takes no time
    return _filter_gradient(x, g, size, channels)


def _filters_in_blocks(x, g, size, odd):
    """Filter gradient (size, size, 1, C) of a valid depthwise convolution of stride 2, at most three columns at a time.

    x: padded by size // 2; odd: 1 where it is odd without the padding, else 0.
    """
    blocks, channels = [], _channels(g)
    for start in range(0, size, 3):
        columns = min(3, size - start)
        unread = size + 1 - odd - start - columns
        part = x[:, :, start : -unread or None]
        blocks.append(_filter_gradient(part, g, (size, columns), channels, 2, "VALID"))
    return _beside_each_other(blocks)


def pointwise(x, kernel):
    """Grouped 1x1 convolution. x (B, H, W, G * I), kernel (1, 1, I, G * O)."""
    same = {"strides": (1, 1, 1, 1), "padding": "VALID"}
    if not is_for_jvp():  # TensorFlow's own gradients will do
        return tf.nn.conv2d(x, kernel, **same)
    images, kernels = _shape(x), _shape(kernel)

    def transpose(g, kernel):
        return tf.raw_ops.Conv2DBackpropInput(input_sizes=here(images), filter=kernel, out_backprop=g, **same)

    def correlate(x, g):
        return tf.raw_ops.Conv2DBackpropFilter(input=x, filter_sizes=here(kernels), out_backprop=g, **same)

    return _closed(lambda x, kernel: tf.nn.conv2d(x, kernel, **same), transpose, correlate)(x, kernel)


def gelu_pointwise(u, kernel):
    """pointwise(P(u), kernel) with P(u) = u * (1 + erf(u)). It and its derivatives keep of images nothing but what they
    are given."""

    def transpose(g, u, kernel):
        return tf.raw_ops.Conv2DBackpropInput(
            input_sizes=_shape(u), filter=kernel, out_backprop=g, strides=(1, 1, 1, 1), padding="VALID"
        )

    def filters(x, g, kernel):
        return tf.raw_ops.Conv2DBackpropFilter(
            input=x, filter_sizes=_shape(kernel), out_backprop=g, strides=(1, 1, 1, 1), padding="VALID"
        )

    def value(u):
        return u * (1.0 + tf.math.erf(u))

    def bell(u):
        return tf.exp(-tf.square(u)) * (2.0 * np.pi**-0.5)

    def slope(u):
        return 1.0 + tf.math.erf(u) + u * bell(u)

    def bend(u):  # the slope's slope, 2 * bell(u) * (1 - u**2)
        return tf.raw_ops.TanhGrad(y=u, dy=2.0 * bell(u))

    @with_gradient
    def forward(u, kernel):
        def gradient(g):
            return by_image(g, here(u), here(kernel)), by_kernel(g, here(u), here(kernel))

        return pointwise(value(u), kernel), gradient

    @with_gradient
    def by_image(g, u, kernel):
        def gradient(r):
            here_g, here_u, here_kernel = here(g), here(u), here(kernel)
            by_u = aside(lambda: bend(here_u) * r * transpose(here_g, here_u, here_kernel))
            by_kernel = aside(lambda: filters(slope(here_u) * r, here_g, here_kernel))
            return along(r, here_u, here_kernel), by_u, by_kernel

        return slope(u) * transpose(g, u, kernel), gradient

    @with_gradient
    def by_kernel(g, u, kernel):
        def gradient(r):
            here_g, here_u = here(g), here(u)
            return forward(here_u, r), aside(by_image, here_g, here_u, r), None

        return filters(value(u), g, kernel), gradient

    @with_gradient
    def along(r, u, kernel):
        def gradient(g):
            here_r, here_u, here_kernel = here(r), here(u), here(kernel)
            back = transpose(g, here_u, here_kernel)
            moved = slope(here_u)
            return moved * back, bend(here_u) * here_r * back, filters(moved * here_r, g, here_kernel)

        return pointwise(slope(u) * r, kernel), gradient

    return forward(u, kernel)


def tile(x, branches):
    """(B, H, W, C) -> (B, H, W, E * C); the gradient adds the copies up in a 1x1 convolution, in one pass."""

    @with_gradient
    def copy(x):
        return concatenate([x] * branches), add

    @with_gradient
    def add(g):
        return pointwise(g, constant(_copies, x.shape[-1], branches, dtype=g.dtype)), copy

    return copy(x)


def _copies(channels, branches):
    return np.tile(np.eye(channels), (branches, 1))[None, None]


def every_second(x):
    """x[:, ::2, ::2], eight times as fast."""
    return tf.nn.avg_pool2d(x, 1, 2, "SAME")


def bias_add(x, bias):
    """A node that TensorFlow fuses into the convolution before it."""
    return tf.nn.bias_add(x, bias)


def convolution(x, kernel, strides, dilation, padding="VALID"):
    """Convolution, dense or grouped."""
    return tf.nn.conv2d(x, kernel, strides, padding, dilations=dilation)


def add_n(tensors):
    return tf.add_n(tensors)


def scaled(x, scale):
    """x * scale as a depthwise 1x1 convolution, into which a following bias can be fused."""
    return pointwise(x, tf.reshape(scale, _integers(1, 1, 1, -1)))


def mean(x):
    """The mean over all pixels, (1, 1, 1, C). One axis after the other: ten times as exact as in one go, and faster."""
    for axis in (1, 2, 0):
        x = tf.raw_ops.Mean(input=x, axis=_integer(axis), keep_dims=True)
    return x


def batch_norm(x, scale, offset, moving_mean, moving_variance, momentum, epsilon, relu=False):
    """Normalizes x (B, H, W, C) of mean zero, in float32, with its own variance, its ReLU included.

    All others are (C,) and float32. Returns the output and the moved moving statistics, through which no gradient
    flows. Derivatives are right to the second.

    TensorFlow's kernel computes the statistics itself, but adds up one by one: variances are 2e-6 off, and then ReLUs
    and maxima near a tie fall on the other side.
    """
    scale, offset, moving_mean, moving_variance = (
        tf.convert_to_tensor(value) for value in (scale, offset, moving_mean, moving_variance)
    )

    moved = []  # extra outputs of `normalize` would be residuals of its gradient, and keep TensorFlow from fusing

    @with_gradient
    def normalize(x, scale, offset):
        values = _values_a_channel(x, scale)
        # The norms of columns take one pass, where a square and its mean take two.
        norms = tf.raw_ops.EuclideanNorm(input=x, axis=_integer(1))
        variance = _sum(tf.square(norms), 0, 1) / values
        y = tf.nn.bias_add(_over_deviation(x, scale, variance, epsilon), offset)
        unbiased = variance * (values / tf.maximum(values - 1.0, 1.0))
        moved[:] = [momentum * moving_mean, moving_variance + (1.0 - momentum) * (unbiased - moving_variance)]
        moved[:] = [tf.stop_gradient(value) for value in moved]
        y = tf.nn.relu(y) if relu else y

        def gradient(g):
            g = tf.raw_ops.ReluGrad(gradients=g, features=here(y)) if relu else g
            return _batch_norm_gradients(epsilon, here(variance))(g, here(x), here(scale))

        return y, gradient

    return normalize(x, scale, offset), *moved


def _batch_norm_gradients(epsilon, variance):
    """(g, x, scale) -> gradients of x, scale and offset, each with its own gradient.

    With n = x / s and averages over pixels [.], the gradient of x is scale / s * (g - [g] - n [g n]), which is linear
    and symmetric in g; that of scale is the sum of g n, that of offset the sum of g.
    """

    known = {}

    def once(compute, *tensors):
        """compute(*tensors): for all gradients the same nodes, where they share a graph."""
        if not are_tapes_alone():
            return compute(*tensors)
        key = compute, *(tensor.ref() for tensor in tensors)
        if key not in known:
            known[key] = compute(*tensors)
        return known[key]

    def inverse():
        """1 / s."""
        return tf.math.rsqrt(here(variance) + epsilon)

    def sums(g, x):
        """The sums of g n and of g, (C,)."""
        return _products(x, g, variance) * once(inverse), _sum(_sum(g, 1), 0, 1)

    def factors(x, scale):
        """scale / s, that over the number of values a channel, and that over -s."""
        ratio = scale * once(inverse)
        mean = ratio / _values_a_channel(x, scale)
        return ratio, mean, -mean * once(inverse)

    @with_gradient
    def normal(x, scale):
        y = _over_deviation(x, scale, here(variance), epsilon)
        return y, lambda g: (by_x(g, here(x), here(scale)), by_scale(g, here(x), here(scale)))

    @with_gradient
    def by_scale(g, x, scale):
        return once(sums, g, x)[0], lambda p: (normal(here(x), p), aside(by_x, here(g), here(x), p), None)

    @with_gradient
    def by_x(g, x, scale):
        gn_sum, g_sum = once(sums, g, x)
        ratio, mean, curve = once(factors, x, scale)
        # Each convolution, its bias and the sum with what was before are one kernel.
        dx = _scaled(x, curve * gn_sum)
        dx = tf.nn.bias_add(_scaled(g, ratio), -mean * g_sum) + dx
        return dx, lambda u: (by_x(u, here(x), here(scale)), *second(u, g, x, scale, gn_sum, g_sum))

    def second(u, g, x, scale, *sums_of_g):
        """Gradients of N scale / s ([u g] - [u][g] - [u n][g n]) by x and scale, which have none of their own."""
        if is_transposing():
            return None, None
        g, x, scale = here(g), here(x), here(scale)
        count = _values_a_channel(u, scale)
        slope = once(inverse)
        un, u_mean, gn, g_mean = (value / count for value in (*once(sums, u, x), *map(here, sums_of_g)))
        ug = _products(u, g, scale) / count - u_mean * g_mean
        factor = -scale * tf.square(slope)
        to_u, to_g = factor * gn, factor * un
        dx = _scaled(u, to_u)
        dx = tf.nn.bias_add(_scaled(g, to_g), -to_g * g_mean) + dx
        dx = tf.nn.bias_add(_scaled(x, factor * slope * (ug - 3.0 * un * gn)), -to_u * u_mean) + dx
        return dx, count * slope * (ug - un * gn)

    @with_gradient
    def by_offset(g, x):
        return once(sums, g, x)[1], lambda q: (tf.broadcast_to(q, _shape(here(g))), None)

    def gradients(g, x, scale):
        return by_x(g, x, scale), by_scale(g, x, scale), by_offset(g, x)

    return gradients


def _products(x, g, scale):
    """The sums of x g, (C,); scale: (C,) of any values."""
    return tf.reshape(_filter_gradient(x, g, (1, 1), measured(tf.size, scale)), _integers(-1))


def _values_a_channel(x, scale):
    return measured(_share, x, scale)


def _share(x, scale):
    return tf.cast(measured(tf.size, x) // measured(tf.size, scale), x.dtype)


def _over_deviation(x, scale, variance, epsilon):
    """x * scale / sqrt(variance + epsilon). TensorFlow's kernel for it takes two to four times as long."""
    return scaled(x, scale * tf.math.rsqrt(variance + epsilon))


def _scaled(x, scale):
    return scaled(x, tf.cast(scale, x.dtype))
