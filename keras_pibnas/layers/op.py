"""What the ops of a search space have in common."""

import keras

from keras_pibnas.engine.kernels import tile
from keras_pibnas.layers.batch_norm import repeat
from keras_pibnas.layers.composite import Composite


def uniform(fan_in):
    """PyTorch's default initializer of a convolution, with which DARTS was published: U(+-1 / sqrt(fan_in))."""
    bound = fan_in**-0.5
    return keras.initializers.RandomUniform(-bound, bound)


class Op(Composite):
    """An operation on an edge, or on all `branches` edges of a bundle in one pass.

    Args:
        channels: channels C of an edge, input and output.
        strides: 1, or 2 to halve height and width (rounded up).
        affine: whether batch normalizations have gamma and beta.
        branches: number of edges E computed side by side.

    Call arguments:
        x: (B, H, W, C), the state that the edges leave.
        weights: (E,) or None; the op weights that the edges' outputs are multiplied with.
        training: whether batch normalization uses batch statistics.

    Returns:
        (B, ceil(H / strides), ceil(W / strides), E * C), edge by edge.

    Example:
        >>> op = kp.spaces.build_op("sep_conv_3x3", 4, strides=2, branches=3)
        >>> op.compute_output_shape((1, 8, 8, 4))  # three edges side by side
        (1, 4, 4, 12)
    """

    def __init__(self, channels: int, strides: int = 1, affine: bool = True, branches: int = 1, **kwargs):
        super().__init__(**kwargs)
        for name, value in (("channels", channels), ("branches", branches)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"{name} of {type(self).__name__} must be a positive integer. Received: {name}={value!r}"
                )
        if strides not in (1, 2):
            raise ValueError(f"strides of {type(self).__name__} must be 1 or 2. Received: strides={strides!r}")
        self.channels, self.strides, self.affine, self.branches = channels, strides, bool(affine), branches

    @property
    def width(self):
        """Channels of all branches together."""
        return self.branches * self.channels

    def depthwise_kernel(self, name, size):
        return self.add_weight(name=name, shape=(size, size, self.width, 1), initializer=uniform(size * size))

    def kernel(self, name, size, inputs, outputs):
        """size: (height, width); inputs: channels of a group; outputs: channels of all groups."""
        fan_in = size[0] * size[1] * inputs
        return self.add_weight(name=name, shape=(*size, inputs, outputs), initializer=uniform(fan_in), autocast=False)

    def build(self, input_shape):
        if input_shape[-1] != self.channels:
            raise ValueError(f"{self.name} takes {self.channels} channels. Received: input shape {tuple(input_shape)}")

    def call(self, x, weights=None, training=False):
        raise NotImplementedError

    def every_edge(self, x):
        """(B, H, W, C) -> (B, H, W, E * C): x, once for every edge."""
        return tile(x, self.channels, self.branches)

    def weighted(self, y, weights):
        """y (..., E * C), an output or the kernel or the bias that it ends in, times the op weights of its edges."""
        y = keras.ops.convert_to_tensor(y)
        return y if weights is None else y * repeat(keras.ops.cast(weights, y.dtype), y.shape[-1])

    def compute_output_shape(self, input_shape):
        batch, height, width = input_shape[:3]
        sides = (None if side is None else -(-side // self.strides) for side in (height, width))
        return (batch, *sides, self.width)

    def get_config(self):
        names = ("channels", "strides", "affine", "branches")
        return super().get_config() | {name: getattr(self, name) for name in names}
