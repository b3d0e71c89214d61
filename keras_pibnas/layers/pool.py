"""3x3 pooling."""

from functools import partial

import keras
from keras import ops

from keras_pibnas.engine.kernels import average_pool, gather, max_pool
from keras_pibnas.layers.batch_norm import BatchNorm
from keras_pibnas.layers.op import SharedOp


class _Pool(SharedOp):
    """3x3 pooling with padding 1. Args: as `Op`; norm: whether a batch normalization without gamma and beta follows
    (in the supernets of the `darts` space; discrete networks have none, as published)."""

    def __init__(self, channels, strides=1, affine=True, branches=1, norm=False, **kwargs):
        super().__init__(channels, strides, affine, branches, **kwargs)
        self.norm = norm

    def build(self, input_shape):
        super().build(input_shape)
        self.batch_norm = (
            BatchNorm(affine=False, name="batch_norm", dtype=self.dtype_policy) if self.norm else None
        )
        if self.norm:
            self.batch_norm.build_for(self.width)

    def shared(self, x, mix=None, training=False, source=None):
        pooled = self.pool(x, self.strides, training)
        if self.norm and not self.batch_norm.moves(training):
            norm = self.batch_norm
            scale, offset = norm.coefficients(norm.moving_mean, norm.moving_variance, mix)
            return pooled, ops.cast(scale, x.dtype), ops.cast(offset, x.dtype)
        if self.norm:
            pooled = self.batch_norm.standardize(pooled, partial(self._every_branch, source))
        return pooled, None if mix is None and self.branches == 1 else self.weight(mix, x), None

    def _every_branch(self, source, value):
        """(C,) -> (E * C,)."""
        return ops.tile(value, self.branches) if source is None else gather(value, source)

    def get_config(self):
        return super().get_config() | {"norm": self.norm}


@keras.saving.register_keras_serializable("keras_pibnas")
class MaxPool(_Pool):
    __doc__ = _Pool.__doc__ + " The padding is -inf."

    pool = staticmethod(max_pool)


@keras.saving.register_keras_serializable("keras_pibnas")
class AveragePool(_Pool):
    __doc__ = _Pool.__doc__ + " The padding is left out of the count."

    pool = staticmethod(average_pool)
