"""The op `conv_3x1_1x3`."""

import keras

from keras_pibnas.layers.batch_norm import BatchNorm
from keras_pibnas.layers.op import Op
from keras_pibnas.layers.separable import Conv7x1_1x7


@keras.saving.register_keras_serializable("keras_pibnas")
class Conv3x1_1x3(Conv7x1_1x7):  # noqa: N801, the op's published name
    """ReLU, 1x3 convolution of stride (1, s), 3x1 of stride (s, 1), BN. `conv_3x1_1x3` of SETN (arXiv:1910.05733).

    Example:
        >>> kp.layers.Conv3x1_1x3(4)(np.ones((1, 8, 8, 4), "float32")).shape
        TensorShape([1, 8, 8, 4])
    """

    def build(self, input_shape):
        Op.build(self, input_shape)
        self.row = self.kernel("row", (1, 3), self.channels, self.width)
        self.column = self.kernel("column", (3, 1), self.channels, self.width)
        self.batch_norm = BatchNorm(self.affine, name="batch_norm", dtype=self.dtype_policy)
        self.batch_norm.build_for(self.width)
