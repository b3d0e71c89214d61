"""The few tensor functions that every op is made of.

Layout is NHWC. `branches` edges are computed side by side as blocks of channels: (B, H, W, E * C). Kernels are stored
as Keras stores them, the blocks along the last axis. Each function has one plain form in `keras.ops`, right on every
backend and in every float type, and hands over to `native` where TensorFlow's oneDNN kernels are there.
"""

import contextlib

import keras
from keras import ops

from keras_pibnas.layers import native

_PORTABLE = False


@contextlib.contextmanager
def portable():
    """Traces layers for other runtimes inside the block: for inference, in ops that all of them have.

    No fast paths of TensorFlow; depthwise convolutions under their own name; 1x1 convolutions rather than products.
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


def fast(x):
    """Whether tensor x goes the fast way: see `native.available`."""
    return not _PORTABLE and native.available(x)


def _narrow(x):
    return not _PORTABLE and native.adds_up_in_bfloat16(x)


def _in_float32(convolve, x, kernel, *arguments):
    wide = convolve(ops.cast(x, "float32"), ops.cast(kernel, "float32"), *arguments)
    return ops.cast(wide, x.dtype)


def pad(x, amount, value=0.0):
    """Pads both sides of height and width. amount: an int, or (height, width)."""
    rows, columns = (amount, amount) if isinstance(amount, int) else amount
    if rows == columns == 0:
        return x
    return ops.pad(x, ((0, 0), (rows, rows), (columns, columns), (0, 0)), constant_values=value)


def tile(x, channels, branches):
    """(B, H, W, C) -> (B, H, W, E * C).

    What has E blocks of C channels, or an unknown number (see `Op.any_width`), is returned as it is.
    """
    if x.shape[-1] in (None, branches * channels):
        return x
    return native.tile(x, branches) if fast(x) else concatenate([x] * branches)


def split(x, parts):
    """Equal blocks of channels."""
    if parts == 1:
        return [x]
    return native.split(x, parts) if native.is_tensorflow(x) else ops.split(x, parts, axis=-1)


def concatenate(blocks):
    """Along channels."""
    if len(blocks) == 1:
        return blocks[0]
    return native.concatenate(blocks) if native.is_tensorflow(blocks[0]) else ops.concatenate(blocks, axis=-1)


def depthwise(x, kernel, strides=1, dilation=1):
    """Depthwise convolution, symmetric padding dilation * (k - 1) / 2. x (B, H, W, C), kernel (k, k, C, 1)."""
    if strides == 2 and dilation == 2:  # reads only every second pixel, and there it is a plain convolution
        x, strides, dilation = every_second(x), 1, 1
    kernel = kernel.value if isinstance(kernel, keras.Variable) else kernel
    if fast(x):
        return native.depthwise(x, kernel, strides, dilation)
    if _narrow(x):
        return _in_float32(depthwise, x, kernel, strides, dilation)
    padding = "valid"
    if _PORTABLE and strides == 1:  # then "same" pads symmetrically, and copies nothing
        padding = "same"
    else:
        x = pad(x, dilation * (kernel.shape[0] - 1) // 2)
    return ops.depthwise_conv(
        x, kernel, strides, padding, dilation_rate=dilation, data_format="channels_last"
    )


def bias_add(x, bias):
    """x + bias, where the backend fuses it into the convolution before it if it can. bias (C,), or None for zero."""
    if bias is None:
        return x
    return native.bias_add(x, bias) if fast(x) else x + bias


def pointwise(x, kernel):
    """1x1 convolution in groups. x (B, H, W, G * I), kernel (1, 1, I, G * O)."""
    if fast(x):
        return native.pointwise(x, kernel)
    if _narrow(x):
        return _in_float32(pointwise, x, kernel)
    if _PORTABLE:
        return convolution(x, kernel)
    inputs, outputs = kernel.shape[2], kernel.shape[3]
    groups = x.shape[-1] // inputs
    blocks = ops.reshape(x, (-1, *x.shape[1:3], groups, inputs))
    y = ops.einsum("bhwgi,igo->bhwgo", blocks, ops.reshape(kernel, (inputs, groups, outputs // groups)))
    return ops.reshape(y, (-1, *x.shape[1:3], outputs))


def convolution(x, kernel, strides=1, dilation=1):
    """Dense or grouped convolution, symmetric padding. kernel (kh, kw, I, G * O) on x (B, H, W, G * I).

    strides: an int, or (height, width).
    """
    if _narrow(x):
        return _in_float32(convolution, x, kernel, strides, dilation)
    strides = (strides, strides) if isinstance(strides, int) else tuple(strides)
    if fast(x) and strides == (1, 1) and all(k % 2 for k in kernel.shape[:2]):  # then "SAME" pads symmetrically
        return native.convolution(x, kernel, strides, dilation, "SAME")
    x = pad(x, tuple(dilation * (k - 1) // 2 for k in kernel.shape[:2]))
    if fast(x):
        return native.convolution(x, kernel, strides, dilation)
    groups = x.shape[-1] // kernel.shape[2]
    parts = zip(split(x, groups), split(kernel, groups), strict=True)
    return concatenate(
        [
            ops.conv(a, k, strides, "valid", data_format="channels_last", dilation_rate=dilation)
            for a, k in parts
        ]
    )


def scaled(x, scale):
    """x * scale for every channel, (C,)."""
    return native.scaled(x, scale) if fast(x) else x * scale


def expand(x, scale, channels, branches):
    """Weights what all branches share: branch e gets x * scale[e], in one pass.

    x (B, H, W, n * C) holds n tensors, scale (n, E * C) -> (B, H, W, E * C), summed over n.
    A 1x1 convolution does it whose kernel is zero off the diagonal, so that no tiled copy of x is made.
    """
    count = scale.shape[0]
    diagonal = ops.reshape(ops.eye(channels, dtype=scale.dtype), (1, channels, 1, channels))
    kernel = diagonal * ops.reshape(scale, (count, 1, branches, channels))
    return pointwise(x, ops.reshape(kernel, (1, 1, count * channels, branches * channels)))


def max_pool(x, strides=1, training=False):
    """3x3 maximum with padding 1 (of -inf); at stride 2 windows are centred on the even pixels."""
    if training and native.is_tensorflow(x):
        return _strided(native.max_pool(x), strides)
    return _strided(ops.max_pool(x, 3, 1, "same", data_format="channels_last"), strides)


def average_pool(x, strides=1, training=False):
    """3x3 average with padding 1 that leaves the padding out of the count."""
    if _narrow(x):
        return ops.cast(average_pool(ops.cast(x, "float32"), strides, training), x.dtype)
    return _strided(ops.average_pool(x, 3, 1, "same", data_format="channels_last"), strides)


def _strided(x, strides):
    return x if strides == 1 else every_second(x)


def every_second(x):
    """Every second row and column of x, from the first on."""
    return native.every_second(x) if fast(x) else x[:, ::2, ::2]


def gather(values, index):
    """values[index] of vectors, index from 0 on; ops.take allows for negative ones, in eight nodes more."""
    return native.gather(values, index) if native.is_tensorflow(values) else ops.take(values, index)


def moments(x):
    """Mean and variance of x over batch, height and width: two tensors (C,), float32 or wider."""
    x = _at_least_float32(x)
    mean = ops.mean(x, (0, 1, 2))
    return mean, ops.mean(ops.square(x - mean), (0, 1, 2))


def _at_least_float32(x):
    return (
        ops.cast(x, "float32") if keras.backend.standardize_dtype(x.dtype) in ("float16", "bfloat16") else x
    )


def gelu(x):
    """The exact GELU, x * Phi(x), with erf."""
    if _PORTABLE:  # as converters know it
        return 0.5 * x * (1.0 + ops.erf(x * INNER))
    return 0.5 * twice_gelu(x * INNER) / INNER


INNER = 0.5**0.5


def gelu_pointwise(u, kernel):
    """pointwise(twice_gelu(u), kernel)."""
    if fast(u) and keras.backend.standardize_dtype(u.dtype) == "float32":
        return native.gelu_pointwise(u, kernel)
    return pointwise(twice_gelu(u), kernel)


def twice_gelu(u):
    """2 * INNER * gelu(u / INNER): three passes over the image, where both factors can go into neighbouring kernels."""
    if _PORTABLE:
        return 2 * INNER * gelu(u / INNER)
    wide = _at_least_float32(u)  # for negative u, few digits of 1 + erf(u) are left
    return ops.cast(wide * (1.0 + ops.erf(wide)), u.dtype)
