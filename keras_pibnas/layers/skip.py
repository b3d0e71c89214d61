"""The op `skip_connect`: identity, or factorized reduce where the side is halved."""

import keras
from keras import ops

from keras_pibnas.engine.kernels import convolution, even
from keras_pibnas.layers.batch_norm import BatchNorm
from keras_pibnas.layers.op import Op


@keras.saving.register_keras_serializable("keras_pibnas")
class Identity(Op):
    """The input itself, on every edge. DARTS, `skip_connect` at stride 1.

    Example:
        >>> kp.layers.Identity(4)(np.ones((1, 8, 8, 4), "float32")).shape
        TensorShape([1, 8, 8, 4])
    """

    def call(self, x, weights=None, training=False):
        return self.weighted(self.every_edge(x), weights)


@keras.saving.register_keras_serializable("keras_pibnas")
class FactorizedReduce(Op):
    """ReLU, two 1x1 stride-2 convolutions of C / 2 outputs, the second on x shifted by one pixel, BN.

    DARTS, `skip_connect` at stride 2 and the preprocessing after a reduction. Odd sides are zero-padded at the far end.
    The two are one 2x2 convolution of stride 2 whose kernel is zero where neither reads: slicing takes longer.

    Args: as `Op`, with strides 2 only and an even number of channels; inputs: channels of the input (default:
    `channels`).

    Example:
        >>> kp.layers.FactorizedReduce(4)(np.ones((1, 8, 8, 4), "float32")).shape
        TensorShape([1, 4, 4, 4])
    """

    def __init__(
        self,
        channels: int,
        strides: int = 2,
        affine: bool = True,
        branches: int = 1,
        inputs: int | None = None,
        **kwargs,
    ):
        super().__init__(channels, strides, affine, branches, **kwargs)
        if strides != 2:
            raise ValueError(f"A factorized reduce halves the side: strides must be 2. Received: strides={strides!r}")
        if channels % 2:
            raise ValueError(f"A factorized reduce joins two halves: channels must be even. Received: {channels}")
        self.inputs = inputs

    def build(self, input_shape):
        inputs = self.inputs or self.channels
        if input_shape[-1] != inputs:
            raise ValueError(f"{self.name} takes {inputs} channels. Received: input shape {tuple(input_shape)}")
        half = self.width // 2
        self.conv_1 = self.kernel("conv_1", (1, 1), inputs, half)
        self.conv_2 = self.kernel("conv_2", (1, 1), inputs, half)
        self.batch_norm = BatchNorm(self.affine, name="batch_norm", dtype=self.dtype_policy)
        self.batch_norm.build_for(self.width)

    def call(self, x, weights=None, training=False):
        x = ops.relu(x) if self.inputs else self.every_edge(ops.relu(x))
        convolve = lambda x, k: convolution(x, ops.cast(k, x.dtype), 2)  # noqa: E731
        return self.batch_norm.of_convolution(convolve, even(x), self.joint_kernel(), weights, training)

    def joint_kernel(self):
        """(2, 2, I, E * C): of every branch, the first pixel's kernel is (conv_1, 0), the last one's (0, conv_2)."""
        kernels = self.conv_1.value, self.conv_2.value
        inputs, width = ops.shape(kernels[0])[2:]
        half = inputs // 2 if self.inputs is None else width // self.branches
        first, second = (ops.reshape(kernel, (1, inputs, -1, half)) for kernel in kernels)
        zero = ops.zeros_like(first)
        halves = ((first, zero), (zero, zero), (zero, zero), (zero, second))
        joint = ops.concatenate([ops.concatenate(pair, -1) for pair in halves], 0)
        return ops.reshape(joint, (2, 2, inputs, 2 * width))

    def get_config(self):
        return super().get_config() | {"inputs": self.inputs}


def skip_connect(
    channels: int, strides: int = 1, affine: bool = True, branches: int = 1, **kwargs
) -> keras.layers.Layer:
    """Identity at stride 1, factorized reduce at stride 2.

    Example:
        >>> kp.layers.skip_connect(4, strides=2)(np.ones((1, 8, 8, 4), "float32")).shape
        TensorShape([1, 4, 4, 4])
    """
    kind = Identity if strides == 1 else FactorizedReduce
    return kind(channels, strides, affine, branches, **kwargs)
