"""The residual block that reduces in NAS-Bench-201's networks."""

import keras
from keras import ops

from keras_pibnas.engine.kernels import pointwise
from keras_pibnas.layers.composite import Composite
from keras_pibnas.layers.conv import ConvBN
from keras_pibnas.layers.op import uniform


@keras.saving.register_keras_serializable("keras_pibnas")
class ResidualBlock(Composite):
    """ReLU, 3x3 stride 2, BN, ReLU, 3x3, BN; beside it average pool 2x2 and 1x1 without BN; their sum.

    NAS-Bench-201 (arXiv:2001.00326), section 2. Args: channels: of the output.
    Call: x (B, H, W, C) -> (B, ceil(H / 2), ceil(W / 2), channels).

    Example:
        >>> kp.layers.ResidualBlock(8)(np.ones((1, 8, 8, 4), "float32")).shape
        TensorShape([1, 4, 4, 8])
    """

    def __init__(self, channels: int, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels

    def build(self, input_shape):
        inputs = input_shape[-1]
        self.conv_1 = ConvBN(inputs, self.channels, 3, 2, name="conv_1", dtype=self.dtype_policy)
        self.conv_2 = ConvBN(self.channels, self.channels, 3, name="conv_2", dtype=self.dtype_policy)
        self.conv_1.build()
        self.conv_2.build()
        self.shortcut = self.add_weight(
            name="shortcut", shape=(1, 1, inputs, self.channels), initializer=uniform(inputs), autocast=False
        )

    def call(self, x, training=False):
        y = self.conv_1(ops.relu(x), training=training)
        y = self.conv_2(ops.relu(y), training=training)
        pooled = ops.average_pool(x, 2, 2, "same", data_format="channels_last")
        return y + pointwise(pooled, ops.cast(self.shortcut, x.dtype))

    def compute_output_shape(self, input_shape):
        sides = (None if side is None else -(-side // 2) for side in input_shape[1:3])
        return (input_shape[0], *sides, self.channels)

    def get_config(self):
        return super().get_config() | {"channels": self.channels}
