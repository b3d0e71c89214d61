"""A method: the changes of one paper on differentiable architecture search, in one object."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from keras_pibnas.methods.discretizations import Discretization, TopEdges
from keras_pibnas.methods.part import Part, check_type, registered
from keras_pibnas.methods.penalties import Penalty
from keras_pibnas.methods.perturbations import Perturbation
from keras_pibnas.methods.relaxation import Relaxation, Softmax
from keras_pibnas.methods.schedules import Constant, Schedule, schedule
from keras_pibnas.methods.wrappers import Masked
from keras_pibnas.topology import KINDS

UPDATES = ("alternating", "single")


@registered
@dataclass(frozen=True)
class Stage(Part):
    """One supernet of a progressive search: deeper than the one before, with fewer ops on each edge.

    Args:
        layers: number of cells.
        ops: how many ops an edge keeps, the best by the scores of the stage before; in the first stage at least as many
            as the space has.
        skip_dropout: rate of dropout behind skip connections, a number or a Schedule of this stage's progress.

    Raises:
        ValueError: layers below 2 or ops below 1.

    Example:
        >>> kp.methods.Stage(layers=5, ops=1).mask([[0.2, 0.8], [0.6, 0.4]]).tolist()
        [[False, True], [True, False]]
    """

    layers: int
    ops: int
    skip_dropout: float | Schedule = 0.0

    def __post_init__(self):
        object.__setattr__(self, "skip_dropout", dropout_schedule(self.skip_dropout))
        if self.layers < 2 or self.ops < 1:
            raise ValueError(f"A stage has at least 2 layers and 1 op. Received: layers={self.layers}, ops={self.ops}")

    def mask(self, scores) -> np.ndarray:
        """(edges, ops) of bool: the best ops of each edge; of equal ones, the first. Args: scores (edges, ops)."""
        scores = np.asarray(scores, "float64")
        ranks = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1)
        return (ranks < self.ops) & (scores > 0)

    def method(self, method: "Method", scores: Sequence | None = None) -> "Method":
        """The method of this stage's supernet.

        Args: method: of the search; scores: [normal, reduce] of the stage before, each (edges, ops); None: it is the
        first, and no op is left out.
        """
        relaxation = method.relaxation
        if scores is not None:
            masks = {kind: self.mask(rows) for kind, rows in zip(KINDS, scores, strict=False)}
            relaxation = Masked(relaxation, masks)
        return replace(method, relaxation=relaxation, stages=(), skip_dropout=self.skip_dropout)

    def check(self, cells: Sequence):
        """Raises ValueError if an edge of the first stage would have more ops than it keeps. Args: cells: CellSpecs."""
        most = max(int(cell.allowed.sum(axis=1).max()) for cell in cells)
        if most > self.ops:
            raise ValueError(
                f"Nothing ranks the {most} ops of the space before the first stage, which should keep them all: "
                f"Stage(layers={self.layers}, ops={most}). Received: ops={self.ops}"
            )


@registered
@dataclass(frozen=True)
class Method(Part):
    """How a supernet is searched.

    Args:
        relaxation: how architecture variables become op weights.
        penalties: terms added to the alphas' loss.
        perturbation: of op weights in the weights' step, or None.
        discretization: how scores become a genotype.
        partial: K; the ops of an edge see the first C / K channels. C must be divisible by 2 K.
        update: "alternating" moves alphas on a validation batch, then weights on a training batch; "single" takes both
            gradients from one pass on the training batch.
        rest: the part of the search, from 0 and below 1, in which the architecture does not move at first.
        settings: published settings as plain data, see `catalog`.
        stages: of a progressive search, or ().
        skip_dropout: rate of dropout behind skip connections of stride 1, a number or a Schedule below 1; 0: none.

    Raises:
        ValueError: names the argument, its value and what would be right.

    Example:
        >>> Method(relaxation=Softmax(), partial=4, rest=0.3).check_channels(16)
    """

    relaxation: Relaxation = field(default_factory=Softmax)
    penalties: tuple = ()
    perturbation: Perturbation | None = None
    discretization: Discretization = field(default_factory=TopEdges)
    partial: int = 1
    update: str = "alternating"
    rest: float = 0.0
    settings: dict = field(default_factory=dict, hash=False)
    stages: tuple = ()
    skip_dropout: float | Schedule = 0.0

    def __post_init__(self):
        for name in ("penalties", "stages"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "skip_dropout", dropout_schedule(self.skip_dropout))
        check_type("relaxation", self.relaxation, Relaxation, "a Relaxation, such as Softmax()")
        check_type("discretization", self.discretization, Discretization, "a Discretization, such as TopEdges()")
        check_type("perturbation", self.perturbation, Perturbation | None, "a Perturbation or None")
        for penalty in self.penalties:
            check_type("penalties", penalty, Penalty, "a tuple of Penalty, such as Entropy(0.1)")
        for stage in self.stages:
            check_type("stages", stage, Stage, "a tuple of Stage")
        if not isinstance(self.partial, int) or self.partial < 1:
            raise ValueError(f"partial must be an integer of at least 1. Received: partial={self.partial!r}")
        if self.update not in UPDATES:
            raise ValueError(f"update must be one of {', '.join(UPDATES)}. Received: update={self.update!r}")
        if not 0 <= self.rest < 1:
            raise ValueError(f"rest must be from 0 and below 1. Received: rest={self.rest!r}")

    @property
    def drops_skips(self) -> bool:
        """Whether skip connections have dropout."""
        return self.skip_dropout != Constant(0.0)

    def check_channels(self, channels: int):
        """Raises ValueError if the channels of the first cell cannot be divided as `partial` asks."""
        step = 2 * self.partial
        if channels % step:
            least = max(step, channels // step * step)
            raise ValueError(
                f"partial={self.partial} needs channels divisible by {step}, such as {least}. "
                f"Received: channels={channels}"
            )

    def bind(self, **settings) -> "Method":
        """The method for one supernet: each penalty is bound to it. Args: **settings: as `ExpectedCost.bind`."""
        settings = {"discretization": self.discretization, **settings}
        return replace(self, penalties=tuple(penalty.bind(**settings) for penalty in self.penalties))


def dropout_schedule(value: float | Schedule) -> Schedule:
    """A rate of dropout as a Schedule. Raises ValueError: it begins or ends outside [0, 1)."""
    found = schedule(value)
    if not all(0 <= found.value(progress) < 1 for progress in (0.0, 1.0)):
        raise ValueError(f"A rate of dropout is at least 0 and below 1. Received: skip_dropout={value!r}")
    return found
