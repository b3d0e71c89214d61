"""The op `noise`."""

import keras
from keras import ops

from keras_pibnas.layers.op import Op


@keras.saving.register_keras_serializable("keras_pibnas")
class Noise(Op):
    """N(0, 1) noise of the output shape, drawn anew in every call, in inference too; the input is not looked at.

    RobustDARTS (arXiv:1909.09656), space S4: what a search should never choose. Args: as `Op`.

    Example:
        >>> kp.layers.Noise(4)(np.ones((1, 8, 8, 4), "float32")).shape
        TensorShape([1, 8, 8, 4])
    """

    def __init__(self, channels: int, strides: int = 1, affine: bool = True, branches: int = 1, **kwargs):
        super().__init__(channels, strides, affine, branches, **kwargs)
        self.generator = keras.random.SeedGenerator()

    def call(self, x, weights=None, training=False):
        batch, *sides = ops.shape(x)[:3]
        shape = (batch, *(-(-side // self.strides) for side in sides), self.width)
        return self.weighted(keras.random.normal(shape, dtype=x.dtype, seed=self.generator), weights)
