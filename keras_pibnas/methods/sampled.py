"""Relaxations that draw: Gumbel, Dirichlet, Uniform."""

from dataclasses import dataclass, field

import numpy as np
from keras import ops

from keras_pibnas.methods.part import constant, registered
from keras_pibnas.methods.relaxation import Alphas, allowed, masked_logits, masked_softmax, normalized
from keras_pibnas.methods.schedules import Schedule, at, schedule
from keras_pibnas.methods.seeds import fold_seed, gumbels, uniforms
from keras_pibnas.methods.special import log_gamma_quantile


@registered
@dataclass(frozen=True)
class Gumbel(Alphas):
    """z = softmax((log p + g) / temperature), p the softmax of alpha and g from Gumbel(0, 1): the noise, (edges, ops).

    hard: h - stop_gradient(z) + z, h the one-hot of z's largest entry; all ops are computed.
    Gumbel-softmax: Jang et al. (arXiv:1611.01144); hard in GDAS (arXiv:1910.04465), soft in SNAS (arXiv:1812.09926).

    Args:
        temperature: a number or a Schedule, above 0.
        hard: whether one op of an edge is taken.
        mean, stddev: of alpha at the start.

    Example:
        >>> cell, tau = kp.methods.CellSpec("normal", 1, ("none", "skip_connect")), kp.methods.Linear(10.0, 0.1)
        >>> relaxation = kp.methods.Gumbel(tau, hard=True)
        >>> mix = relaxation.mix({"alpha": np.zeros((2, 2))}, relaxation.noise(cell, (0, 0, 0)), 0.5, cell)
        >>> np.sort(mix, axis=1).tolist()  # one op an edge
        [[0.0, 1.0], [0.0, 1.0]]
    """

    temperature: float | Schedule = 1.0
    hard: bool = False

    def __post_init__(self):
        object.__setattr__(self, "temperature", schedule(self.temperature))
        least = min(self.temperature.value(0.0), self.temperature.value(1.0))
        if not least > 0:
            raise ValueError(f"A temperature must be above 0. Received: temperature={self.temperature!r}")

    def noise(self, cell, seed):
        return gumbels(cell.shape, fold_seed(seed, cell.kind))

    def mix(self, arch, noise, progress, cell):
        alpha = ops.convert_to_tensor(arch["alpha"])
        logits = alpha if is_none(noise) else alpha + ops.cast(noise, alpha.dtype)
        z = masked_softmax(logits / at(self.temperature, progress, alpha.dtype), cell)
        if not self.hard:
            return z
        best = ops.argmax(masked_logits(logits, cell), axis=-1)
        h = ops.one_hot(best, cell.shape[1], dtype=alpha.dtype) * allowed(cell, alpha.dtype)
        return h - ops.stop_gradient(z) + z

    def scores(self, arch, cell):
        return masked_softmax(arch["alpha"], cell)


@registered
@dataclass(frozen=True)
class Dirichlet(Alphas):
    """Each row from the Dirichlet distribution of concentrations elu(alpha) + 1. DrNAS (arXiv:2006.10355).

    The noise is uniform numbers (edges, ops): through the quantile function of the Gamma distribution they give a
    row, so that `mix` is a smooth function of alpha with the pathwise gradient. Without noise, and as scores: the mean,
    the concentrations divided by their sum. Needs the tensorflow backend. Args: mean, stddev: of alpha at the start.

    Example:
        >>> cell = kp.methods.CellSpec("normal", 1, ("none", "skip_connect"))
        >>> arch = {"alpha": np.array([[0.0, 2.0], [0.0, 0.0]])}  # concentrations 1 : 3 and 1 : 1
        >>> np.array(kp.methods.Dirichlet().scores(arch, cell)).tolist()
        [[0.25, 0.75], [0.5, 0.5]]
    """

    def noise(self, cell, seed):
        return uniforms(cell.shape, fold_seed(seed, cell.kind), 2.0**-24, 1.0)

    def mix(self, arch, noise, progress, cell):
        if is_none(noise):
            return self.scores(arch, cell)
        alpha = ops.convert_to_tensor(arch["alpha"])
        log_gammas = log_gamma_quantile(concentrations(alpha), ops.convert_to_tensor(noise))
        return ops.cast(masked_softmax(log_gammas, cell), alpha.dtype)

    def scores(self, arch, cell):
        alpha = ops.convert_to_tensor(arch["alpha"])
        return normalized(concentrations(alpha) * allowed(cell, alpha.dtype))


def concentrations(alpha):
    """elu(alpha) + 1, as exp(alpha) below 0: there the sum with 1 would lose all digits."""
    return ops.where(alpha > 0, alpha + 1.0, ops.exp(ops.minimum(alpha, 0.0)))


@registered
@dataclass(frozen=True)
class Uniform(Alphas):
    """The one-hot op weights of a uniformly random genotype, anew for each step: nothing is learned.

    Random search with weight sharing (Li and Talwalkar, arXiv:1902.07638). Each node keeps `keep` of its edges, each
    with an op that the mask allows, other than none. Noise: uniform numbers (edges,) and (edges, ops), whose largest
    decide. Without noise, and as scores: the mean over all draws. alpha has no effect.

    Example:
        >>> cell = kp.methods.CellSpec("normal", 1, ("none", "skip_connect", "sep_conv_3x3"))
        >>> np.array(kp.methods.Uniform().scores({"alpha": np.zeros((2, 3))}, cell)).tolist()
        [[0.0, 0.5, 0.5], [0.0, 0.5, 0.5]]
    """

    keep: int = field(default=2, kw_only=True)

    def noise(self, cell, seed):
        numbers = uniforms((cell.edges, cell.shape[1] + 1), fold_seed(seed, cell.kind))
        return numbers[:, 0], numbers[:, 1:]

    def mix(self, arch, noise, progress, cell):
        if is_none(noise):
            return self.scores(arch, cell)
        dtype, open_ops = ops.convert_to_tensor(arch["alpha"]).dtype, cell.derivable
        edges = ops.where(open_ops.any(axis=1), noise[0], -1.0)
        kept = ops.logical_and(best_edges(edges, cell, cell.keeps(self.keep)), open_ops.any(axis=1))
        op = ops.argmax(ops.where(open_ops, noise[1], -1.0), axis=-1)
        return ops.one_hot(op, cell.shape[1], dtype=dtype) * ops.cast(kept, dtype)[:, None]

    def scores(self, arch, cell):
        open_ops = cell.derivable.astype("float64")
        edges = open_ops.any(axis=1)
        share = np.minimum(1.0, cell.keeps(self.keep) / np.maximum(1, cell.same_node.astype(int) @ edges.astype(int)))
        mean = open_ops / np.maximum(1, open_ops.sum(axis=1, keepdims=True)) * share[:, None]
        return constant(mean, ops.convert_to_tensor(arch["alpha"]).dtype)


def best_edges(strength, cell, keep: int):
    """(edges,) of bool: the `keep` strongest edges into each node; of equal ones, the first. strength: (edges,)."""
    rows = np.arange(cell.edges)
    ahead = ops.logical_or(
        strength[None] > strength[:, None],
        ops.logical_and(strength[None] == strength[:, None], rows[None] < rows[:, None]),
    )
    stronger = ops.sum(ops.cast(ops.logical_and(ahead, cell.same_node), "int32"), axis=-1)
    return stronger < keep


def is_none(noise) -> bool:
    """Whether there is no noise, ()."""
    return isinstance(noise, tuple | list) and not len(noise)
