"""Drop path: scheduled, for training discrete networks."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_pibnas")
class DropPath(keras.layers.Layer):
    """Zeroes whole samples with probability `rate` in training, and divides the others by 1 - rate.

    Larsson et al., 2017, as DARTS has it: on every edge but identity. The rate is a variable, so that a schedule can
    raise it while training (`callbacks.DropPathSchedule`).

    Args: rate: probability in [0, 1); seed: int or None. Call: x (B, ...) -> the same shape.

    Example:
        >>> kp.layers.DropPath(0.2)(np.ones((1, 8, 8, 4), "float32")).shape
        TensorShape([1, 8, 8, 4])
    """

    def __init__(self, rate: float = 0.0, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.initial_rate, self.seed = check_rate(rate), seed
        self.generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        self.rate = self.add_weight(
            name="rate", shape=(), initializer=keras.initializers.Constant(self.initial_rate), trainable=False,
            dtype="float32", autocast=False,
        )  # fmt: skip

    def call(self, x, training=False):
        if not training:
            return x
        keep = 1.0 - ops.convert_to_tensor(self.rate)
        shape = (ops.shape(x)[0], *(1 for _ in x.shape[1:]))
        kept = ops.floor(keep + keras.random.uniform(shape, dtype="float32", seed=self.generator))
        return x * ops.cast(kept / keep, x.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {"rate": self.initial_rate, "seed": self.seed}


def check_rate(rate):
    """A drop path rate, or a ValueError."""
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"A drop path rate is a probability in [0, 1). Received: {rate!r}")
    return float(rate)
