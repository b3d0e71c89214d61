"""Relaxations around another one."""

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from keras_pibnas.methods.cells import KINDS, column_of, mask_rows
from keras_pibnas.methods.part import check_type, constant, registered
from keras_pibnas.methods.relaxation import CLOSED, Relaxation
from keras_pibnas.methods.schedules import Schedule, at, schedule
from keras_pibnas.spaces import canonical


@dataclass(frozen=True)
class Wrapper(Relaxation):
    """Passes everything on to `inner`, with the cell as `narrow` leaves it; a subclass changes what it is about."""

    inner: Relaxation

    def __post_init__(self):
        check_type("inner", self.inner, Relaxation, "a Relaxation, such as Softmax()")

    def variables(self, cell):
        return self.inner.variables(cell)

    def noise(self, cell, seed):
        return self.inner.noise(cell, seed)

    def mix(self, arch, noise, progress, cell):
        return self.inner.mix(arch, noise, progress, cell)

    def scores(self, arch, cell):
        return self.inner.scores(arch, cell)

    def narrow(self, cell):
        return self.inner.narrow(cell)

    def edge_weights(self, arch, cell):
        return self.inner.edge_weights(arch, cell)

    def extra_ops(self, cell):
        return self.inner.extra_ops(cell)

    def extra_mix(self, progress, cell, dtype):
        return self.inner.extra_mix(progress, cell, dtype)

    def optimizer(self):
        return self.inner.optimizer()


@registered
@dataclass(frozen=True)
class EdgeNormalized(Wrapper):
    """inner's rows times q, the softmax of beta over the edges into a node. PC-DARTS (arXiv:1907.05737).

    Adds the variable "beta", (edges,), drawn from N(0, 1e-3**2). Edges on which nothing is allowed have q = 0.

    Example:
        >>> cell = kp.methods.CellSpec("normal", 1, ("none", "skip_connect"))
        >>> relaxation = kp.methods.EdgeNormalized(kp.methods.Softmax())
        >>> arch = {"alpha": np.zeros((2, 2)), "beta": np.log([3.0, 1.0])}
        >>> np.round(relaxation.mix(arch, (), 0.0, cell), 3).tolist()  # edges weigh 3/4 and 1/4
        [[0.375, 0.375], [0.125, 0.125]]
    """

    def variables(self, cell):
        beta = ((cell.edges,), keras.initializers.RandomNormal(0.0, 1e-3))
        return self.inner.variables(cell) | {"beta": beta}

    def mix(self, arch, noise, progress, cell):
        return self.inner.mix(arch, noise, progress, cell) * self._weights(arch, cell)[:, None]

    def scores(self, arch, cell):
        return self.inner.scores(arch, cell) * self._weights(arch, cell)[:, None]

    def edge_weights(self, arch, cell):
        inner, own = self.inner.edge_weights(arch, cell), self._weights(arch, cell)
        return own if inner is None else inner * own

    def _weights(self, arch, cell):
        beta = ops.convert_to_tensor(arch["beta"])
        edges = self.inner.narrow(cell).allowed.any(axis=1)
        rivals = cell.same_node & edges[None]
        logits = ops.where(rivals, beta[None], constant(CLOSED, beta.dtype))
        own = constant(np.diag(edges), beta.dtype)
        return ops.sum(ops.softmax(logits, axis=-1) * own, axis=-1)


@registered
@dataclass(frozen=True)
class Masked(Wrapper):
    """inner, with less allowed: entries outside the mask are 0 in `mix` and `scores`.

    Args:
        inner: a Relaxation.
        mask: (edges, ops), true where an op stays, for both kinds of cell; or {"normal": ..., "reduce": ...}; or the
            names of ops that are left out, such as ("none",) — names that the space does not have change nothing.

    Example:
        >>> cell = kp.methods.CellSpec("normal", 1, ("none", "skip_connect"))
        >>> relaxation = kp.methods.Masked(kp.methods.Softmax(), ("none",))
        >>> np.array(relaxation.mix({"alpha": np.zeros((2, 2))}, (), 0.0, cell)).tolist()
        [[0.0, 1.0], [0.0, 1.0]]
    """

    mask: tuple | dict

    def __post_init__(self):
        super().__post_init__()
        if isinstance(self.mask, dict):
            if set(self.mask) - set(KINDS):
                raise ValueError(f"Masks are by kind, {', '.join(KINDS)}. Received: {', '.join(self.mask)}")
            mask = {kind: mask_rows(rows, np.shape(rows)) for kind, rows in self.mask.items()}
        elif all(isinstance(row, str) for row in self.mask):
            mask = tuple(self.mask)
        else:
            mask = mask_rows(self.mask, np.shape(self.mask))
        object.__setattr__(self, "mask", mask)

    def narrow(self, cell):
        return self.inner.narrow(cell.masked(self._rows(cell)))

    def _rows(self, cell):
        if isinstance(self.mask, dict):
            return self.mask.get(cell.kind, cell.allowed)
        if all(isinstance(row, str) for row in self.mask):
            out = {canonical(name) for name in self.mask}
            return np.tile([canonical(name) not in out for name in cell.primitives], (cell.edges, 1))
        return self.mask

    def noise(self, cell, seed):
        return self.inner.noise(self._own(cell), seed)

    def mix(self, arch, noise, progress, cell):
        return self.inner.mix(arch, noise, progress, self._own(cell))

    def scores(self, arch, cell):
        return self.inner.scores(arch, self._own(cell))

    def edge_weights(self, arch, cell):
        return self.inner.edge_weights(arch, self._own(cell))

    def extra_ops(self, cell):
        return self.inner.extra_ops(self._own(cell))

    def extra_mix(self, progress, cell, dtype):
        return self.inner.extra_mix(progress, self._own(cell), dtype)

    def _own(self, cell):
        return cell.masked(self._rows(cell))


@registered
@dataclass(frozen=True)
class Projected(Wrapper):
    """inner, with decided edges: their rows are the one-hot of an op, or 0. DARTS-PT (arXiv:2108.04392).

    Args:
        inner: a Relaxation.
        fixed: (kind, row, op) triples: on that edge of that kind of cell, the op's name, or None for an edge that is
            taken out. The last one of an edge holds.

    Example:
        >>> cell = kp.methods.CellSpec("normal", 1, ("none", "skip_connect"))
        >>> relaxation = kp.methods.Projected(kp.methods.Softmax(), (("normal", 0, "skip_connect"),))
        >>> np.array(relaxation.mix({"alpha": np.zeros((2, 2))}, (), 0.0, cell)).tolist()
        [[0.0, 1.0], [0.5, 0.5]]
    """

    fixed: tuple = ()

    def __post_init__(self):
        super().__post_init__()
        fixed = tuple((kind, int(row), op) for kind, row, op in self.fixed)
        if wrong := [triple for triple in fixed if triple[0] not in KINDS]:
            raise ValueError(f"An edge is fixed in a cell, {' or '.join(KINDS)}. Received: {wrong[0]}")
        object.__setattr__(self, "fixed", fixed)

    def mix(self, arch, noise, progress, cell):
        return self._project(self.inner.mix(arch, noise, progress, cell), cell)

    def scores(self, arch, cell):
        return self._project(self.inner.scores(arch, cell), cell)

    def edge_weights(self, arch, cell):
        """inner's, but 0 on edges that are taken out: partial channels do not pass them by either."""
        dtype = ops.convert_to_tensor(arch["alpha"]).dtype
        decided, values = self.tables(cell, dtype)
        kept = ops.cast(ops.logical_or(~decided[:, 0], ops.any(values > 0, axis=-1)), dtype)
        inner = self.inner.edge_weights(arch, cell)
        return kept if inner is None else inner * kept

    def _project(self, rows, cell):
        decided, values = self.tables(cell, rows.dtype)
        return ops.where(decided, values, rows)

    def tables(self, cell, dtype):
        """(Whether an edge is decided, (edges, 1) of bool; op weights of those that are, (edges, ops)), tensors."""
        decided, values = self.decisions(cell)
        return constant(decided, "bool"), constant(values, dtype)

    def decisions(self, cell):
        """`tables` as NumPy arrays. Raises ValueError: an edge or an op that the cell has not got."""
        columns = {canonical(name): i for i, name in enumerate(cell.primitives)}
        decided, values = np.zeros((cell.edges, 1), bool), np.zeros(cell.shape)
        for kind, row, op in self.fixed:
            if kind != cell.kind:
                continue
            if not 0 <= row < cell.edges:
                raise ValueError(f"A cell of {cell.nodes} nodes has edges 0 to {cell.edges - 1}. Received: row {row}")
            decided[row], values[row] = True, 0.0
            if op is not None:
                values[row, column_of(op, columns)] = 1.0
        return decided, values * self.inner.narrow(cell).allowed


@registered
@dataclass(frozen=True)
class SkipAssisted(Wrapper):
    """inner, and a skip connection of its own on every edge, whose weight goes to 0. DARTS- (arXiv:2009.01027).

    On edges of stride 1 the weight is added to that of `skip_connect`, which computes the same. Where that cannot be
    (stride 2, where it is a factorized reduce with weights of its own; or an edge without `skip_connect`), the edge
    gets one more op: `extra_ops` and `extra_mix`. Scores are inner's.

    Args:
        inner: a Relaxation.
        weight: of the skip connection, a number or a Schedule.

    Example:
        >>> cell, weight = kp.methods.CellSpec("normal", 1, ("none", "skip_connect")), kp.methods.Linear(1.0, 0.0)
        >>> relaxation = kp.methods.SkipAssisted(kp.methods.Softmax(), weight)
        >>> np.array(relaxation.mix({"alpha": np.zeros((2, 2))}, (), 0.75, cell)).tolist()
        [[0.5, 0.75], [0.5, 0.75]]
    """

    weight: float | Schedule = 1.0

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "weight", schedule(self.weight))

    def mix(self, arch, noise, progress, cell):
        mix = self.inner.mix(arch, noise, progress, cell)
        shared = constant(self._shared(cell), mix.dtype)
        return mix + shared * at(self.weight, progress, mix.dtype)

    def extra_ops(self, cell):
        return self.inner.extra_ops(cell) + (() if self._shared(cell).any(axis=1).all() else ("skip_connect",))

    def extra_mix(self, progress, cell, dtype):
        inner = self.inner.extra_mix(progress, cell, dtype)
        own = ~self._shared(cell).any(axis=1, keepdims=True)
        if not own.any():
            return inner
        weight = constant(own, dtype) * at(self.weight, progress, dtype)
        return ops.concatenate([inner, weight], -1)

    def _shared(self, cell):
        """(edges, ops) of bool: the entries to which the weight is added."""
        skips = np.array([canonical(name) == "skip_connect" for name in cell.primitives])
        stride_1 = np.array(cell.strides) == 1
        return self.inner.narrow(cell).allowed & skips & stride_1[:, None]
