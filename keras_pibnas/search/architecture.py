"""The architecture of a supernet: its variables, and how its method makes op weights of them."""

import random
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from keras_pibnas import methods
from keras_pibnas.methods import CellSpec, Method


@dataclass(frozen=True)
class Architecture:
    """How the variables of both kinds of cell become what a `RelaxedNetwork` takes.

    Attributes:
        method: Method, bound to the supernet.
        cells: (normal, reduce), CellSpec of the space.
        names: of the variables of a cell, such as ("alpha", "beta").
    """

    method: Method
    cells: tuple[CellSpec, CellSpec]
    names: tuple[str, ...]

    @classmethod
    def of(cls, method: Method, cells: tuple[CellSpec, CellSpec], **settings) -> "Architecture":
        """Args: settings: input_shape, num_classes and stem of the supernet, which penalties on costs are bound to."""
        state = random.getstate()  # initializers draw seeds from it, and weights should start as without them
        names = tuple(method.relaxation.variables(cells[0]))
        random.setstate(state)
        return cls(method.bind(cells=cells, **settings), cells, names)

    def initial(self, seed: int | None) -> list:
        """(name, shape, initializer) of each variable: by name, of each the normal cell's first."""
        return [
            (f"{name}_{cell.kind}", shape, methods.seeded(initializer, None if seed is None else seed + offset))
            for name in self.names
            for offset, cell in enumerate(self.cells)
            for shape, initializer in [self.method.relaxation.variables(cell)[name]]
        ]

    def by_cell(self, variables) -> list[dict]:
        """Tensors in the order of `initial` as [{name: tensor} of the normal cell, of the reduction cell]."""
        kinds = len(self.cells)
        return [dict(zip(self.names, variables[place::kinds], strict=True)) for place in range(kinds)]

    def noise(self, seed) -> list:
        """[normal, reduce]. Args: seed: (seed, step, use), see `methods.fold_seed`."""
        return [self.method.relaxation.noise(cell, seed) for cell in self.cells]

    @property
    def no_noise(self) -> list:
        """What stands for the noise of each kind of cell where there is none."""
        return [()] * len(self.cells)

    def mix(self, variables, noise, progress) -> list:
        """The op weights [normal, reduce], each (edges, ops)."""
        parts = zip(self.by_cell(variables), noise, self.cells, strict=True)
        return [self.method.relaxation.mix(arch, drawn, progress, cell) for arch, drawn, cell in parts]

    def complete(self, mix, variables, progress) -> list:
        """The op weights, with columns for ops that edges have beyond the space's and for partial channels' bypass."""
        parts = zip(mix, self.by_cell(variables), self.cells, strict=True)
        return [self._complete(rows, arch, progress, cell) for rows, arch, cell in parts]

    def _complete(self, rows, arch, progress, cell):
        columns = [rows]
        if self.extra_ops(cell.kind):
            columns.append(self.method.relaxation.extra_mix(progress, cell, rows.dtype))
        if self.method.partial > 1:
            weights = self.method.relaxation.edge_weights(arch, cell)
            columns.append((ops.ones_like(rows[:, 0]) if weights is None else weights)[:, None])
        return columns[0] if len(columns) == 1 else ops.concatenate(columns, -1)

    @property
    def narrow(self) -> tuple[CellSpec, ...]:
        """The cells with what both the space and the method allow: what a supernet has layers for."""
        return tuple(self.method.relaxation.narrow(cell) for cell in self.cells)

    def extra_ops(self, kind: str) -> tuple[str, ...]:
        """Names of the ops that the edges of a kind of cell have beyond the space's."""
        return self.method.relaxation.extra_ops(next(cell for cell in self.cells if cell.kind == kind))

    def perturbed(self, mix, variables, noise, progress, gradient) -> list:
        """The completed op weights of the weights' step. Args: gradient: completed op weights -> their gradient."""
        perturbation = self.method.perturbation
        if perturbation is None:
            return self.complete(mix, variables, progress)
        cells = self.narrow

        def own_columns(pair):
            found = gradient(self.complete(pair, variables, progress))
            return tuple(g[:, : m.shape[1]] for g, m in zip(found, pair, strict=True))

        moved = perturbation(tuple(mix), noise, progress, cells, gradient=own_columns)
        return self.complete([ops.stop_gradient(rows) for rows in moved], variables, progress)

    def penalty(self, variables, noise, progress) -> Any:
        """The sum of the penalties, a scalar; None where there is none."""
        penalties = self.method.penalties
        arch = self.by_cell(variables)
        terms = [p(self.method.relaxation, arch, noise, progress, self.cells) for p in penalties]
        return sum(ops.cast(term, variables[0].dtype) for term in terms) if terms else None

    def scores(self, variables) -> list:
        """[normal, reduce]: how good each op is on each edge, NumPy arrays (edges, ops), float64."""
        wide = [ops.convert_to_tensor(ops.convert_to_numpy(v).astype("float64")) for v in variables]
        parts = zip(self.by_cell(wide), self.cells, strict=True)
        return [ops.convert_to_numpy(self.method.relaxation.scores(arch, cell)) for arch, cell in parts]

    def genotype_mix(self, genotype, progress, dtype) -> list:
        """The completed op weights of a genotype, one-hot. Raises ValueError where the space has not got its ops."""
        rows = methods.genotype_mix(genotype, self.narrow)
        rows = [ops.convert_to_tensor(value.astype(dtype)) for value in rows]
        zeros = [ops.zeros((cell.edges, len(self.extra_ops(cell.kind))), dtype) for cell in self.cells]
        ones = [ops.ones((cell.edges, int(self.method.partial > 1)), dtype) for cell in self.cells]
        return [ops.concatenate(parts, -1) for parts in zip(rows, zeros, ones, strict=True)]


def resolve(method) -> Method:
    """The method of a name, a Method, or what a saved supernet holds of one. Raises ValueError: an unknown name."""
    if isinstance(method, dict):
        return keras.saving.deserialize_keras_object(method)
    method = methods.get(method)
    if method.stages:
        raise ValueError(
            "A method in stages has a supernet for each: give Supernet what method.stages[i].method(...) makes. "
            f"Received: a method of {len(method.stages)} stages"
        )
    return method
