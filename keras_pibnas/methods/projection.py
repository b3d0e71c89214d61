"""Perturbation-based selection: edges are decided by what a supernet loses without an op. DARTS-PT (arXiv:2108.04392).

Alphas rank ops badly; the accuracy of the supernet without an op says how much it needs it.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_pibnas.genotypes import Genotype
from keras_pibnas.methods.wrappers import Projected


class Decided(Projected):
    """`Projected`, whose decisions stand in variables: one more of them has nothing traced anew.

    Args: inner: a Relaxation; cells: (normal, reduce), CellSpec; dtype: of the architecture.
    """

    def __init__(self, inner, cells, dtype):
        super().__init__(inner)
        shapes = {cell.kind: ((cell.edges, 1), cell.shape) for cell in cells}
        variables = {kind: [_variable(shape, dtype) for shape in both] for kind, both in shapes.items()}
        object.__setattr__(self, "variables_by_kind", variables)

    def decide(self, fixed, cells):
        """Takes (kind, row, op) triples in place of all before. Raises ValueError as `Projected.decisions`."""
        tables = [Projected(self.inner, fixed).decisions(cell) for cell in cells]
        object.__setattr__(self, "fixed", tuple(fixed))
        for cell, values in zip(cells, tables, strict=True):
            for variable, value in zip(self.variables_by_kind[cell.kind], values, strict=True):
                variable.assign(value)

    def tables(self, cell, dtype):
        decided, values = map(ops.convert_to_tensor, self.variables_by_kind[cell.kind])
        return decided > 0, ops.cast(values, dtype)


def _variable(shape, dtype):
    return keras.Variable(np.zeros(shape), dtype=dtype, trainable=False, autocast=False, name="decided")


def project(
    supernet: keras.Model, pairs: Any, valid: Any, every: int = 10, seed: int = 0, monitor: str = "accuracy",
    mode: str = "max", callbacks: Sequence[keras.callbacks.Callback] = (), **kwargs,
) -> Genotype:  # fmt: skip
    """Decides all edges of a trained supernet, one of each kind of cell at a time, with training between.

    Edges come in random order. Of an edge, each op's weight is set to 0 in turn, the others staying as they are; the op
    without which the metric on all of `valid`, normalized by the statistics of each batch, is worst stays: its weight
    is 1. Then nodes come in random order: of their edges, the one without which the metric is best goes, until two are
    left. Of equal ones the first op stays, and the first edge. As published, but that nothing is done at nodes of two
    edges, that an edge which goes is gone while its node's next one is looked for, and that `none` is no candidate.

    Args:
        supernet: a compiled Supernet; it goes on with its optimizers. Published: a new `SGD`, from a tenth of
            the search's learning rate down a cosine.
        pairs: what it trains on, as `fit` takes it.
        valid: batches (x, y) on which ops are compared.
        every: epochs of training after a decision, at least 1.
        seed: of the order.
        monitor: the metric, as `evaluate` names it; mode: "max" or "min", whether more of it is better.
        callbacks: of `fit`. A `callbacks.Checkpoint` among them keeps the decisions too, and the call goes on with it.
        **kwargs: further arguments of `fit`.

    Returns:
        The genotype; `supernet.genotype()` gives it too, and a saved supernet keeps it.

    Raises:
        ValueError: every below 1, or an unknown monitor or mode.

    Example:
        >>> import tensorflow as tf
        >>> space = kp.spaces.SearchSpace("two", ("skip_connect", "avg_pool_3x3"))
        >>> supernet = kp.Supernet(space, (4, 4, 1), 2, channels=2, layers=2, nodes=1, order=1)
        >>> supernet.compile(run_eagerly=True)
        >>> valid = tf.data.Dataset.from_tensors((np.ones((2, 4, 4, 1), "float32"), [0, 1]))
        >>> pairs = kp.data.bilevel(valid, valid)
        >>> kp.methods.project(supernet, pairs, valid, every=1, verbose=0) == supernet.genotype()
        True
    """
    projection = Projection(supernet, valid, every, seed, monitor, mode, callbacks)
    return projection.run(pairs, callbacks, **kwargs)


class Projection(keras.callbacks.Callback):
    """Makes a decision for each kind of cell at the begin of every so many epochs. Args: as `project`.

    Attributes: fixed: (kind, row, op) triples of the rounds that are over; rounds: all of them; done: how many are.

    Example:
        >>> supernet = kp.Supernet("darts", (8, 8, 3), channels=2, layers=2, nodes=2)
        >>> projection = kp.methods.Projection(supernet, valid=None, every=10)
        >>> len(projection.rounds), projection.epochs  # five edges, one node with more than two
        (6, 50)
    """

    def __init__(
        self, supernet: keras.Model, valid: Any, every: int, seed: int = 0, monitor: str = "accuracy",
        mode: str = "max", callbacks: Sequence[keras.callbacks.Callback] = (),
    ):  # fmt: skip
        super().__init__()
        if not isinstance(every, int) or every < 1:
            raise ValueError(f"Between decisions there is at least one epoch. Received: every={every!r}")
        if mode not in ("max", "min"):
            raise ValueError(f"mode must be 'max' or 'min'. Received: mode={mode!r}")
        self.supernet, self.valid, self.every, self.monitor, self.mode = supernet, valid, every, monitor, mode
        self.cells = [supernet.relaxed.method.relaxation.narrow(cell) for cell in supernet.relaxed.cells]
        self.rounds, self.done, self.fixed = rounds(self.cells, seed), 0, ()
        self.checkpoints = [callback for callback in callbacks if hasattr(callback, "states")]
        for checkpoint in self.checkpoints:
            checkpoint.states = (*checkpoint.states, self)
        supernet.fix_edges(())

    @property
    def epochs(self):
        """Of training: between the first decision and the last."""
        return self.every * (len(self.rounds) - 1)

    def run(self, pairs, callbacks=(), **kwargs):
        """All decisions, with training between; returns the genotype. Args: as `project`."""
        self.supernet.fit(pairs, epochs=self.epochs, callbacks=[*callbacks, self], **kwargs)
        self.finish()
        return self.supernet.genotype()

    def on_epoch_begin(self, epoch, logs=None):
        self.supernet.progress.assign(1.0)  # the search is over
        if self.done <= epoch // self.every:
            self._decide()

    def finish(self):
        """Makes the decisions that are left."""
        self.supernet.progress.assign(1.0)
        while self.done < len(self.rounds):
            self._decide()

    def get_state(self):
        """For `Checkpoint(states=...)`."""
        return {"fixed": list(self.fixed), "done": self.done}

    def set_state(self, state):
        self.fixed, self.done = tuple(map(tuple, state["fixed"])), state["done"]
        self.supernet.fix_edges(self.fixed)

    def _decide(self):
        """A round. What it fixed counts when it is over: one that is broken off is made again, with the same result."""
        fixed = self.fixed
        for cell, place in zip(self.cells, self.rounds[self.done], strict=True):
            fixed = (_op_of_edge if self.done < cell.edges else _edges_of_node)(self, cell, place, fixed)
        self.fixed, self.done = fixed, self.done + 1
        self.supernet.reset_metrics()

    def without(self, kind, row, column=None):
        """The metric, negative where less is better, where an op of an edge, or the edge, weighs nothing."""
        mix = {cell.kind: np.array(rows) for cell, rows in zip(self.cells, self.supernet.op_weights(), strict=True)}
        mix[kind][row, slice(None) if column is None else column] = 0.0
        watching = keras.callbacks.CallbackList(self.checkpoints, model=self.supernet, **self.params or {})
        found = self.supernet.evaluate(
            self.valid, mix=[mix[cell.kind] for cell in self.cells], batch_statistics=True, verbose=0,
            return_dict=True, callbacks=watching if self.params else None,
        )  # fmt: skip
        if self.monitor not in found:
            raise ValueError(f"Unknown monitor. Known: {', '.join(found)}. Received: {self.monitor!r}")
        return found[self.monitor] if self.mode == "max" else -found[self.monitor]


def rounds(cells, seed) -> list[tuple]:
    """(row of the normal cell, of the reduction cell) of each round of edges, then (node, node) of each of nodes.

    In random order; nodes of two edges and fewer are left out. Args: cells: (normal, reduce); seed.
    """
    generator = np.random.default_rng(seed)
    edges = [generator.permutation(cell.edges).tolist() for cell in cells]
    larger = [[n for n in range(cell.nodes) if cell.targets.count(n) > cell.keeps()] for cell in cells]
    nodes = [generator.permutation(own) for own in larger]
    return [*zip(*edges, strict=True), *zip(*(order.astype(int).tolist() for order in nodes), strict=True)]


def _op_of_edge(projection, cell, row, fixed):
    """The decisions, and that of an edge: the op without which the metric is worst."""
    columns = np.flatnonzero(cell.derivable[row]).tolist()
    if len(columns) > 1:
        columns = [min(columns, key=lambda column: projection.without(cell.kind, row, column))]
    return _fix(projection, fixed, (cell.kind, row, cell.primitives[columns[0]] if columns else None))


def _edges_of_node(projection, cell, node, fixed):
    """The decisions, and those of the edges that go: again and again the one without which the metric is best."""
    gone = {(kind, row) for kind, row, op in fixed if op is None}
    rows = [row for row, target in enumerate(cell.targets) if target == node and (cell.kind, row) not in gone]
    while len(rows) > cell.keeps():
        worst = max(reversed(rows), key=lambda row: projection.without(cell.kind, row))
        rows.remove(worst)
        fixed = _fix(projection, fixed, (cell.kind, worst, None))
    return fixed


def _fix(projection, fixed, triple):
    fixed = (*fixed, triple)
    projection.supernet.fix_edges(fixed)
    return fixed
