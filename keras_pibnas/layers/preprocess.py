"""What stands before and between cells: preprocessing of a cell's inputs, and the two stems."""

import keras
from keras import ops

from keras_pibnas.engine.kernels import convolution
from keras_pibnas.layers.batch_norm import BatchNorm
from keras_pibnas.layers.composite import Composite
from keras_pibnas.layers.layer_norm import LayerNorm
from keras_pibnas.layers.op import uniform
from keras_pibnas.layers.skip import FactorizedReduce


@keras.saving.register_keras_serializable("keras_pibnas")
class ReLUConvBN(Composite):
    """ReLU, 1x1 convolution, BN: (B, H, W, C') -> (B, H, W, channels). DARTS, preprocessing of a cell.

    Args: channels: of the output; affine: whether BN has gamma and beta.

    Example:
        >>> kp.layers.ReLUConvBN(4)(np.ones((1, 8, 8, 12), "float32")).shape
        TensorShape([1, 8, 8, 4])
    """

    def __init__(self, channels: int, affine: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.affine = channels, affine

    def build(self, input_shape):
        inputs = input_shape[-1]
        self.kernel = self.add_weight(name="kernel", shape=(1, 1, inputs, self.channels), initializer=uniform(inputs))
        self.batch_norm = BatchNorm(self.affine, name="batch_norm", dtype=self.dtype_policy)
        self.batch_norm.build_for(self.channels)

    def call(self, x, training=False):
        kernel = ops.convert_to_tensor(self.kernel)
        return self.batch_norm.of_pointwise(ops.relu(x), kernel, training=training)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.channels)

    def get_config(self):
        return super().get_config() | {"channels": self.channels, "affine": self.affine}


def preprocess(channels: int, inputs: int, reduction: bool, affine: bool = True, **kwargs) -> keras.layers.Layer:
    """Brings a cell's input to its channels, and to its side where it comes from before a reduction.

    Example:
        >>> kp.layers.preprocess(4, inputs=12, reduction=False)(np.ones((1, 8, 8, 12), "float32")).shape
        TensorShape([1, 8, 8, 4])
    """
    if reduction:
        return FactorizedReduce(channels, affine=affine, inputs=inputs, **kwargs)
    return ReLUConvBN(channels, affine, **kwargs)


@keras.saving.register_keras_serializable("keras_pibnas")
class ConvStem(Composite):
    """3x3 convolution, BN: (B, H, W, C') -> (B, H, W, channels). DARTS, the stem for CIFAR. Args: channels.

    Example:
        >>> kp.layers.ConvStem(12)(np.ones((1, 8, 8, 3), "float32")).shape
        TensorShape([1, 8, 8, 12])
    """

    size, strides, padding = 3, 1, 1

    def __init__(self, channels: int, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels

    def build(self, input_shape):
        inputs = input_shape[-1]
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={-1: inputs})  # TensorFlow takes multiples, too
        shape = (self.size, self.size, inputs, self.channels)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=uniform(inputs * self.size**2))
        self.norm = self.make_norm()

    def make_norm(self):
        norm = BatchNorm(name="batch_norm", dtype=self.dtype_policy)
        norm.build_for(self.channels)
        return norm

    def call(self, x, training=False):
        convolve = lambda x, k: convolution(x, ops.cast(k, x.dtype))  # noqa: E731
        return self.norm.of_convolution(convolve, x, ops.convert_to_tensor(self.kernel), training=training)

    def compute_output_shape(self, input_shape):
        sides = (
            None if n is None else (n + 2 * self.padding - self.size) // self.strides + 1 for n in input_shape[1:3]
        )
        return (input_shape[0], *sides, self.channels)

    def get_config(self):
        return super().get_config() | {"channels": self.channels}


@keras.saving.register_keras_serializable("keras_pibnas")
class PatchifyStem(ConvStem):
    """4x4 convolution of stride 4 with padding 1, LayerNorm: (B, H, W, C') -> (B, (H - 2) // 4 + 1, ..., channels).

    ConvNeXt's stem as the PIBConv paper discusses it (section 2). Args: channels.

    Example:
        >>> kp.layers.PatchifyStem(12)(np.ones((1, 8, 8, 3), "float32")).shape
        TensorShape([1, 2, 2, 12])
    """

    size, strides, padding = 4, 4, 1

    def make_norm(self):
        norm = LayerNorm(name="layer_norm", dtype=self.dtype_policy)
        norm.build((None, None, None, self.channels))
        return norm

    def call(self, x, training=False):
        x = ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        x = ops.conv(x, ops.convert_to_tensor(self.kernel), self.strides, "valid", data_format="channels_last")
        return self.norm(x)


STEMS = {"conv3x3": ConvStem, "patchify": PatchifyStem}
