"""Searches of a table's space, whose results are looked up in it."""

import time
from dataclasses import dataclass, replace

import keras
import numpy as np
import tensorflow as tf

from keras_pibnas import data, methods, optimizers, spaces
from keras_pibnas.engine.interface import value_of
from keras_pibnas.methods import TopEdges, Uniform
from keras_pibnas.schedules import cosine
from keras_pibnas.search import Supernet
from keras_pibnas.tabular.cells import CellSpace
from keras_pibnas.tabular.table import Table


@dataclass(frozen=True)
class SearchSettings:
    """How a table's space is searched, whatever the method.

    Args:
        epochs: passes over the table's training images, which move the weights; its validation images move the alphas.
        batch_size: images of each in a step.
        channels: of the supernet's first cell; None: as many as the table's networks have. The layers are the table's.
        learning_rate: of the weights, at the first step; a cosine to 0.001 after the last one.
        alpha_learning_rate: of the alphas, where their method does not bring an optimizer of its own.
        none: whether edges may also be `none` while searching.
        ranked: number of cells, drawn at random, that the shared weights rank after the search; 0: none.
    """

    epochs: int = 15
    batch_size: int = 64
    channels: int | None = None
    learning_rate: float = 0.025
    alpha_learning_rate: float = 0.01
    none: bool = False
    ranked: int = 40


def search_space(space: CellSpace, none: bool = False) -> spaces.SearchSpace:
    """The search space of a table's cells: its ops, `none` besides if asked for, and those of its reduction cell.

    A batch normalization follows pools in the supernet, as in DARTS: without it, their larger outputs win.
    """
    primitives = (*(("none",) if none else ()), *space.primitives)
    further = sorted({op for op, _ in space.reduce} - {*primitives})
    return spaces.SearchSpace("table", (*primitives, *further), pool_norm=True)


def allowed(space: CellSpace, none: bool = False) -> dict:
    """{"normal", "reduce"}: which ops an edge may have, (edges, ops) of bool in the columns of `search_space`.

    All ops of the table on all edges of the normal cell; on those of the reduction cell the one that it has there.
    """
    primitives = search_space(space, none).primitives
    places = [(source, node) for node in (0, 1) for source in range(2 + node)]
    fixed = {(source, number // 2): op for number, (op, source) in enumerate(space.reduce)}
    free = [op == "none" or op in space.primitives for op in primitives]
    return {
        "normal": np.array([free] * len(places)),
        "reduce": np.array([[fixed.get(place) == op for op in primitives] for place in places]),
    }


def fitted(method: str, space: CellSpace, channels: int, none: bool = False) -> methods.Method:
    """The method of a name, as it can find a cell of a table.

    Its edges may have what `allowed` says, partial channels are as many parts as the channels allow, and a genotype
    takes the two best edges of each node.
    """
    found = methods.get(method)
    partial = next(k for k in range(found.partial, 0, -1) if k == 1 or channels % (2 * k) == 0)
    relaxation = methods.Masked(found.relaxation, allowed(space, none))
    return replace(found, relaxation=relaxation, partial=partial, discretization=TopEdges(2))


class _Restarting(Supernet):
    """A supernet whose noise comes from a seed that can be set, so that another search traces nothing again."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.noise_seed = tf.Variable(self.settings["seed"], trainable=False, dtype="int32")

    def _seed(self, use):
        return self.noise_seed, value_of(self.optimizer.iterations), use


class _Found(keras.callbacks.Callback):
    """The number of the cell that the architecture stands for after each epoch."""

    def __init__(self, space):
        super().__init__()
        self.space, self.cells = space, []

    def on_epoch_end(self, epoch, logs=None):
        self.cells.append(self.space.index(self.model.genotype()))


class Searcher:
    """Searches a table's space with one method, from one seed after the other; only the first search traces.

    Args: table; method: one of `kp.methods.names()`; order, hvp: as `Supernet` takes them; settings.
    """

    def __init__(self, table: Table, method: str, order: int = 1, hvp: str = "exact", settings=SearchSettings()):  # noqa: B008
        self.table, self.settings, self.order, self.hvp = table, settings, order, hvp
        self.channels = settings.channels or table.settings.channels
        self.method = fitted(method, table.space, self.channels, settings.none)
        self.splits = table.settings.splits()
        self.supernet = None

    def search(self, seed: int, callbacks=()) -> dict:
        """Searches.

        Returns:
            {"cell": number of the cell found, "cells": that of every epoch, and what a callback went back
            to, "seconds": of the search, "ranked": numbers of cells drawn at random, "scores": their validation
            accuracies with the shared weights}. A method that leaves the choice to the shared weights
            (`random_sharing`) finds the best of these.
        """
        self._begin(seed)
        found, begun = _Found(self.table.space), time.perf_counter()
        pairs = self._pairs(seed)
        self.supernet.fit(pairs, epochs=self.settings.epochs, verbose=0, callbacks=[*callbacks, found])
        seconds = time.perf_counter() - begun
        ranked, scores, cells = *self._ranking(seed), found.cells
        if (last := self.table.space.index(self.supernet.genotype())) != cells[-1]:
            cells = [*cells, last]
        if self.by_shared_weights:
            seconds, cells = time.perf_counter() - begun, [ranked[int(np.argmax(scores))]]
        found = {"cell": cells[-1], "cells": cells, "seconds": round(seconds, 2)}
        return found | {"ranked": ranked, "scores": scores}

    @property
    def by_shared_weights(self) -> bool:
        """Whether the method leaves the choice of a cell to the shared weights."""
        return isinstance(self.method.relaxation.inner, Uniform)

    def _pairs(self, seed):
        halves = [
            self.splits.batches(half, self.settings.batch_size, seed=seed, drop_remainder=True)
            for half in ("train", "valid")
        ]
        return data.bilevel(*halves)

    def _begin(self, seed):
        """A new supernet, or the one that is there with all that a new one would begin with."""
        fresh = self._made(seed)
        if self.supernet is None:
            self.supernet, steps = fresh, len(self._pairs(seed)) * self.settings.epochs
            rate = cosine(self.settings.learning_rate, steps, last=0.001)
            own = self.method.relaxation.optimizer() or optimizers.Adam(self.settings.alpha_learning_rate)
            fresh.compile(optimizers.SGD(rate), own)
            self._moved = [*fresh.optimizer.variables, *fresh.alpha_optimizer.variables]
            self._started = [variable.numpy() for variable in self._moved]
            return
        for variable, value in zip(self._moved, self._started, strict=True):
            variable.assign(value)
        for variable, new in zip(self.supernet.weights, fresh.weights, strict=True):
            variable.assign(new)
        self.supernet.noise_seed.assign(seed)

    def _made(self, seed):
        keras.utils.set_random_seed(seed)
        return _Restarting(
            search_space(self.table.space, self.settings.none), self.splits.input_shape, self.splits.num_classes,
            self.channels, self.table.settings.layers, 2, order=self.order, hvp=self.hvp, seed=seed, method=self.method,
            name="supernet",
        )  # fmt: skip

    def _ranking(self, seed):
        """(Cells drawn, their validation accuracies with the shared weights, by the statistics of the batch)."""
        count = min(self.settings.ranked, len(self.table))
        drawn = np.random.default_rng([seed, 1]).choice(len(self.table), count, replace=False)
        batches = self.splits.batches("valid", len(self.splits.arrays["valid"][1]), shuffle=False)
        found = [
            self.supernet.evaluate(
                batches, genotype=self.table.space.genotype(cell), batch_statistics=True, verbose=0, return_dict=True
            )
            for cell in drawn
        ]
        return [int(cell) for cell in drawn], [round(values["accuracy"], 6) for values in found]
