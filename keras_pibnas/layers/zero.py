"""The op `none`."""

import keras
from keras import ops

from keras_pibnas.layers.op import Op


@keras.saving.register_keras_serializable("keras_pibnas")
class Zero(Op):
    """Zeros of the output shape; in a mix it is left out, for it adds nothing. DARTS, section 2.1.

    Example:
        >>> kp.layers.Zero(4, strides=2)(np.ones((1, 8, 8, 4), "float32")).shape
        TensorShape([1, 4, 4, 4])
    """

    def call(self, x, weights=None, training=False):
        shape = self.compute_output_shape(x.shape)
        return ops.zeros((ops.shape(x)[0], *shape[1:]), x.dtype)
