"""The plain convolutions of the lecture notes, as ops; and the convolution with BN that blocks are made of."""

import keras
from keras import ops

from keras_pibnas.engine.kernels import bias_add, convolution, depthwise, every_second, pointwise
from keras_pibnas.layers.batch_norm import BatchNorm
from keras_pibnas.layers.composite import Composite
from keras_pibnas.layers.op import Op, uniform
from keras_pibnas.layers.separable import check_kernel_size


class ConvBN(Composite):
    """k x k convolution in groups, then BN: (B, H, W, E * I) -> (B, ceil(H / strides), ..., E * O).

    With groups=1 the input may be (B, H, W, I), which all branches share, as for an `Op`.

    Args: inputs: I; outputs: O, of one branch; kernel_size: k; strides; groups: of one branch; affine; branches: E;
    bias: whether the convolution has one.

    Example:
        >>> kp.layers.ConvBN(4, 8)(np.ones((1, 8, 8, 4), "float32")).shape
        TensorShape([1, 8, 8, 8])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel_size: int = 1,
        strides: int = 1,
        groups: int = 1,
        affine: bool = True,
        branches: int = 1,
        bias: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.inputs, self.outputs, self.kernel_size, self.strides = inputs, outputs, kernel_size, strides
        self.groups, self.affine, self.branches = groups, affine, branches
        self.has_bias, self.depthwise = bias, groups == inputs == outputs > 1

    def build(self, input_shape=None):
        size, width = self.kernel_size, self.branches * self.outputs
        inputs = self.inputs // self.groups
        self.kernel = self.add_weight(
            name="depthwise" if self.depthwise else "kernel",
            shape=(size, size, width, 1) if self.depthwise else (size, size, inputs, width),
            initializer=uniform(size**2 * inputs), autocast=False,
        )  # fmt: skip
        self.bias = self.add_weight(
            name="bias", shape=(width,), initializer=uniform(size**2 * inputs), autocast=False
        ) if self.has_bias else None  # fmt: skip
        self.batch_norm = BatchNorm(self.affine, name="batch_norm", dtype=self.dtype_policy)
        self.batch_norm.build_for(width)
        self.built = True

    def call(self, x, weights=None, training=False):
        kernel = ops.cast(self.kernel, x.dtype)
        if self.depthwise:
            x = depthwise(x, kernel, self.strides)
        elif self.kernel_size == 1:
            x = pointwise(x if self.strides == 1 else every_second(x), kernel)
        else:
            x = convolution(x, kernel, self.strides)
        x = x if self.bias is None else bias_add(x, ops.cast(self.bias, x.dtype))
        return self.batch_norm(x, weights=weights, training=training)


class ConvOp(Op):
    """What ops made of `ConvBN` share."""

    def conv_bn(self, name, inputs, outputs, kernel_size=1, strides=1, groups=1, bias=False):
        """A built ConvBN for all branches."""
        layer = ConvBN(inputs, outputs, kernel_size, strides, groups, self.affine, self.branches, bias, name=name,
                       dtype=self.dtype_policy)  # fmt: skip
        layer.build()
        return layer


@keras.saving.register_keras_serializable("keras_pibnas")
class Conv(ConvOp):
    """ReLU, k x k convolution in groups, BN.

    Normal with one group, depthwise with as many as channels, pointwise with k = 1. The lecture notes' primitive
    operations, between ReLU and BN as DARTS has its own.

    Args: as `Op`; kernel_size: k, odd; groups: a divisor of the channels; bias: whether the convolution has a bias
    where its BN is not affine, as in NAS-Bench-201's supernets: in training that BN takes it out again.

    Example:
        >>> kp.layers.Conv(4)(np.ones((1, 8, 8, 4), "float32")).shape
        TensorShape([1, 8, 8, 4])
    """

    def __init__(
        self,
        channels: int,
        strides: int = 1,
        affine: bool = True,
        branches: int = 1,
        kernel_size: int = 3,
        groups: int = 1,
        bias: bool = False,
        **kwargs,
    ):
        super().__init__(channels, strides, affine, branches, **kwargs)
        self.kernel_size, self.groups = check_kernel_size(self, kernel_size), check_groups(self, groups)
        self.bias = bias

    def build(self, input_shape):
        super().build(input_shape)
        size = (self.kernel_size, self.strides, self.groups, self.bias and not self.affine)
        self.conv = self.conv_bn("conv", self.channels, self.channels, *size)

    def call(self, x, weights=None, training=False):
        x = ops.relu(x)
        return self.conv(x if self.groups == 1 else self.every_edge(x), weights=weights, training=training)

    def get_config(self):
        own = {"kernel_size": self.kernel_size, "groups": self.groups}
        return super().get_config() | own | ({"bias": True} if self.bias else {})


def check_groups(layer, groups):
    if not isinstance(groups, int) or groups < 1 or layer.channels % groups:
        raise ValueError(
            f"groups of {type(layer).__name__} must be a divisor of the {layer.channels} channels. "
            f"Received: groups={groups!r}"
        )
    return groups


def depthwise_conv(
    channels: int, strides: int = 1, affine: bool = True, branches: int = 1, kernel_size: int = 3, **kwargs
) -> keras.layers.Layer:
    """`Conv` with a group for every channel.

    Example:
        >>> kp.layers.depthwise_conv(4)(np.ones((1, 8, 8, 4), "float32")).shape
        TensorShape([1, 8, 8, 4])
    """
    return Conv(channels, strides, affine, branches, kernel_size, groups=channels, **kwargs)


@keras.saving.register_keras_serializable("keras_pibnas")
class Linear(Op):
    """W x + b at every pixel, at stride 2 at every second one, and nothing else. Args: as `Op`; affine: whether b is
    there (without it the op is linear in the strict sense).

    Example:
        >>> kp.layers.Linear(4)(np.ones((1, 8, 8, 4), "float32")).shape
        TensorShape([1, 8, 8, 4])
    """

    def build(self, input_shape):
        super().build(input_shape)
        self.weight = self.kernel("weight", (1, 1), self.channels, self.width)
        self.bias = self.add_weight(
            name="bias", shape=(self.width,), initializer=uniform(self.channels), autocast=False
        ) if self.affine else None  # fmt: skip

    def call(self, x, weights=None, training=False):
        x = x if self.strides == 1 else every_second(x)
        y = pointwise(x, ops.cast(self.weighted(self.weight, weights), x.dtype))
        return y if self.bias is None else bias_add(y, ops.cast(self.weighted(self.bias, weights), x.dtype))
