"""Terms added to the alphas' loss: functions of the architecture alone, whose gradient is taken directly."""

from dataclasses import dataclass

import numpy as np
from keras import ops

from keras_pibnas.methods.part import Part, constant, registered
from keras_pibnas.methods.relaxation import allowed, masked_logits, normalized
from keras_pibnas.methods.sampled import concentrations
from keras_pibnas.methods.schedules import Schedule, at, schedule
from keras_pibnas.methods.special import digamma, lgamma


class Penalty(Part):
    """A scalar that is added to the loss that the alphas move down.

    One penalty sees both kinds of cell: arch, noise and cells are pairs (normal, reduce).

    Example:
        >>> kp.methods.get("beta_darts").penalties
        (BetaDecay(weight=Linear(first=0.0, last=50.0, begin=0.0, end=1.0)),)
    """

    def bind(self, **settings) -> "Penalty":
        """The penalty for one supernet; those that need nothing of it return themselves.

        Args:
            **settings: the arguments of `ExpectedCost.bind`.
        """
        return self

    def __call__(self, relaxation, arch, noise, progress, cells):
        """The penalty, a scalar in the dtype of the alphas.

        Args:
            relaxation: Relaxation.
            arch: pair of {name: tensor}.
            noise: pair of what `relaxation.noise` gives, or of ().
            progress: finished epochs / epochs, a float or a scalar tensor.
            cells: pair of CellSpec.
        """
        raise NotImplementedError(f"{type(self).__name__} must define __call__")


@dataclass(frozen=True)
class Weighted(Penalty):
    """A penalty times a weight. Args: weight: a number or a Schedule."""

    weight: float | Schedule

    def __post_init__(self):
        object.__setattr__(self, "weight", schedule(self.weight))

    def __call__(self, relaxation, arch, noise, progress, cells):
        narrowed = [relaxation.narrow(cell) for cell in cells]
        value = self.value(relaxation, arch, cells, narrowed)
        return at(self.weight, progress, value.dtype) * value


@registered
@dataclass(frozen=True)
class ZeroOne(Weighted):
    """-weight * mean of |score - 1/2|**power over all that is allowed in both cells: drives scores to 0 or 1.

    FairDARTS (arXiv:1911.12126): its code's L2 form with power 2, its L1 form with power 1 (separate_loss.py).

    Args: weight: a number or a Schedule; power: at least 1.

    Example:
        >>> cells = [kp.methods.CellSpec(kind, 1, ("none", "skip_connect")) for kind in ("normal", "reduce")]
        >>> arch = [{"alpha": np.full((2, 2), 100.0)}] * 2  # scores of 1
        >>> float(kp.methods.ZeroOne(10.0)(kp.methods.Sigmoid(), arch, ((), ()), 0.0, cells))  # -10 / 4
        -2.5
    """

    power: float = 2

    def __post_init__(self):
        super().__post_init__()
        if not self.power >= 1:
            raise ValueError(f"A power of at least 1 is needed for a gradient at 1/2. Received: power={self.power!r}")

    def value(self, relaxation, arch, cells, narrowed):
        scores = [relaxation.scores(a, cell) for a, cell in zip(arch, cells, strict=True)]
        distances = [ops.abs(s - 0.5) for s in scores]
        powers = [d * d if self.power == 2 else d**self.power for d in distances]
        return -_mean(powers, [cell.allowed for cell in narrowed])


@registered
@dataclass(frozen=True)
class BetaDecay(Weighted):
    """weight * mean of logsumexp(alpha row) over the edges of both cells. Beta-DARTS (arXiv:2203.01665).

    Args: weight: a number or a Schedule.

    Example:
        >>> cells = [kp.methods.CellSpec(kind, 1, ("none", "skip_connect")) for kind in ("normal", "reduce")]
        >>> arch = [{"alpha": np.zeros((2, 2))}] * 2
        >>> round(float(kp.methods.BetaDecay(1.0)(kp.methods.Softmax(), arch, ((), ()), 0.0, cells)), 4)  # log 2
        0.6931
    """

    def value(self, relaxation, arch, cells, narrowed):
        logits = [masked_logits(a["alpha"], cell) for a, cell in zip(arch, narrowed, strict=True)]
        return _mean([ops.logsumexp(rows, axis=-1) for rows in logits], _open(narrowed))


@registered
@dataclass(frozen=True)
class Entropy(Weighted):
    """weight * mean of the entropy of a row, in nats, over the edges of both cells: drives each to one op.

    A row is of scores divided by their sum. Args: weight: a number or a Schedule; negative to drive ops to be alike.

    Example:
        >>> cells = [kp.methods.CellSpec(kind, 1, ("none", "skip_connect")) for kind in ("normal", "reduce")]
        >>> arch = [{"alpha": np.zeros((2, 2))}] * 2
        >>> round(float(kp.methods.Entropy(1.0)(kp.methods.Softmax(), arch, ((), ()), 0.0, cells)), 4)  # log 2
        0.6931
    """

    def value(self, relaxation, arch, cells, narrowed):
        rows = [normalized(relaxation.scores(a, cell)) for a, cell in zip(arch, cells, strict=True)]
        return _mean([ops.sum(-p * ops.log(ops.where(p > 0, p, 1.0)), axis=-1) for p in rows], _open(narrowed))


@registered
@dataclass(frozen=True)
class DirichletKL(Weighted):
    """weight * sum over the edges of both cells of KL(Dirichlet(elu(alpha) + 1) || Dirichlet(1)).

    DrNAS (arXiv:2006.10355) and its code, which sums. Needs the tensorflow backend.

    Args: weight: a number or a Schedule.

    Example:
        >>> cells = [kp.methods.CellSpec(kind, 1, ("none", "skip_connect")) for kind in ("normal", "reduce")]
        >>> arch = [{"alpha": np.zeros((2, 2))}] * 2  # concentrations of 1
        >>> round(float(kp.methods.DirichletKL(1e-3)(kp.methods.Dirichlet(), arch, ((), ()), 0.0, cells)), 4)
        0.0
    """

    def value(self, relaxation, arch, cells, narrowed):
        return sum(_divergence(a["alpha"], cell) for a, cell in zip(arch, narrowed, strict=True))


def _divergence(alpha, cell):
    """KL(Dirichlet(c) || Dirichlet(1)) of a cell's rows, summed over the allowed entries."""
    alpha = ops.convert_to_tensor(alpha)
    mask = allowed(cell, alpha.dtype)
    c = ops.where(cell.allowed, concentrations(alpha), 1.0)  # at c = 1, both of its terms below are 0
    total = ops.where(cell.allowed.any(axis=1), ops.sum(c * mask, axis=-1), 1.0)
    count = constant(np.maximum(1, cell.allowed.sum(axis=1)), alpha.dtype)
    terms = (c - 1.0) * (digamma(c) - digamma(total)[:, None]) * mask - lgamma(c)
    return ops.sum(lgamma(total) - lgamma(count) + ops.sum(terms, axis=-1))


def _open(cells):
    """For each cell, (edges,) of bool: the edges on which something is allowed."""
    return [cell.allowed.any(axis=1) for cell in cells]


def _mean(values, masks):
    """The mean of the entries of several tensors where their masks are true."""
    masks = [constant(mask, value.dtype) for value, mask in zip(values, masks, strict=True)]
    total = sum(ops.sum(value * mask) for value, mask in zip(values, masks, strict=True))
    return total / sum(ops.sum(mask) for mask in masks)
