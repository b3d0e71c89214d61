"""Op weights moved for the weights' step alone, so that alphas seek flat places. SmoothDARTS (arXiv:2002.05283)."""

from collections.abc import Callable
from dataclasses import dataclass

from keras import ops

from keras_pibnas.methods.part import Part, registered
from keras_pibnas.methods.relaxation import allowed, normalized
from keras_pibnas.methods.sampled import is_none
from keras_pibnas.methods.schedules import Schedule, at, schedule
from keras_pibnas.methods.seeds import fold_seed, uniforms


@dataclass(frozen=True)
class Perturbation(Part):
    """Moves op weights by at most `radius`; the alphas' step sees them unmoved.

    A subclass defines `__call__`. mix, noise, cells and gradients are pairs (normal, reduce); the cells should be as
    `Relaxation.narrow` leaves them: masked entries stay 0.

    Args: radius: a number or a Schedule.

    Example:
        >>> [issubclass(kind, kp.methods.Perturbation) for kind in (kp.methods.UniformNoise, kp.methods.Adversarial)]
        [True, True]
    """

    radius: float | Schedule

    def __post_init__(self):
        object.__setattr__(self, "radius", schedule(self.radius))

    def noise(self, cells, seed) -> tuple:
        """A pair of numbers from U(-1, 1), (edges, ops) each. Args: seed: (seed, step, use), see `fold_seed`."""
        return tuple(uniforms(cell.shape, fold_seed(seed, cell.kind), -1.0, 1.0) for cell in cells)

    def __call__(self, mix, noise, progress, cells, gradient: Callable | None = None) -> tuple:
        """The moved op weights.

        Args:
            mix: pair of (edges, ops).
            noise: the result of `noise`; () for none.
            progress: finished epochs / epochs, a float or a scalar tensor.
            cells: pair of CellSpec.
            gradient: (pair of op weights) -> pair of dL_train/dmix on the training batch, assigning nothing; a caller
                may pass it always, it is called by those alone that follow it.
        """
        raise NotImplementedError(f"{type(self).__name__} must define __call__")


@registered
@dataclass(frozen=True)
class UniformNoise(Perturbation):
    """P(mix + U(-radius, radius)); P clips to [0, 1] and divides rows by their sums. SDARTS-RS.

    Example:
        >>> cell = kp.methods.CellSpec("normal", 1, ("none", "skip_connect"))
        >>> pair = (np.array([[0.9, 0.1], [0.5, 0.5]]),) * 2
        >>> moved, _ = kp.methods.UniformNoise(0.3)(pair, (np.array([[1.0, 0.0], [0.0, 0.0]]),) * 2, 0.0, (cell, cell))
        >>> np.round(np.array(moved), 3).tolist()  # 0.9 + 0.3 is clipped to 1
        [[0.909, 0.091], [0.5, 0.5]]
    """

    def __call__(self, mix, noise, progress, cells, gradient=None):
        noise = noise or [()] * len(mix)
        return tuple(_moved(*each, self.radius, progress) for each in zip(mix, noise, cells, strict=True))


@registered
@dataclass(frozen=True)
class Adversarial(Perturbation):
    """From P(mix + U(-radius, radius)), `steps` steps up sign(dL_train/dmix), 2 * radius / steps long each.

    After each step, entries are clipped to mix +- radius, and P is applied (see `UniformNoise`). Without
    noise it starts at mix. SDARTS-ADV as its code has it (attacker/perturb.py), which also goes back to mix where the
    loss has fallen; that would take two more passes.

    Args: radius: a number or a Schedule; steps: how many, each a gradient of the training loss.

    Example:
        >>> kp.methods.Adversarial(radius=0.3).steps
        7
    """

    steps: int = 7

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.steps, int) or self.steps < 1:
            raise ValueError(f"An adversary takes at least one step. Received: steps={self.steps!r}")

    def __call__(self, mix, noise, progress, cells, gradient=None):
        if gradient is None:
            raise ValueError("Adversarial needs gradient=, a function from op weights to dL_train/dmix. Received: None")
        moved = UniformNoise(self.radius)(mix, noise, progress, cells)
        for _ in range(self.steps):
            moved = tuple(self._step(*each, progress) for each in zip(mix, moved, gradient(moved), cells, strict=True))
        return moved

    def _step(self, mix, moved, gradient, cell, progress):
        radius = at(self.radius, progress, mix.dtype)
        further = moved + 2.0 * radius / self.steps * ops.sign(gradient)
        return project(mix + ops.clip(further - mix, -radius, radius), cell)


def project(mix, cell):
    """P: clipped to [0, 1], rows divided by their sums; a row without anything left is the one-hot of its largest.

    Args: mix (edges, ops); cell: CellSpec, outside of whose mask everything is 0.
    """
    mask = allowed(cell, mix.dtype)
    clipped = ops.clip(mix, 0.0, 1.0) * mask
    largest = ops.argmax(ops.where(cell.allowed, mix, ops.min(mix) - 1.0), axis=-1)
    fallback = ops.one_hot(largest, cell.shape[1], dtype=mix.dtype) * mask
    return normalized(ops.where(ops.sum(clipped, axis=-1, keepdims=True) > 0, clipped, fallback))


def _moved(mix, noise, cell, radius, progress):
    mix = ops.convert_to_tensor(mix)
    if is_none(noise):
        return project(mix, cell)
    return project(mix + at(radius, progress, mix.dtype) * ops.cast(noise, mix.dtype), cell)
