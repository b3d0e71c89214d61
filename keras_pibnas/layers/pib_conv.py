"""The pseudo-inverted bottleneck convolution, and the earlier block that the paper's table counts."""

import math

import keras
from keras import ops

from keras_pibnas.engine.kernels import INNER, convolution, depthwise, gelu_pointwise, pointwise
from keras_pibnas.layers.batch_norm import BatchNorm
from keras_pibnas.layers.op import Op
from keras_pibnas.layers.separable import check_kernel_size


@keras.saving.register_keras_serializable("keras_pibnas")
class PIBConv(Op):
    """Depthwise k (strided), BN, 1x1 to F * C, grouped k convolution back to C, GELU, 1x1.

    "Pseudo-Inverted Bottleneck Convolution for DARTS Search Space", Fig. 2 c, as its code computes it: the second
    k x k convolution has C groups of F channels each (gcd(F * C, C) groups where F is no integer). It has 3 K^2 C
    depthwise weights where the paper's equation (2) counts 2 K^2 C.

    Args: as `Op`; kernel_size: odd; expansion: F, with F * C an integer.

    Example:
        >>> kp.layers.PIBConv(4)(np.ones((1, 8, 8, 4), "float32")).shape
        TensorShape([1, 8, 8, 4])
    """

    def __init__(
        self,
        channels: int,
        strides: int = 1,
        affine: bool = True,
        branches: int = 1,
        kernel_size: int = 3,
        expansion: float = 2,
        **kwargs,
    ):
        super().__init__(channels, strides, affine, branches, **kwargs)
        self.kernel_size, self.expansion = check_kernel_size(self, kernel_size), expansion
        self.hidden = check_expansion(channels, expansion)
        self.groups = math.gcd(self.hidden, channels)

    def build(self, input_shape):
        super().build(input_shape)
        size = (self.kernel_size, self.kernel_size)
        self.depthwise = self.depthwise_kernel("depthwise", self.kernel_size)
        self.batch_norm = BatchNorm(self.affine, name="batch_norm", dtype=self.dtype_policy)
        self.batch_norm.build_for(self.normalized)
        self.pointwise_1 = self.kernel("pointwise_1", (1, 1), self.channels, self.branches * self.hidden)
        self.grouped = self.kernel("grouped", size, self.hidden // self.groups, self.width)
        self.pointwise_2 = self.kernel("pointwise_2", (1, 1), self.channels, self.width)

    @property
    def normalized(self):
        """Channels that the batch normalization sees."""
        return self.width

    def call(self, x, weights=None, training=False):
        x = depthwise_norm(self.batch_norm, self.every_edge(x), self.depthwise, self.strides, training)
        last = self.weighted(self.pointwise_2, weights)
        return gelu_pointwise(self._bottleneck(x), ops.cast(last * INNER, x.dtype))

    def _bottleneck(self, x):
        """1x1 to F * C, grouped convolution; times INNER, as `twice_gelu` takes it."""
        kernel, grouped = ops.cast(self.pointwise_1, x.dtype), ops.cast(self.grouped * INNER, x.dtype)
        if self.groups != self.channels:
            return convolution(pointwise(x, kernel), grouped)
        # A channel and its F inputs, as F depthwise convolutions: twice as fast as C small groups.
        fold = self.hidden // self.channels
        pairs = zip(_every(fold, kernel), ops.unstack(grouped, fold, axis=2), strict=True)
        parts = [depthwise(pointwise(x, first), second[..., None]) for first, second in pairs]
        return sum(parts[1:], parts[0])

    def get_config(self):
        return super().get_config() | {"kernel_size": self.kernel_size, "expansion": self.expansion}


def _every(count, kernel):
    """kernel[..., f::count] for every f. A transposition, as strided slices take three times as long."""
    shape = (count, *ops.shape(kernel)[:-1], -1)
    return ops.unstack(ops.reshape(ops.transpose(ops.reshape(kernel, (-1, count))), shape), count, axis=0)


def depthwise_norm(batch_norm, x, kernel, strides, training):
    """The normalized depthwise convolution of x."""
    convolve = lambda x, k: depthwise(x, ops.cast(k, x.dtype), strides)  # noqa: E731
    return batch_norm.of_convolution(convolve, x, ops.convert_to_tensor(kernel), training=training)


def check_expansion(channels, expansion):
    """Channels inside the bottleneck, expansion * channels."""
    hidden = expansion * channels
    if hidden != int(hidden) or hidden < 1:
        raise ValueError(
            f"expansion * channels must be a positive integer. Received: expansion={expansion!r}, channels={channels}"
        )
    return int(hidden)


@keras.saving.register_keras_serializable("keras_pibnas")
class PIBConvTable(PIBConv):
    """The block that the paper's Table 1 counts: ReLU, depthwise k, 1x1 to F * C, BN, ReLU, grouped k, 1x1, BN.

    Args: as `PIBConv`.

    Example:
        >>> kp.layers.PIBConvTable(4)(np.ones((1, 8, 8, 4), "float32")).shape
        TensorShape([1, 8, 8, 4])
    """

    def build(self, input_shape):
        super().build(input_shape)
        self.batch_norm_2 = BatchNorm(self.affine, name="batch_norm_2", dtype=self.dtype_policy)
        self.batch_norm_2.build_for(self.width)

    @property
    def normalized(self):
        return self.branches * self.hidden

    def call(self, x, weights=None, training=False):
        x = depthwise(self.every_edge(ops.relu(x)), self.depthwise, self.strides)
        x = self.batch_norm.of_pointwise(x, self.pointwise_1, training=training, relu=True)
        x = convolution(x, ops.cast(self.grouped, x.dtype))
        return self.batch_norm_2.of_pointwise(x, self.pointwise_2, weights, training)
