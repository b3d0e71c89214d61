"""The gradients of DARTS by the op weights, each a page of the paper (arXiv:1806.09055, section 2.3).

All are [normal, reduce], each (edges, ops), like `mix`, the op weights; a relaxation takes them on to its alphas. They
assign nothing. `train` and `valid` are losses of (weights, mix), as `engine.Engine.gradient` takes them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras import ops

from keras_pibnas.engine import Engine


@dataclass(frozen=True)
class Problem:
    """The bilevel problem whose gradients are taken.

    Attributes:
        engine: computes them.
        train, valid: (weights, mix) -> (scalar, aux), the losses of a training and a validation batch.
        weights: tensors w; mix: [normal, reduce].
        virtual_step: (weights, dL_train/dw) -> w', the weights after one step of their optimizer.
        rate: xi, the learning rate of that step.
        remat: gradient checkpointing; loss_scale: a factor of losses on the way, or None.
    """

    engine: Engine
    train: Callable
    valid: Callable
    weights: list
    mix: list
    virtual_step: Callable
    rate: Any
    remat: bool = False
    loss_scale: Any = None

    def gradient(self, loss, weights, wrt, linearize=False):
        return self.engine.gradient(loss, weights, self.mix, wrt, self.remat, linearize, self.loss_scale)


def first_order(problem: Problem) -> list:
    """dL_valid(w, mix)/dmix: xi = 0 in equation (6)."""
    return problem.gradient(problem.valid, problem.weights, "mix").value


def second_order(problem: Problem) -> list:
    """Equation (7): dL_valid(w', mix)/dmix - xi d/dmix <dL_train(w, mix)/dw, dL_valid(w', mix)/dw'>, exactly."""
    train = problem.gradient(problem.train, problem.weights, "weights", linearize=True)
    moved = problem.virtual_step(problem.weights, train.value)
    direct, vector = problem.gradient(problem.valid, moved, ("mix", "weights")).value
    return _descended(direct, problem.rate, train.product(vector))


def second_order_finite_difference(problem: Problem) -> list:
    """Equation (7) with equation (8): the product from two gradients by mix, at w +- r v with r = 0.01 / |v|.

    As published; it crosses kinks of ReLU and max pooling, and is far off there.
    """
    train = problem.gradient(problem.train, problem.weights, "weights").value
    moved = problem.virtual_step(problem.weights, train)
    direct, vector = problem.gradient(problem.valid, moved, ("mix", "weights")).value
    radius = 0.01 / problem.engine.norm(vector)

    def gradient(weights, sign):
        shifted = problem.engine.map(_shifted, weights, vector, scalars=[sign * radius])
        return problem.gradient(problem.train, shifted, "mix").value

    plus = gradient(problem.weights, 1.0)
    minus = gradient(problem.engine.after(plus, list(problem.weights)), -1.0)
    product = [(p - m) / (2.0 * ops.cast(radius, p.dtype)) for p, m in zip(plus, minus, strict=True)]
    return _descended(direct, problem.rate, product)


ALPHA_GRADIENTS = {
    (1, "exact"): first_order,
    (1, "finite_difference"): first_order,
    (2, "exact"): second_order,
    (2, "finite_difference"): second_order_finite_difference,
}


def _shifted(weight, direction, distance):
    return weight + ops.cast(distance, weight.dtype) * direction


def _descended(direct, rate, product):
    return [d - ops.cast(rate, d.dtype) * p for d, p in zip(direct, product, strict=True)]
