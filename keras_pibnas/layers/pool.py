"""3x3 pooling."""

import keras

from keras_pibnas.engine.kernels import average_pool, max_pool
from keras_pibnas.layers.batch_norm import BatchNorm
from keras_pibnas.layers.op import Op


class _Pool(Op):
    """3x3 pooling with padding 1. Args: as `Op`; norm: whether a batch normalization without gamma and beta follows
    (in the supernets of the `darts` space; discrete networks have none, as published)."""

    def __init__(self, channels, strides=1, affine=True, branches=1, norm=False, **kwargs):
        super().__init__(channels, strides, affine, branches, **kwargs)
        self.norm = norm

    def build(self, input_shape):
        super().build(input_shape)
        self.batch_norm = BatchNorm(affine=False, name="batch_norm", dtype=self.dtype_policy) if self.norm else None
        if self.norm:
            self.batch_norm.build_for(self.width)

    def call(self, x, weights=None, training=False):
        y = self.every_edge(self.pool(x, self.strides, training))
        if self.norm:
            return self.batch_norm(y, weights=weights, training=training)
        return self.weighted(y, weights)

    def get_config(self):
        return super().get_config() | {"norm": self.norm}


@keras.saving.register_keras_serializable("keras_pibnas")
class MaxPool(_Pool):
    """3x3 pooling with padding 1. The padding is -inf. Args: as `Op`; norm: whether BN without gamma
    and beta follows, as in the supernets of the `darts` space.

    Example:
        >>> kp.layers.MaxPool(4)(np.ones((1, 8, 8, 4), "float32")).shape
        TensorShape([1, 8, 8, 4])
    """

    pool = staticmethod(max_pool)


@keras.saving.register_keras_serializable("keras_pibnas")
class AveragePool(_Pool):
    """3x3 pooling with padding 1. The padding is left out of the count. Args: as `Op`; norm: whether BN without gamma
    and beta follows, as in the supernets of the `darts` space.

    Example:
        >>> kp.layers.AveragePool(4)(np.ones((1, 8, 8, 4), "float32")).shape
        TensorShape([1, 8, 8, 4])
    """

    pool = staticmethod(average_pool)
