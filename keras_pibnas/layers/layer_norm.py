"""Layer normalization whose second derivatives are right."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_pibnas")
class LayerNorm(keras.layers.Layer):
    """Normalization over channels at every pixel (Ba et al., 2016), with gamma and beta where affine.

    Keras's own has a wrong second derivative on TensorFlow (its variance stops a gradient); this is plain arithmetic.

    Args: affine; epsilon: added to the variance. Call: x (B, H, W, E * C), weights (E,) or None; every block of C
    channels is normalized for itself.

    Example:
        >>> kp.layers.LayerNorm()(np.ones((1, 8, 8, 4), "float32")).shape
        TensorShape([1, 8, 8, 4])
    """

    def __init__(self, affine: bool = True, epsilon: float = 1e-6, branches: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.affine, self.epsilon, self.branches = affine, epsilon, branches

    def build(self, input_shape):
        kind = {"shape": (input_shape[-1],), "autocast": False}
        self.gamma = self.add_weight(name="gamma", initializer="ones", **kind) if self.affine else None
        self.beta = self.add_weight(name="beta", initializer="zeros", **kind) if self.affine else None
        self.built = True

    def call(self, x, weights=None, training=False):
        narrow = keras.backend.standardize_dtype(x.dtype) in ("float16", "bfloat16")
        wide = ops.cast(x, "float32") if narrow else x
        blocks = ops.reshape(wide, (-1, *x.shape[1:-1], self.branches, x.shape[-1] // self.branches))
        centred = blocks - ops.mean(blocks, -1, keepdims=True)
        scale = ops.rsqrt(ops.mean(ops.square(centred), -1, keepdims=True) + self.epsilon)
        if weights is not None and not self.affine:
            scale = scale * ops.cast(weights, wide.dtype)[:, None]
        y = ops.reshape(centred * scale, (-1, *x.shape[1:]))
        return ops.cast(self._affine(y, weights) if self.affine else y, x.dtype)

    def _affine(self, y, weights):
        gamma, beta = ops.convert_to_tensor(self.gamma), ops.convert_to_tensor(self.beta)
        if weights is None:
            return y * gamma + beta
        weight = ops.repeat(ops.cast(weights, gamma.dtype), y.shape[-1] // self.branches)
        return y * (gamma * weight) + beta * weight

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {
            "affine": self.affine,
            "epsilon": self.epsilon,
            "branches": self.branches,
        }
