"""SGD and Adam with the update rules that DARTS was published with (those of PyTorch)."""

import contextvars
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_pibnas import engine
from keras_pibnas.engine.context import holding
from keras_pibnas.engine.replicas import replica_count, replica_sum, replica_totals

_SUMMED = contextvars.ContextVar("whether gradients are sums over replicas already", default=False)


class _GlobalClipping(keras.optimizers.Optimizer):
    """Clips the gradient of the global batch, where Keras clips that of every replica and adds them up afterwards."""

    def _clip_gradients(self, grads):
        grads = list(grads) if _SUMMED.get() else replica_totals(list(grads))
        if self.global_clipnorm is None or any(g is None for g in grads):
            return super()._clip_gradients(grads)
        used = engine.current()
        norm = used.norm(grads)
        limit = ops.cast(self.global_clipnorm, norm.dtype)
        return used.map(_times, grads, scalars=[limit / ops.maximum(norm, limit)])

    def _all_reduce_sum_gradients(self, grads_and_vars):
        return grads_and_vars  # they are summed already


def _times(gradient, scale):
    return gradient * ops.cast(scale, gradient.dtype)


def _momentum_step(value, velocity, gradient, momentum, l2, rate):
    """(The moved value, the new velocity)."""
    momentum, l2, rate = (ops.cast(scalar, value.dtype) for scalar in (momentum, l2, rate))
    velocity = momentum * velocity + ops.cast(gradient, value.dtype) + l2 * value
    return value - rate * velocity, velocity


def _descended(value, velocity, gradient, *scalars):
    return _momentum_step(value, velocity, gradient, *scalars)[0]


@keras.saving.register_keras_serializable("keras_pibnas")
class SGD(_GlobalClipping):
    """Stochastic gradient descent with momentum: clip to the global norm, add l2 * w, v = m v + g, w -= lr v.

    Keras's weight_decay is decoupled from the gradient, and its momentum holds the learning rate at which it was
    collected; here both are as in DARTS (PyTorch). DARTS, section A.1.

    Args:
        learning_rate: a float or a keras.optimizers.schedules.LearningRateSchedule.
        momentum: m.
        l2: factor of the L2 term, added after clipping.
        global_clipnorm: largest norm of the whole gradient, or None.

    Example:
        >>> weight = keras.Variable([1.0])
        >>> kp.optimizers.SGD(0.5, momentum=0.0, l2=0.0).apply([np.array([1.0], "float32")], [weight])
        >>> weight.numpy().tolist()
        [0.5]
    """

    def __init__(
        self,
        learning_rate: Any = 0.025,
        momentum: float = 0.9,
        l2: float = 3e-4,
        global_clipnorm: float = 5.0,
        name: str = "sgd",
        **kwargs,
    ):
        super().__init__(learning_rate=learning_rate, global_clipnorm=global_clipnorm, name=name, **kwargs)
        self.momentum, self.l2 = momentum, l2

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.velocities = self.add_optimizer_variables(variables, "velocity")

    def update_step(self, gradient, variable, learning_rate):
        velocity = self.velocities[self._get_variable_index(variable)]
        rate = ops.cast(learning_rate, variable.dtype)
        moved = self.momentum * velocity + ops.cast(gradient, variable.dtype) + self.l2 * variable
        self.assign(velocity, moved)
        self.assign_sub(variable, rate * moved)

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        used = engine.current()
        if used == "plain":
            return super()._backend_update_step(grads, trainable_variables, learning_rate)
        velocities = self._velocities_of(trainable_variables)
        scalars = self._scalars(self.momentum, self.l2, learning_rate)
        used.update(_momentum_step, trainable_variables, velocities, tensors=[grads], scalars=scalars)

    def virtual_step(self, gradients, variables, values):
        """Where a step from `values` would lead, without clipping: w - lr (m v + g + l2 w). Assigns nothing.

        Equation (7) of DARTS with its optimizer's momentum and L2 term. Lists of tensors in the order of variables.
        """
        used = engine.current()
        velocities = used.read(self._velocities_of(variables))
        scalars = self._scalars(self.momentum, self.l2, self.learning_rate)
        return used.map(_descended, values, velocities, gradients, scalars=scalars)

    def _velocities_of(self, variables):
        return [self.velocities[self._get_variable_index(variable)] for variable in variables]

    def _scalars(self, *values):
        wide = "float64" if any(v.dtype == "float64" for v in self.velocities) else "float32"
        return [ops.cast(value, wide) for value in values]

    def get_config(self):
        return super().get_config() | {"momentum": self.momentum, "l2": self.l2}


@keras.saving.register_keras_serializable("keras_pibnas")
class Adam(_GlobalClipping):
    """Adam with an L2 term that is added to the gradient (PyTorch's weight_decay of Adam). DARTS, section A.1.

    Args:
        learning_rate: a float or a schedule.
        beta_1, beta_2: decay of the moments.
        epsilon: added to the square root of the second moment.
        l2: factor of the L2 term.

    Example:
        >>> weight = keras.Variable([1.0])
        >>> kp.optimizers.Adam(0.5, l2=0.0).apply([np.array([3.0], "float32")], [weight])  # the first step is the rate
        >>> np.round(weight.numpy(), 4).tolist()
        [0.5]
    """

    def __init__(
        self,
        learning_rate: Any = 3e-4,
        beta_1: float = 0.5,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        l2: float = 1e-3,
        name: str = "adam",
        **kwargs,
    ):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.beta_1, self.beta_2, self.epsilon, self.l2 = beta_1, beta_2, epsilon, l2

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.first, self.second = self.add_optimizer_variables(variables, ("first", "second"))

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        kind = variable.dtype
        gradient = ops.cast(gradient, kind) + self.l2 * variable
        first = self.beta_1 * self.first[index] + (1.0 - self.beta_1) * gradient
        second = self.beta_2 * self.second[index] + (1.0 - self.beta_2) * ops.square(gradient)
        self.assign(self.first[index], first)
        self.assign(self.second[index], second)
        step = ops.cast(self.iterations + 1, kind)
        corrected = ops.sqrt(second / (1.0 - ops.power(ops.cast(self.beta_2, kind), step))) + self.epsilon
        rate = ops.cast(learning_rate, kind) / (1.0 - ops.power(ops.cast(self.beta_1, kind), step))
        self.assign_sub(variable, rate * first / corrected)

    def get_config(self):
        own = ("beta_1", "beta_2", "epsilon", "l2")
        return super().get_config() | {name: getattr(self, name) for name in own}


@keras.saving.register_keras_serializable("keras_pibnas")
class LossScaleOptimizer(keras.optimizers.LossScaleOptimizer):
    """Keras's, for TensorFlow's replicas too: a step is skipped on all where a gradient on any of them is not finite.

    Keras asks the first replica alone. `apply` takes gradients of the scaled loss; the wrapped optimizer gets the
    unscaled ones, so it clips what it should. Micikevicius et al., "Mixed precision training", 2018, section 3.2.

    Args: inner_optimizer; initial_scale; dynamic_growth_steps: after so many finite steps the scale doubles; after a
    step that is not finite it halves.

    Example:
        >>> scaled = kp.optimizers.LossScaleOptimizer(kp.optimizers.SGD(0.5), initial_scale=8.0)
        >>> scaled.build([keras.Variable([1.0])])
        >>> float(scaled.scale_loss(1.0))
        8.0
    """

    def apply(self, grads, trainable_variables=None):
        if not self.built:
            self.build(trainable_variables)
        variables = self._trainable_variables if trainable_variables is None else list(trainable_variables)
        finite = self.finite_everywhere(grads)
        held = [*variables, *self.inner_optimizer.variables]
        before = [ops.copy(variable.value) for variable in held]
        unscaled = [None if g is None else ops.where(finite, g / self.dynamic_scale, 0.0) for g in grads]
        self.inner_optimizer.apply(unscaled, variables)
        for variable, value in zip(held, before, strict=True):
            variable.assign(ops.where(finite, variable, value))
        self._adjust(finite)

    def finite_everywhere(self, grads):
        """Whether all gradients on all replicas are finite."""
        wrong = ops.logical_not(self.check_finite(grads))
        return replica_sum(ops.cast(wrong, "float32")) == 0.0

    def _adjust(self, finite):
        full = self.step_counter + 1 >= self.dynamic_growth_steps
        factor = ops.where(finite, ops.where(full, 2.0, 1.0), 0.5)
        self.dynamic_scale.assign(self.dynamic_scale * factor)
        self.step_counter.assign(ops.where(ops.logical_and(finite, ops.logical_not(full)), self.step_counter + 1, 0))

    def virtual_step(self, gradients, variables, values):
        """That of the wrapped optimizer; its gradients are not scaled."""
        return virtual_step(self.inner_optimizer, gradients, variables, values)


def with_loss_scale(optimizer: keras.Optimizer) -> LossScaleOptimizer:
    """The optimizer inside a LossScaleOptimizer of ours; one of Keras's gives its settings to it.

    Example:
        >>> type(kp.optimizers.with_loss_scale(kp.optimizers.SGD())).__name__
        'LossScaleOptimizer'
    """
    if isinstance(optimizer, LossScaleOptimizer):
        return optimizer
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return LossScaleOptimizer(optimizer.inner_optimizer, optimizer.initial_scale, optimizer.dynamic_growth_steps)
    return LossScaleOptimizer(optimizer, name="loss_scale_optimizer")


def virtual_step(optimizer: keras.Optimizer, gradients: Sequence, variables: Sequence, values: Sequence) -> list:
    """w' = w - xi * (what the optimizer would follow), tensors; of an optimizer without `virtual_step`, w - xi g.

    Example:
        >>> weight, optimizer = keras.Variable([1.0]), kp.optimizers.SGD(0.5, l2=0.0)
        >>> optimizer.build([weight])
        >>> one = [np.array([1.0], "float32")]
        >>> moved = kp.optimizers.virtual_step(optimizer, one, [weight], one)
        >>> np.array(moved[0]).tolist(), weight.numpy().tolist()
        ([0.5], [1.0])
    """
    if hasattr(optimizer, "virtual_step"):
        return optimizer.virtual_step(gradients, variables, values)
    rate = optimizer.learning_rate
    return [w - ops.cast(rate, w.dtype) * g for w, g in zip(values, gradients, strict=True)]


def loss_scale(optimizer: keras.Optimizer) -> Any:
    """The loss scale of an optimizer, or None for 1.

    Example:
        >>> kp.optimizers.loss_scale(kp.optimizers.SGD()) is None
        True
    """
    scale = optimizer.scale_loss(1.0)
    return None if isinstance(scale, float) and scale == 1.0 else scale


def apply(optimizer: keras.Optimizer, gradients: Sequence, variables: Sequence) -> None:
    """Moves the variables down gradients that are sums over replicas and not scaled.

    Optimizers of Keras's own add up over replicas again, and take a loss's scale away again.

    Example:
        >>> weight = keras.Variable([1.0])
        >>> kp.optimizers.apply(kp.optimizers.SGD(0.5, l2=0.0), [np.array([1.0], "float32")], [weight])
        >>> weight.numpy().tolist()
        [0.5]
    """
    if not variables:  # all are frozen; Keras would not count the step
        optimizer.iterations.assign_add(1)
        return
    if not isinstance(getattr(optimizer, "inner_optimizer", optimizer), _GlobalClipping):
        gradients = [gradient / replica_count() for gradient in gradients]
    with holding(_SUMMED):
        optimizer.apply([optimizer.scale_loss(gradient) for gradient in gradients], variables)
