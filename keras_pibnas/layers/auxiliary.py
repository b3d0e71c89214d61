"""The auxiliary classifier of discrete networks."""

import keras
from keras import ops

from keras_pibnas.engine.kernels import pointwise
from keras_pibnas.layers.batch_norm import BatchNorm
from keras_pibnas.layers.composite import Composite
from keras_pibnas.layers.op import uniform


@keras.saving.register_keras_serializable("keras_pibnas")
class AuxiliaryHead(Composite):
    """ReLU, average pool 5 stride 3, 1x1 to 128, BN, ReLU, 2x2 to 768, BN, ReLU, linear. DARTS, for 8x8 inputs.

    Larger inputs are averaged over what the 2x2 convolution leaves; for 8x8 that is one pixel, as published.

    Args: classes: number of logits. Call: x (B, H, W, C) with H, W >= 8 -> logits (B, classes).

    Example:
        >>> kp.layers.AuxiliaryHead(10)(np.ones((1, 8, 8, 4), "float32")).shape
        TensorShape([1, 10])
    """

    def __init__(self, classes: int, **kwargs):
        super().__init__(**kwargs)
        self.classes = classes

    def build(self, input_shape):
        if min(input_shape[1:3]) < 8:
            raise ValueError(
                f"The auxiliary head needs a side of at least 8 pixels. Received: input shape {tuple(input_shape)}"
            )
        inputs = input_shape[-1]
        self.narrow = self.add_weight(name="narrow", shape=(1, 1, inputs, 128), initializer=uniform(inputs))
        self.wide = self.add_weight(name="wide", shape=(2, 2, 128, 768), initializer=uniform(512))
        self.batch_norm_1 = BatchNorm(name="batch_norm_1", dtype=self.dtype_policy)
        self.batch_norm_2 = BatchNorm(name="batch_norm_2", dtype=self.dtype_policy)
        self.batch_norm_1.build_for(128)
        self.batch_norm_2.build_for(768)
        linear = uniform(768)
        self.classifier = keras.layers.Dense(
            self.classes,
            kernel_initializer=linear,
            bias_initializer=linear,
            name="classifier",
            dtype=self.dtype_policy,
        )
        self.classifier.build((None, 768))

    def call(self, x, training=False):
        x = ops.average_pool(ops.relu(x), 5, 3, "valid", data_format="channels_last")
        x = pointwise(x, ops.convert_to_tensor(self.narrow))
        x = ops.relu(self.batch_norm_1(x, training=training))
        x = ops.conv(x, ops.convert_to_tensor(self.wide), 1, "valid", data_format="channels_last")
        x = ops.relu(self.batch_norm_2(x, training=training))
        return self.classifier(ops.mean(x, (1, 2)))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.classes)

    def get_config(self):
        return super().get_config() | {"classes": self.classes}
