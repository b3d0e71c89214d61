"""The ImageNet network of DARTS: its two stems and its auxiliary head."""

from typing import Any

import keras
from keras import ops

from keras_pibnas.engine.kernels import convolution, pointwise
from keras_pibnas.layers.auxiliary import AuxiliaryHead
from keras_pibnas.layers.batch_norm import BatchNorm
from keras_pibnas.layers.composite import Composite
from keras_pibnas.layers.op import uniform
from keras_pibnas.layers.preprocess import STEMS


class _Stem(Composite):
    """3x3 convolutions of stride 2, each with BN, ReLU between them. Args: channels."""

    def __init__(self, channels, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels

    def add_conv(self, number, inputs, outputs):
        """Makes kernel_1 and batch_norm_1, or those of another number."""
        kernel = self.add_weight(
            name=f"kernel_{number}", shape=(3, 3, inputs, outputs), initializer=uniform(9 * inputs), autocast=False
        )
        norm = BatchNorm(name=f"batch_norm_{number}", dtype=self.dtype_policy)
        norm.build_for(outputs)
        setattr(self, f"kernel_{number}", kernel)
        setattr(self, f"batch_norm_{number}", norm)

    def conv(self, number, x, training):
        kernel, norm = getattr(self, f"kernel_{number}"), getattr(self, f"batch_norm_{number}")
        return norm(convolution(x, ops.cast(kernel, x.dtype), 2), training=training)

    def compute_output_shape(self, input_shape):
        sides = (None if side is None else -(-side // self.strides) for side in input_shape[1:3])
        return (input_shape[0], *sides, self.channels)

    def get_config(self):
        return super().get_config() | {"channels": self.channels}


@keras.saving.register_keras_serializable("keras_pibnas")
class ImageNetStem(_Stem):
    """3x3 stride 2 to C / 2, BN, ReLU, 3x3 stride 2 to C, BN: (B, H, W, C') -> (B, ceil(H / 4), ceil(W / 4), channels).

    `stem0` of DARTS's network for ImageNet. Args: channels: C, even.

    Example:
        >>> kp.layers.ImageNetStem(4)(np.ones((1, 64, 64, 3), "float32")).shape
        TensorShape([1, 16, 16, 4])
    """

    strides = 4

    def build(self, input_shape):
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={-1: input_shape[-1]})  # TensorFlow takes multiples, too
        self.add_conv(1, input_shape[-1], self.channels // 2)
        self.add_conv(2, self.channels // 2, self.channels)

    def call(self, x, training=False):
        return self.conv(2, ops.relu(self.conv(1, x, training)), training)


@keras.saving.register_keras_serializable("keras_pibnas")
class StemReduction(_Stem):
    """ReLU, 3x3 stride 2, BN: (B, H, W, C') -> (B, ceil(H / 2), ceil(W / 2), channels).

    `stem1` of DARTS's network for ImageNet. Args: channels.

    Example:
        >>> kp.layers.StemReduction(4)(np.ones((1, 16, 16, 4), "float32")).shape
        TensorShape([1, 8, 8, 4])
    """

    strides = 2

    def build(self, input_shape):
        self.add_conv(1, input_shape[-1], self.channels)

    def call(self, x, training=False):
        return self.conv(1, ops.relu(x), training)


def make_stems(stem: str, channels: int, dtype: Any = None) -> list:
    """The layers of a stem, each of which reads the one before: one, or `ImageNetStem` and `StemReduction`.

    Args: stem: its name; channels: of the output; dtype: policy.

    Example:
        >>> [type(layer).__name__ for layer in kp.layers.make_stems("conv3x3", 48)]
        ['ConvStem']
    """
    if stem == "imagenet":
        return [ImageNetStem(channels, dtype=dtype, name="stem_0"), StemReduction(channels, dtype=dtype, name="stem_1")]
    return [STEMS[stem](channels, dtype=dtype, name="stem")]


@keras.saving.register_keras_serializable("keras_pibnas")
class ImageNetAuxiliaryHead(AuxiliaryHead):
    """ReLU, average pool 5 stride 2, 1x1 to 128, BN, ReLU, 2x2 to 768, ReLU, linear. DARTS, for 7x7 inputs.

    As published there is no second BN. Smaller inputs are pooled to 2x2 by a smaller window of stride 1; larger ones
    are averaged over what the 2x2 convolution leaves.

    Args: classes: number of logits. Call: x (B, H, W, C) with H, W >= 2 -> logits (B, classes).

    Example:
        >>> kp.layers.ImageNetAuxiliaryHead(10)(np.ones((1, 7, 7, 4), "float32")).shape
        TensorShape([1, 10])
    """

    def build(self, input_shape):
        inputs = input_shape[-1]
        if min(input_shape[1:3]) < 2:
            raise ValueError(
                f"The auxiliary head needs a side of at least 2 pixels. Received: input shape {tuple(input_shape)}"
            )
        self.narrow = self.add_weight(name="narrow", shape=(1, 1, inputs, 128), initializer=uniform(inputs))
        self.wide = self.add_weight(name="wide", shape=(2, 2, 128, 768), initializer=uniform(512))
        self.batch_norm_1 = BatchNorm(name="batch_norm_1", dtype=self.dtype_policy)
        self.batch_norm_1.build_for(128)
        linear = uniform(768)
        self.classifier = keras.layers.Dense(
            self.classes, kernel_initializer=linear, bias_initializer=linear, name="classifier", dtype=self.dtype_policy
        )
        self.classifier.build((None, 768))

    def call(self, x, training=False):
        size, strides = zip(*map(pooling, x.shape[1:3]), strict=True)
        x = ops.average_pool(ops.relu(x), size, strides, "valid", data_format="channels_last")
        x = pointwise(x, ops.convert_to_tensor(self.narrow))
        x = ops.relu(self.batch_norm_1(x, training=training))
        x = ops.conv(x, ops.convert_to_tensor(self.wide), 1, "valid", data_format="channels_last")
        return self.classifier(ops.mean(ops.relu(x), (1, 2)))


def pooling(side):
    """(window, stride) of the head's pooling of a side, in pixels; it leaves 2 pixels or more."""
    return (5, 2) if side >= 7 else (side - 1, 1)
