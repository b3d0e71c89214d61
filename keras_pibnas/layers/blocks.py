"""The classical blocks of the lecture notes, as ops. Each is as published, with as many channels out as in."""

import keras
from keras import ops

from keras_pibnas.engine.kernels import average_pool
from keras_pibnas.layers.conv import ConvOp, check_groups
from keras_pibnas.layers.separable import check_kernel_size


def narrowed(channels, reduction, groups=1):
    """channels / reduction, rounded up to a multiple of groups."""
    return -(-channels // (reduction * groups)) * groups


def check_count(layer, name, value):
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} of {type(layer).__name__} must be a positive integer. Received: {name}={value!r}")
    return value


@keras.saving.register_keras_serializable("keras_pibnas")
class Bottleneck(ConvOp):
    """ReLU(x + F(x)), F: 1x1 to h, BN, ReLU, k x k (strided, in groups), BN, ReLU, 1x1 back to C, BN.

    ResNet's bottleneck (arXiv:1512.03385, Fig. 5, reduction 4, one group) and ResNeXt's block (arXiv:1611.05431,
    Fig. 3 c, reduction 2, `groups` its cardinality). At stride 2 x goes through a 1x1 convolution of stride 2 and BN.

    Args: as `Op`; kernel_size: k, odd; reduction: h = C / reduction, rounded up to a multiple of groups; groups.

    Example:
        >>> kp.layers.Bottleneck(4)(np.ones((1, 8, 8, 4), "float32")).shape
        TensorShape([1, 8, 8, 4])
    """

    def __init__(
        self,
        channels: int,
        strides: int = 1,
        affine: bool = True,
        branches: int = 1,
        kernel_size: int = 3,
        reduction: int = 4,
        groups: int = 1,
        **kwargs,
    ):
        super().__init__(channels, strides, affine, branches, **kwargs)
        self.kernel_size = check_kernel_size(self, kernel_size)
        self.reduction, self.groups = (
            check_count(self, name, value) for name, value in (("reduction", reduction), ("groups", groups))
        )
        self.hidden = narrowed(channels, reduction, groups)

    def build(self, input_shape):
        super().build(input_shape)
        channels, hidden = self.channels, self.hidden
        self.reduce = self.conv_bn("reduce", channels, hidden)
        self.conv = self.conv_bn("conv", hidden, hidden, self.kernel_size, self.strides, self.groups)
        self.expand = self.conv_bn("expand", hidden, channels)
        self.project = self.conv_bn("project", channels, channels, 1, 2) if self.strides == 2 else None

    def call(self, x, weights=None, training=False):
        y = ops.relu(self.reduce(x, training=training))
        y = self.expand(ops.relu(self.conv(y, training=training)), training=training)
        shortcut = self.project(x, training=training) if self.project else self.every_edge(x)
        return self.weighted(ops.relu(y + shortcut), weights)

    def get_config(self):
        names = ("kernel_size", "reduction", "groups")
        return super().get_config() | {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable("keras_pibnas")
class SeparableBlock(ConvOp):
    """Depthwise k x k (strided), BN, ReLU, 1x1, BN, ReLU. MobileNet (arXiv:1704.04861), Fig. 3.

    Args: as `Op`; kernel_size: k, odd.

    Example:
        >>> kp.layers.SeparableBlock(4)(np.ones((1, 8, 8, 4), "float32")).shape
        TensorShape([1, 8, 8, 4])
    """

    def __init__(
        self, channels: int, strides: int = 1, affine: bool = True, branches: int = 1, kernel_size: int = 3, **kwargs
    ):
        super().__init__(channels, strides, affine, branches, **kwargs)
        self.kernel_size = check_kernel_size(self, kernel_size)

    def build(self, input_shape):
        super().build(input_shape)
        channels = self.channels
        self.depthwise = self.conv_bn("depthwise", channels, channels, self.kernel_size, self.strides, channels)
        self.pointwise = self.conv_bn("pointwise", channels, channels)

    def call(self, x, weights=None, training=False):
        y = ops.relu(self.depthwise(self.every_edge(x), training=training))
        return self.weighted(ops.relu(self.pointwise(y, training=training)), weights)

    def get_config(self):
        return super().get_config() | {"kernel_size": self.kernel_size}


@keras.saving.register_keras_serializable("keras_pibnas")
class InvertedResidual(ConvOp):
    """1x1 to t * C, BN, ReLU6, depthwise k x k (strided), BN, ReLU6, 1x1 back to C, BN; plus x at stride 1.

    MobileNetV2 (arXiv:1801.04381), Fig. 4 d.

    Args: as `Op`; kernel_size: k, odd; expansion: t, a positive integer.

    Example:
        >>> kp.layers.InvertedResidual(4)(np.ones((1, 8, 8, 4), "float32")).shape
        TensorShape([1, 8, 8, 4])
    """

    def __init__(
        self,
        channels: int,
        strides: int = 1,
        affine: bool = True,
        branches: int = 1,
        kernel_size: int = 3,
        expansion: float = 6,
        **kwargs,
    ):
        super().__init__(channels, strides, affine, branches, **kwargs)
        self.kernel_size = check_kernel_size(self, kernel_size)
        self.expansion = check_count(self, "expansion", expansion)
        self.hidden = expansion * channels

    def build(self, input_shape):
        super().build(input_shape)
        channels, hidden = self.channels, self.hidden
        self.expand = self.conv_bn("expand", channels, hidden)
        self.depthwise = self.conv_bn("depthwise", hidden, hidden, self.kernel_size, self.strides, hidden)
        self.project = self.conv_bn("project", hidden, channels)

    def call(self, x, weights=None, training=False):
        y = ops.relu6(self.expand(x, training=training))
        y = ops.relu6(self.depthwise(y, training=training))
        y = self.project(y, weights=weights, training=training)
        return y if self.strides == 2 else y + self.weighted(self.every_edge(x), weights)

    def get_config(self):
        return super().get_config() | {"kernel_size": self.kernel_size, "expansion": self.expansion}


@keras.saving.register_keras_serializable("keras_pibnas")
class ShuffleUnit(ConvOp):
    """ReLU(x + F(x)), F: grouped 1x1 to h, BN, ReLU, channel shuffle, depthwise k x k (strided), BN, grouped 1x1, BN.

    ShuffleNet (arXiv:1707.01083), Fig. 2 b. At stride 2 x is averaged, 3x3, and added: the paper concatenates there,
    but an op keeps its number of channels.

    Args: as `Op`; kernel_size: k, odd; groups: a divisor of the channels; reduction: h = C / reduction, rounded up to a
    multiple of groups.

    Example:
        >>> kp.layers.ShuffleUnit(4)(np.ones((1, 8, 8, 4), "float32")).shape
        TensorShape([1, 8, 8, 4])
    """

    def __init__(
        self,
        channels: int,
        strides: int = 1,
        affine: bool = True,
        branches: int = 1,
        kernel_size: int = 3,
        groups: int = 2,
        reduction: int = 4,
        **kwargs,
    ):
        super().__init__(channels, strides, affine, branches, **kwargs)
        self.kernel_size, self.groups = check_kernel_size(self, kernel_size), check_groups(self, groups)
        self.reduction = check_count(self, "reduction", reduction)
        self.hidden = narrowed(channels, reduction, groups)

    def build(self, input_shape):
        super().build(input_shape)
        channels, hidden = self.channels, self.hidden
        self.reduce = self.conv_bn("reduce", channels, hidden, groups=self.groups)
        self.depthwise = self.conv_bn("depthwise", hidden, hidden, self.kernel_size, self.strides, hidden)
        self.expand = self.conv_bn("expand", hidden, channels, groups=self.groups)

    def call(self, x, weights=None, training=False):
        y = ops.relu(self.reduce(self.every_edge(x), training=training))
        y = self.depthwise(shuffle(y, self.branches, self.groups), training=training)
        y = self.expand(y, training=training)
        shortcut = x if self.strides == 1 else average_pool(x, 2)
        return self.weighted(ops.relu(y + self.every_edge(shortcut)), weights)

    def get_config(self):
        names = ("kernel_size", "groups", "reduction")
        return super().get_config() | {name: getattr(self, name) for name in names}


def shuffle(x, branches, groups):
    """Channel (g, i) of every branch becomes channel (i, g), so that the next groups hold something of each."""
    sides, own = x.shape[1:3], x.shape[-1] // (branches * groups)
    x = ops.transpose(ops.reshape(x, (-1, *sides, branches, groups, own)), (0, 1, 2, 3, 5, 4))
    return ops.reshape(x, (-1, *sides, branches * groups * own))
