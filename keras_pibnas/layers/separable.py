"""Separable and dilated separable convolutions, and conv_7x1_1x7."""

import keras
from keras import ops

from keras_pibnas.engine.kernels import convolution, depthwise
from keras_pibnas.layers.batch_norm import BatchNorm
from keras_pibnas.layers.op import Op


def check_kernel_size(layer, size):
    if not isinstance(size, int) or size < 1 or size % 2 == 0:
        raise ValueError(f"kernel_size of {type(layer).__name__} must be odd and positive. Received: {size!r}")
    return size


@keras.saving.register_keras_serializable("keras_pibnas")
class DilConv(Op):
    """ReLU, depthwise k with dilation, 1x1, BN. DARTS, `dil_conv_k`. Args: as `Op`; kernel_size: odd; dilation.

    Example:
        >>> kp.layers.DilConv(4)(np.ones((1, 8, 8, 4), "float32")).shape
        TensorShape([1, 8, 8, 4])
    """

    def __init__(
        self,
        channels: int,
        strides: int = 1,
        affine: bool = True,
        branches: int = 1,
        kernel_size: int = 3,
        dilation: int = 2,
        **kwargs,
    ):
        super().__init__(channels, strides, affine, branches, **kwargs)
        self.kernel_size, self.dilation = check_kernel_size(self, kernel_size), dilation

    def build(self, input_shape):
        super().build(input_shape)
        self.depthwise = self.depthwise_kernel("depthwise", self.kernel_size)
        self.pointwise = self.kernel("pointwise", (1, 1), self.channels, self.width)
        self.batch_norm = BatchNorm(self.affine, name="batch_norm", dtype=self.dtype_policy)
        self.batch_norm.build_for(self.width)

    def call(self, x, weights=None, training=False):
        x = depthwise(self.every_edge(ops.relu(x)), self.depthwise, self.strides, self.dilation)
        return self.batch_norm.of_pointwise(x, self.pointwise, weights, training)

    def get_config(self):
        return super().get_config() | {"kernel_size": self.kernel_size, "dilation": self.dilation}


@keras.saving.register_keras_serializable("keras_pibnas")
class SepConv(Op):
    """Twice: ReLU, depthwise k (the first one strided), 1x1, BN. DARTS, `sep_conv_k`.

    Args: as `Op`; kernel_size: odd.

    Example:
        >>> kp.layers.SepConv(4)(np.ones((1, 8, 8, 4), "float32")).shape
        TensorShape([1, 8, 8, 4])
    """

    def __init__(
        self, channels: int, strides: int = 1, affine: bool = True, branches: int = 1, kernel_size: int = 3, **kwargs
    ):
        super().__init__(channels, strides, affine, branches, **kwargs)
        self.kernel_size = check_kernel_size(self, kernel_size)

    def build(self, input_shape):
        super().build(input_shape)
        self.depthwise_1 = self.depthwise_kernel("depthwise_1", self.kernel_size)
        self.pointwise_1 = self.kernel("pointwise_1", (1, 1), self.channels, self.width)
        self.batch_norm_1 = BatchNorm(self.affine, name="batch_norm_1", dtype=self.dtype_policy)
        self.depthwise_2 = self.depthwise_kernel("depthwise_2", self.kernel_size)
        self.pointwise_2 = self.kernel("pointwise_2", (1, 1), self.channels, self.width)
        self.batch_norm_2 = BatchNorm(self.affine, name="batch_norm_2", dtype=self.dtype_policy)
        self.batch_norm_1.build_for(self.width)
        self.batch_norm_2.build_for(self.width)

    def call(self, x, weights=None, training=False):
        x = depthwise(self.every_edge(ops.relu(x)), self.depthwise_1, self.strides)
        x = self.batch_norm_1.of_pointwise(x, self.pointwise_1, training=training, relu=True)
        return self.batch_norm_2.of_pointwise(depthwise(x, self.depthwise_2), self.pointwise_2, weights, training)

    def get_config(self):
        return super().get_config() | {"kernel_size": self.kernel_size}


@keras.saving.register_keras_serializable("keras_pibnas")
class Conv7x1_1x7(Op):  # noqa: N801, the op's published name
    """ReLU, 1x7 convolution of stride (1, s), 7x1 of stride (s, 1), BN. AmoebaNet's and PIBConv's `conv_7x1_1x7`.

    Example:
        >>> kp.layers.Conv7x1_1x7(4)(np.ones((1, 8, 8, 4), "float32")).shape
        TensorShape([1, 8, 8, 4])
    """

    def build(self, input_shape):
        super().build(input_shape)
        self.row = self.kernel("row", (1, 7), self.channels, self.width)
        self.column = self.kernel("column", (7, 1), self.channels, self.width)
        self.batch_norm = BatchNorm(self.affine, name="batch_norm", dtype=self.dtype_policy)
        self.batch_norm.build_for(self.width)

    def call(self, x, weights=None, training=False):
        x = convolution(ops.relu(x), ops.cast(self.row, x.dtype), (1, self.strides))
        convolve = lambda x, k: convolution(x, ops.cast(k, x.dtype), (self.strides, 1))  # noqa: E731
        return self.batch_norm.of_convolution(convolve, x, ops.convert_to_tensor(self.column), weights, training)
