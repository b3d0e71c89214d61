"""From architecture variables to op weights: the base class, and relaxations without noise."""

from dataclasses import dataclass, field

import keras
from keras import ops

from keras_pibnas.methods.cells import CellSpec
from keras_pibnas.methods.exponentiated import ExponentiatedGradient
from keras_pibnas.methods.part import Part, constant, registered

# Below every logit, also after a division by a small temperature, in float32 too.
CLOSED = -1e30


class Relaxation(Part):
    """How architecture variables become op weights: one (edges, ops) matrix for each kind of cell.

    `mix` is a function of (arch, noise, progress): noise is drawn apart from it, so that all passes of a step share it.
    A subclass defines `mix` and `scores`, and `noise` if it draws. Masked entries (`CellSpec.mask`) are 0 in both.

    Example:
        >>> cell = kp.methods.CellSpec("normal", 1, ("none", "skip_connect"))
        >>> kp.methods.Softmax().variables(cell)["alpha"][0]
        (2, 2)
    """

    def variables(self, cell: CellSpec) -> dict:
        """The variables of a kind of cell: {name: (shape, initializer)}; "alpha" is (edges, ops)."""
        return {"alpha": (cell.shape, keras.initializers.RandomNormal(0.0, 1e-3))}

    def noise(self, cell: CellSpec, seed):
        """The noise of `mix`: tensors, or () if it needs none. Args: seed: (seed, step, use), see `fold_seed`."""
        return ()

    def mix(self, arch: dict, noise, progress, cell: CellSpec):
        """Op weights (edges, ops) in the dtype of arch, differentiable by it.

        Args:
            arch: {name: tensor} of what `variables` lists.
            noise: the result of `noise`; () stands for no noise.
            progress: finished epochs / epochs, a float or a scalar tensor.
            cell: CellSpec.
        """
        raise NotImplementedError(f"{type(self).__name__} must define mix(arch, noise, progress, cell)")

    def scores(self, arch: dict, cell: CellSpec):
        """How good each op is on each edge, (edges, ops), without noise: for deriving, pictures and rankings."""
        raise NotImplementedError(f"{type(self).__name__} must define scores(arch, cell)")

    def narrow(self, cell: CellSpec) -> CellSpec:
        """The cell with the mask that holds in the end: the space's, and what the relaxation leaves out."""
        return cell

    def edge_weights(self, arch: dict, cell: CellSpec):
        """Weights (edges,) that `mix` has multiplied its rows by, or None: they multiply a partial channel's bypass."""
        return None

    def extra_ops(self, cell: CellSpec) -> tuple[str, ...]:
        """Names of ops that every edge has beyond the space's, see `extra_mix`."""
        return ()

    def extra_mix(self, progress, cell: CellSpec, dtype: str):
        """Weights (edges, len(extra_ops)) of the ops that edges have beyond the space's: they stand beside `mix`."""
        return ops.zeros((cell.edges, len(self.extra_ops(cell))), dtype)

    def optimizer(self) -> keras.Optimizer | None:
        """The optimizer that the variables need, a new one; None where any will do."""
        return None


@dataclass(frozen=True)
class Alphas(Relaxation):
    """A relaxation with alphas alone, drawn from N(mean, stddev**2) at the start. Args: mean; stddev."""

    mean: float = field(default=0.0, kw_only=True)
    stddev: float = field(default=1e-3, kw_only=True)

    def variables(self, cell):
        return {"alpha": (cell.shape, keras.initializers.RandomNormal(self.mean, self.stddev))}


@registered
@dataclass(frozen=True)
class Softmax(Alphas):
    """The softmax of each row of alpha. DARTS (arXiv:1806.09055).

    Example:
        >>> cell = kp.methods.CellSpec("normal", 1, ("none", "skip_connect"))
        >>> np.array(kp.methods.Softmax().mix({"alpha": np.zeros((2, 2))}, (), 0.0, cell)).tolist()
        [[0.5, 0.5], [0.5, 0.5]]
    """

    def mix(self, arch, noise, progress, cell):
        return masked_softmax(arch["alpha"], cell)

    def scores(self, arch, cell):
        return masked_softmax(arch["alpha"], cell)


@registered
@dataclass(frozen=True)
class Sigmoid(Alphas):
    """The sigmoid of each alpha: ops do not compete. FairDARTS (arXiv:1911.12126).

    Example:
        >>> cell = kp.methods.CellSpec("normal", 1, ("none", "skip_connect"))
        >>> np.array(kp.methods.Sigmoid().mix({"alpha": np.zeros((2, 2))}, (), 0.0, cell)).tolist()
        [[0.5, 0.5], [0.5, 0.5]]
    """

    def mix(self, arch, noise, progress, cell):
        return self.scores(arch, cell)

    def scores(self, arch, cell):
        alpha = ops.convert_to_tensor(arch["alpha"])
        return ops.sigmoid(alpha) * allowed(cell, alpha.dtype)


@registered
@dataclass(frozen=True)
class Simplex(Relaxation):
    """The rows themselves, theta, which `ExponentiatedGradient` keeps on the simplex. GAEA (arXiv:2004.07802).

    At the start, all ops of an edge weigh the same. Args: rate: of that optimizer, eta.

    Example:
        >>> type(kp.methods.Simplex(rate=0.1).optimizer()).__name__
        'ExponentiatedGradient'
    """

    rate: float = 0.1

    def variables(self, cell):
        return {"alpha": (cell.shape, keras.initializers.Constant(1.0 / len(cell.primitives)))}

    def mix(self, arch, noise, progress, cell):
        return self.scores(arch, cell)

    def scores(self, arch, cell):
        theta = ops.convert_to_tensor(arch["alpha"])
        return theta if cell.mask is None else normalized(theta * allowed(cell, theta.dtype))

    def optimizer(self):
        return ExponentiatedGradient(self.rate)


def allowed(cell: CellSpec, dtype: str):
    """The cell's mask as a constant (edges, ops) of 0 and 1."""
    return constant(cell.allowed, dtype)


def masked_logits(logits, cell: CellSpec):
    """The logits, far below all others where the mask says so."""
    logits = ops.convert_to_tensor(logits)
    if cell.mask is None:
        return logits
    return ops.where(cell.allowed, logits, constant(CLOSED, logits.dtype))


def masked_softmax(logits, cell: CellSpec):
    """Softmax of each row over what is allowed; 0 elsewhere, also in rows where nothing is."""
    weights = ops.softmax(masked_logits(logits, cell), axis=-1)
    return weights if cell.mask is None else weights * allowed(cell, weights.dtype)


def normalized(rows):
    """Rows of numbers that are at least 0, divided by their sums; rows of 0 stay so."""
    sums = ops.sum(rows, axis=-1, keepdims=True)
    return rows / ops.where(sums > 0, sums, ops.ones_like(sums))
