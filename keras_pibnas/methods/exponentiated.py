"""The optimizer of GAEA."""

import keras
from keras import ops

from keras_pibnas.methods.part import constant, registered


@registered
class ExponentiatedGradient(keras.optimizers.Optimizer):
    """Rows theta become theta * exp(-rate * gradient), divided by their sums; then entries are at least `floor`.

    GAEA, geometry-aware exponentiated gradients (arXiv:2004.07802); its code brings entries to `floor` first and
    divides by sums then. For variables whose rows are on the
    simplex, such as those of `Simplex`; the gradient is the one by theta.

    Args: learning_rate: eta; floor: the least entry; further arguments as keras.optimizers.Optimizer.

    Example:
        >>> theta = keras.Variable([[0.5, 0.5]])
        >>> kp.methods.ExponentiatedGradient(1.0).apply([np.array([[0.0, np.log(3.0)]], "float32")], [theta])
        >>> np.round(theta.numpy(), 3).tolist()
        [[0.75, 0.25]]
    """

    def __init__(self, learning_rate: float = 0.1, floor: float = 1e-5, name: str = "exponentiated_gradient", **kwargs):
        super().__init__(learning_rate, name=name, **kwargs)
        self.floor = floor

    def update_step(self, gradient, variable, learning_rate):
        rate = ops.cast(learning_rate, variable.dtype)
        exponents = -rate * ops.cast(gradient, variable.dtype)
        # A row's largest exponent falls out in the division, and exp of the rest cannot overflow.
        exponents = exponents - ops.max(exponents, axis=-1, keepdims=True)
        theta = ops.convert_to_tensor(variable) * ops.exp(exponents)
        theta = theta / ops.sum(theta, axis=-1, keepdims=True)
        self.assign(variable, ops.maximum(theta, constant(self.floor, variable.dtype)))

    def get_config(self):
        return super().get_config() | {"floor": self.floor}
