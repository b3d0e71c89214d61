"""What the ops of a search space have in common."""

import keras

from keras_pibnas.engine.kernels import bias_add, expand
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
        mix: (E,) or None; weights that the edges' outputs are multiplied with.
        training: whether batch normalization uses batch statistics.

    Returns:
        (B, ceil(H / strides), ceil(W / strides), E * C), edge by edge.
    """

    # Whether `unshifted` reads numbers of channels and branches from its tensors alone, also where they are unknown: it
    # then gets x (B, H, W, E * C), all that the edges read, and mix (E * C,), and one trace serves many bundles.
    any_width = False

    # Whether the op begins with ReLU, and has `after_relu`: a bundle then computes the ReLU once for all its ops.
    relu_first = False

    def __init__(self, channels, strides=1, affine=True, branches=1, **kwargs):
        super().__init__(**kwargs)
        for name, value in (("channels", channels), ("branches", branches)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"{name} of {type(self).__name__} must be a positive integer. Received: {name}={value!r}"
                )
        if strides not in (1, 2):
            raise ValueError(
                f"strides of {type(self).__name__} must be 1 or 2. Received: strides={strides!r}"
            )
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
        return self.add_weight(
            name=name, shape=(*size, inputs, outputs), initializer=uniform(fan_in), autocast=False
        )

    def build(self, input_shape):
        if input_shape[-1] != self.channels:
            raise ValueError(
                f"{self.name} takes {self.channels} channels. Received: input shape {tuple(input_shape)}"
            )

    def call(self, x, mix=None, training=False):
        y, offset = self.unshifted(x, mix, training)
        return bias_add(y, offset)

    def unshifted(self, x, mix=None, training=False):
        """The output without its last bias, and that bias (E * C,) or None; a sum of ops adds all biases at once."""
        return self.after_relu(keras.ops.relu(x), mix, training)

    def after_relu(self, x, mix=None, training=False):
        """`unshifted`, where x has been through the op's first ReLU."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape):
        batch, height, width = input_shape[:3]
        sides = (None if side is None else -(-side // self.strides) for side in (height, width))
        return (batch, *sides, self.width)

    def get_config(self):
        names = ("channels", "strides", "affine", "branches")
        return super().get_config() | {name: getattr(self, name) for name in names}


class SharedOp(Op):
    """An op without kernels, which is the same on every edge of a bundle, so it is computed once.

    Subclasses give `shared(x, mix, training, source)`: features (B, H', W', C), scale (E * C,), offset (E * C,) or
    None. `source` (E * C,) says which channel of x a channel of an edge reads; it may be None where E is known.
    """

    any_width = True

    def unshifted(self, x, mix=None, training=False):
        features, scale, offset = self.shared(x, mix, training)
        if scale is None:
            return features, offset
        return expand(features, scale[None], self.channels, self.branches), offset

    def weight(self, mix, x):
        """mix spread over the channels, or ones: (E * C,) in the type of x."""
        one = keras.ops.ones((self.branches,), x.dtype)
        return repeat(one if mix is None else keras.ops.cast(mix, x.dtype), self.width)
