"""The steps between DARTS's separable convolution and the PIBConv block (PIBConv paper, Fig. 1 and section 2)."""

import keras
from keras import ops

from keras_pibnas.engine.kernels import depthwise, gelu, pointwise
from keras_pibnas.layers.batch_norm import BatchNorm
from keras_pibnas.layers.layer_norm import LayerNorm
from keras_pibnas.layers.op import Op
from keras_pibnas.layers.pib_conv import check_expansion, depthwise_norm
from keras_pibnas.layers.separable import SepConv, check_kernel_size


@keras.saving.register_keras_serializable("keras_pibnas")
class SepConvGELU(SepConv):
    """Twice: GELU, depthwise k (the first one strided), 1x1, BN. The roadmap's first step. Args: as `SepConv`.

    Example:
        >>> kp.layers.SepConvGELU(4)(np.ones((1, 8, 8, 4), "float32")).shape
        TensorShape([1, 8, 8, 4])
    """

    def call(self, x, weights=None, training=False):
        x = depthwise(self.every_edge(gelu(x)), self.depthwise_1, self.strides)
        x = gelu(self.batch_norm_1.of_pointwise(x, self.pointwise_1, training=training))
        return self.batch_norm_2.of_pointwise(depthwise(x, self.depthwise_2), self.pointwise_2, weights, training)


@keras.saving.register_keras_serializable("keras_pibnas")
class SepConvLayerNorm(Op):
    """Twice: GELU, depthwise k (the first one strided), 1x1, LayerNorm over channels. The roadmap's second step.

    Args: as `Op`, affine for gamma and beta of the layer normalizations; kernel_size: odd.

    Example:
        >>> kp.layers.SepConvLayerNorm(4)(np.ones((1, 8, 8, 4), "float32")).shape
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
        self.layer_norm_1 = self._norm("layer_norm_1")
        self.depthwise_2 = self.depthwise_kernel("depthwise_2", self.kernel_size)
        self.pointwise_2 = self.kernel("pointwise_2", (1, 1), self.channels, self.width)
        self.layer_norm_2 = self._norm("layer_norm_2")

    def _norm(self, name):
        norm = LayerNorm(self.affine, branches=self.branches, name=name, dtype=self.dtype_policy)
        norm.build((None, None, None, self.width))
        return norm

    def call(self, x, weights=None, training=False):
        first, second = (ops.cast(kernel, x.dtype) for kernel in (self.pointwise_1, self.pointwise_2))
        x = depthwise(self.every_edge(gelu(x)), self.depthwise_1, self.strides)
        x = depthwise(gelu(self.layer_norm_1(pointwise(x, first))), self.depthwise_2)
        return self.layer_norm_2(pointwise(x, second), weights=weights)

    def get_config(self):
        return super().get_config() | {"kernel_size": self.kernel_size}


@keras.saving.register_keras_serializable("keras_pibnas")
class ConvNeXtConv(Op):
    """Depthwise k (strided), BN, 1x1 to F * C, GELU, 1x1: ConvNeXt's inverted bottleneck, equation (1) of the paper.

    One activation, one norm, depthwise first (Fig. 2 b). The norm is BN, because the paper goes back to it before this
    step; there is no residual connection, for in a cell `skip_connect` is an op of its own.

    Args: as `Op`; kernel_size: odd; expansion: F, published 4, with F * C an integer.

    Example:
        >>> kp.layers.ConvNeXtConv(4)(np.ones((1, 8, 8, 4), "float32")).shape
        TensorShape([1, 8, 8, 4])
    """

    def __init__(
        self,
        channels: int,
        strides: int = 1,
        affine: bool = True,
        branches: int = 1,
        kernel_size: int = 7,
        expansion: float = 4,
        **kwargs,
    ):
        super().__init__(channels, strides, affine, branches, **kwargs)
        self.kernel_size, self.expansion = check_kernel_size(self, kernel_size), expansion
        self.hidden = check_expansion(channels, expansion)

    def build(self, input_shape):
        super().build(input_shape)
        self.depthwise = self.depthwise_kernel("depthwise", self.kernel_size)
        self.batch_norm = BatchNorm(self.affine, name="batch_norm", dtype=self.dtype_policy)
        self.batch_norm.build_for(self.width)
        self.pointwise_1 = self.kernel("pointwise_1", (1, 1), self.channels, self.branches * self.hidden)
        self.pointwise_2 = self.kernel("pointwise_2", (1, 1), self.hidden, self.width)

    def call(self, x, weights=None, training=False):
        x = depthwise_norm(self.batch_norm, self.every_edge(x), self.depthwise, self.strides, training)
        x = gelu(pointwise(x, ops.cast(self.pointwise_1, x.dtype)))
        return pointwise(x, ops.cast(self.weighted(self.pointwise_2, weights), x.dtype))

    def get_config(self):
        return super().get_config() | {"kernel_size": self.kernel_size, "expansion": self.expansion}
