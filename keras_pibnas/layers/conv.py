"""The plain convolutions of the lecture notes, as ops; and the convolution with BN that blocks are made of."""

import keras
from keras import ops

from keras_pibnas.engine.kernels import bias_add, convolution, depthwise, every_second, pointwise, tile
from keras_pibnas.layers.batch_norm import BatchNorm, repeat
from keras_pibnas.layers.composite import Composite
from keras_pibnas.layers.op import Op, uniform
from keras_pibnas.layers.pib_conv import weighted
from keras_pibnas.layers.separable import check_kernel_size


class ConvBN(Composite):
    """k x k convolution in groups, without bias, then BN: (B, H, W, E * I) -> (B, ceil(H / strides), ..., E * O).

    With groups=1 the input may be (B, H, W, I), which all branches share, as for an `Op`.

    Args: inputs: I; outputs: O, of one branch; kernel_size: k; strides; groups: of one branch; affine; branches: E.
    """

    def __init__(
        self, inputs, outputs, kernel_size=1, strides=1, groups=1, affine=True, branches=1, **kwargs
    ):
        super().__init__(**kwargs)
        self.inputs, self.outputs, self.kernel_size, self.strides = inputs, outputs, kernel_size, strides
        self.groups, self.affine, self.branches = groups, affine, branches
        self.depthwise = groups == inputs == outputs > 1

    def build(self, input_shape=None):
        size, width = self.kernel_size, self.branches * self.outputs
        inputs = self.inputs // self.groups
        self.kernel = self.add_weight(
            name="depthwise" if self.depthwise else "kernel",
            shape=(size, size, width, 1) if self.depthwise else (size, size, inputs, width),
            initializer=uniform(size**2 * inputs), autocast=False,
        )  # fmt: skip
        self.batch_norm = BatchNorm(self.affine, name="batch_norm", dtype=self.dtype_policy)
        self.batch_norm.build_for(width)
        self.built = True

    def call(self, x, mix=None, training=False):
        y, offset = self.unshifted(x, mix, training)
        return y if offset is None else bias_add(y, offset)

    def unshifted(self, x, mix=None, training=False):
        """As `Op.unshifted`."""
        kernel = ops.cast(self.kernel, x.dtype)
        if self.depthwise:
            x = depthwise(x, kernel, self.strides)
        elif self.kernel_size == 1:
            x = pointwise(x if self.strides == 1 else every_second(x), kernel)
        else:
            x = convolution(x, kernel, self.strides)
        return self.batch_norm.unshifted(x, mix, training)


class ConvOp(Op):
    """What ops made of `ConvBN` share."""

    def conv_bn(self, name, inputs, outputs, kernel_size=1, strides=1, groups=1):
        """A built ConvBN for all branches."""
        layer = ConvBN(inputs, outputs, kernel_size, strides, groups, self.affine, self.branches, name=name,
                       dtype=self.dtype_policy)  # fmt: skip
        layer.build()
        return layer

    def every_edge(self, x):
        """x, once for every edge: (B, H, W, E * C)."""
        return tile(x, self.channels, self.branches)

    def mixed(self, x, mix):
        """x (B, H, W, E * C) times the weights of the edges, for what does not end in a BN."""
        return x if mix is None else x * repeat(ops.cast(mix, x.dtype), self.width)


@keras.saving.register_keras_serializable("keras_pibnas")
class Conv(ConvOp):
    """ReLU, k x k convolution in groups, BN.

    Normal with one group, depthwise with as many as channels, pointwise with k = 1. The lecture notes' primitive
    operations, between ReLU and BN as DARTS has its own.

    Args: as `Op`; kernel_size: k, odd; groups: a divisor of the channels.
    """

    relu_first = True

    def __init__(self, channels, strides=1, affine=True, branches=1, kernel_size=3, groups=1, **kwargs):
        super().__init__(channels, strides, affine, branches, **kwargs)
        self.kernel_size, self.groups = check_kernel_size(self, kernel_size), check_groups(self, groups)

    def build(self, input_shape):
        super().build(input_shape)
        size = (self.kernel_size, self.strides, self.groups)
        self.conv = self.conv_bn("conv", self.channels, self.channels, *size)

    def after_relu(self, x, mix=None, training=False):
        return self.conv.unshifted(x if self.groups == 1 else self.every_edge(x), mix, training)

    def get_config(self):
        return super().get_config() | {"kernel_size": self.kernel_size, "groups": self.groups}


def check_groups(layer, groups):
    if not isinstance(groups, int) or groups < 1 or layer.channels % groups:
        raise ValueError(
            f"groups of {type(layer).__name__} must be a divisor of the {layer.channels} channels. "
            f"Received: groups={groups!r}"
        )
    return groups


def depthwise_conv(channels, strides=1, affine=True, branches=1, kernel_size=3, **kwargs):
    """`Conv` with a group for every channel."""
    return Conv(channels, strides, affine, branches, kernel_size, groups=channels, **kwargs)


@keras.saving.register_keras_serializable("keras_pibnas")
class Linear(Op):
    """W x + b at every pixel, at stride 2 at every second one, and nothing else. Args: as `Op`; affine: whether b is
    there (without it the op is linear in the strict sense)."""

    def build(self, input_shape):
        super().build(input_shape)
        self.weight = self.kernel("weight", (1, 1), self.channels, self.width)
        self.bias = self.add_weight(
            name="bias", shape=(self.width,), initializer=uniform(self.channels), autocast=False
        ) if self.affine else None  # fmt: skip

    def unshifted(self, x, mix=None, training=False):
        x = x if self.strides == 1 else every_second(x)
        y = pointwise(x, ops.cast(weighted(self.weight, mix), x.dtype))
        if self.bias is None:
            return y, None
        bias = ops.convert_to_tensor(self.bias)
        bias = bias if mix is None else bias * repeat(ops.cast(mix, bias.dtype), self.width)
        return y, ops.cast(bias, x.dtype)
