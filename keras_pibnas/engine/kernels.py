"""The few tensor functions that every op is made of.

Layout is NHWC. `branches` edges are computed side by side as blocks of channels: (B, H, W, E * C). Kernels are stored
as Keras stores them, the blocks along the last axis. Each function has one plain form in `keras.ops`, right on every
backend and in every float type, and hands over to the kernels of the engine in use where these are faster.
"""

import contextlib

import keras
import ml_dtypes
from keras import ops

from keras_pibnas.engine.choice import current
from keras_pibnas.engine.devices import accelerated

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


def fast(x):
    """The kernels of the engine in use where they hold for tensor x, else None."""
    kernels = _kernels(x)
    return kernels if kernels and not _PORTABLE and kernels.available(x) else None


def _kernels(x):
    """The kernels of the engine in use; None if it has none, or for a symbolic tensor."""
    return None if isinstance(x, keras.KerasTensor) else current().kernels


def _adds_up_in_bfloat16(x):
    """Whether sums of products of x would have 8 digits."""
    return not _PORTABLE and keras.backend.standardize_dtype(x.dtype) == "bfloat16" and not _multiplies_bfloat16(x)


def _multiplies_bfloat16(x):
    """Whether the device adds products of bfloat16 up in float32, as accelerators do and oneDNN where it can."""
    kernels = _kernels(x)
    return kernels.multiplies_bfloat16() if kernels else accelerated()


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

    What has E blocks of C channels already, or an unknown number of them in a trace, is returned as it is.
    """
    if x.shape[-1] in (None, branches * channels):
        return x
    kernels = fast(x)
    return kernels.tile(x, branches) if kernels else concatenate([x] * branches)


def split(x, parts):
    """Equal blocks of channels."""
    if parts == 1:
        return [x]
    kernels = _kernels(x)
    return kernels.split(x, parts) if kernels else ops.split(x, parts, axis=-1)


def concatenate(blocks):
    """Along channels."""
    if len(blocks) == 1:
        return blocks[0]
    kernels = _kernels(blocks[0])
    return kernels.concatenate(blocks) if kernels else ops.concatenate(blocks, axis=-1)


def depthwise(x, kernel, strides=1, dilation=1):
    """Depthwise convolution, symmetric padding dilation * (k - 1) / 2. x (B, H, W, C), kernel (k, k, C, 1)."""
    if strides == 2 and dilation == 2:  # reads only every second pixel, and there it is a plain convolution
        x, strides, dilation = every_second(x), 1, 1
    kernel = ops.cast(kernel, x.dtype)
    if kernels := fast(x):
        return kernels.depthwise(x, kernel, strides, dilation)
    if _adds_up_in_bfloat16(x):
        return _in_float32(depthwise, x, kernel, strides, dilation)
    padding = "valid"
    if _PORTABLE and strides == 1:  # then "same" pads symmetrically, and copies nothing
        padding = "same"
    else:
        x = pad(x, dilation * (kernel.shape[0] - 1) // 2)
    return ops.depthwise_conv(x, kernel, strides, padding, dilation_rate=dilation, data_format="channels_last")


def bias_add(x, bias):
    """x + bias, where the backend fuses it into the convolution before it if it can. bias (C,), or None for zero."""
    if bias is None:
        return x
    kernels = fast(x)
    return kernels.bias_add(x, bias) if kernels else x + bias


def pointwise(x, kernel):
    """1x1 convolution in groups. x (B, H, W, G * I), kernel (1, 1, I, G * O)."""
    if kernels := fast(x):
        return kernels.pointwise(x, kernel)
    if _adds_up_in_bfloat16(x):
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
    if _adds_up_in_bfloat16(x):
        return _in_float32(convolution, x, kernel, strides, dilation)
    strides = (strides, strides) if isinstance(strides, int) else tuple(strides)
    kernels = fast(x)
    if kernels and strides == (1, 1) and all(k % 2 for k in kernel.shape[:2]):  # then "SAME" pads symmetrically
        return kernels.convolution(x, kernel, strides, dilation, "SAME")
    x = pad(x, tuple(dilation * (k - 1) // 2 for k in kernel.shape[:2]))
    if kernels:
        return kernels.convolution(x, kernel, strides, dilation)
    groups = x.shape[-1] // kernel.shape[2]
    parts = zip(split(x, groups), split(kernel, groups), strict=True)
    return concatenate(
        [ops.conv(a, k, strides, "valid", data_format="channels_last", dilation_rate=dilation) for a, k in parts]
    )


def scaled(x, scale):
    """x * scale for every channel, (C,)."""
    kernels = fast(x)
    return kernels.scaled(x, scale) if kernels else x * scale


def max_pool(x, strides=1, training=False):
    """3x3 maximum with padding 1 (of -inf); at stride 2 windows are centred on the even pixels.

    Where several pixels of a window are largest, derivatives of all orders go to the first of them.
    """
    if not training or isinstance(x, keras.KerasTensor):
        return _strided(ops.max_pool(x, 3, 1, "same", data_format="channels_last"), strides)
    kernels = _kernels(x)
    return _strided(kernels.max_pool(x) if kernels else _first_maximum(x), strides)


def _first_maximum(x):
    """Of three columns, then of three rows. Pooling kernels differ in which of several largest pixels they take."""
    for axis in (2, 1):
        before, after = _neighbours(x, axis)
        x = ops.where(before >= x, before, x)
        x = ops.where(x >= after, x, after)
    return x


def halved(x):
    """2x2 maximum of stride 2, of what there is at the far end of an odd side; derivatives go to the first largest."""
    for axis in (2, 1):
        odd = x.shape[axis] % 2
        x = ops.pad(x, [(0, odd) if i == axis else (0, 0) for i in range(4)], constant_values=_lowest(x)) if odd else x
        first, second = (x[(*(slice(None),) * axis, slice(start, None, 2))] for start in (0, 1))
        x = ops.where(first >= second, first, second)
    return x


def _lowest(x):
    return float(ml_dtypes.finfo(keras.backend.standardize_dtype(x.dtype)).min)


def _neighbours(x, axis):
    """The values before and after each, along an axis; beyond the first and the last is the lowest number."""
    padded = ops.pad(x, [(1, 1) if i == axis else (0, 0) for i in range(4)], constant_values=_lowest(x))
    rest = (slice(None),) * axis
    return padded[(*rest, slice(None, -2))], padded[(*rest, slice(2, None))]


def average_pool(x, strides=1, training=False):
    """3x3 average with padding 1 that leaves the padding out of the count."""
    if _adds_up_in_bfloat16(x):
        return ops.cast(average_pool(ops.cast(x, "float32"), strides, training), x.dtype)
    return _strided(ops.average_pool(x, 3, 1, "same", data_format="channels_last"), strides)


def _strided(x, strides):
    return x if strides == 1 else every_second(x)


def even(x):
    """x with a row (column) of zeros at the far end where the number of them is odd."""
    height, width = ((side or 0) % 2 for side in x.shape[1:3])
    return ops.pad(x, ((0, 0), (0, height), (0, width), (0, 0))) if height or width else x


def every_second(x):
    """Every second row and column of x, from the first on."""
    kernels = fast(x)
    return kernels.every_second(x) if kernels else x[:, ::2, ::2]


def add_n(tensors):
    """The sum, in one pass where the backend has it."""
    if len(tensors) == 1:
        return tensors[0]
    kernels = _kernels(tensors[0])
    return kernels.add_n(tensors) if kernels else sum(tensors[1:], tensors[0])


def moments(x):
    """Mean and variance of x over batch, height and width: two tensors (C,), float32 or wider."""
    x = _at_least_float32(x)
    mean = ops.mean(x, (0, 1, 2))
    return mean, ops.mean(ops.square(x - mean), (0, 1, 2))


def _at_least_float32(x):
    return ops.cast(x, "float32") if keras.backend.standardize_dtype(x.dtype) in ("float16", "bfloat16") else x


def gelu(x):
    """The exact GELU, x * Phi(x), with erf."""
    if _PORTABLE:  # as converters know it
        return 0.5 * x * (1.0 + ops.erf(x * INNER))
    return 0.5 * twice_gelu(x * INNER) / INNER


INNER = 0.5**0.5


def gelu_pointwise(u, kernel):
    """pointwise(twice_gelu(u), kernel)."""
    kernels = fast(u)
    if kernels and keras.backend.standardize_dtype(u.dtype) == "float32":
        return kernels.gelu_pointwise(u, kernel)
    return pointwise(twice_gelu(u), kernel)


def twice_gelu(u):
    """2 * INNER * gelu(u / INNER): three passes over the image, where both factors can go into neighbouring kernels."""
    if _PORTABLE:
        return 2 * INNER * gelu(u / INNER)
    wide = _at_least_float32(u)  # for negative u, few digits of 1 + erf(u) are left
    return ops.cast(wide * (1.0 + ops.erf(wide)), u.dtype)


def weigh(x, kernels, size, strides=1, dilation=1):
    """y[b, i, j, n, c] = sum_uv kernels[b, i, j, n, u, v] * x[b, s i + d (u - k // 2), s j + d (v - k // 2), c].

    x (B, H, W, C), zero outside; kernels (B, H', W', N, k * k), H' = ceil(H / strides) -> (B, H', W', N, C).
    """
    engine = None if _PORTABLE else _kernels(x)
    if engine:
        return engine.weigh(x, kernels, size, strides, dilation)
    return ops.matmul(kernels, patches(x, size, strides, dilation))


def patches(x, size, strides=1, dilation=1):
    """(B, H, W, C) -> (B, H', W', k * k, C): the pixels around every pixel, row by row.

    First the columns around a pixel, then the rows of those: 2 k slices in place of k * k.
    """
    reach, channels = dilation * (size - 1), x.shape[-1]
    x = pad(x, reach // 2)
    ends = [(step * dilation, step * dilation - reach or None) for step in range(size)]
    x = ops.concatenate([x[:, :, start:end:strides] for start, end in ends], -1)
    x = ops.concatenate([x[:, start:end:strides] for start, end in ends], -1)
    return ops.reshape(x, (-1, *x.shape[1:3], size**2, channels))
