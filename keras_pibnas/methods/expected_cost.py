"""A limit on size or cost inside of the search: the expected cost of the network that would be derived."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from keras import ops

from keras_pibnas import costs, spaces, topology
from keras_pibnas.methods.cells import cells_of
from keras_pibnas.methods.discretizations import Discretization, TopEdges
from keras_pibnas.methods.part import registered
from keras_pibnas.methods.penalties import Penalty
from keras_pibnas.methods.relaxation import normalized
from keras_pibnas.methods.schedules import Schedule, at, schedule

UNITS = ("params", "macs")
FORMS = ("linear", "log", "hinge")


@dataclass(frozen=True)
class Prices:
    """Costs of the derived network of one supernet, part by part.

    Attributes:
        fixed: stem, preprocessing and classifier.
        ops: (normal, reduce), each (edges, ops) of float64: an op on an edge, in all cells of that kind together.
        least, most: of a network, over all genotypes.
        discretization: how edges are chosen.
    """

    fixed: float
    ops: tuple
    least: float
    most: float
    discretization: Discretization


@registered
@dataclass(frozen=True)
class ExpectedCost(Penalty):
    """The expected cost E of the derived network, compared to a target. As SNAS (arXiv:1812.09926).

    E = what no genotype changes + on each node, over the edges that would be kept (no gradient goes through which), the
    mean of the ops' costs, weighted by the mix; a row of it without `none`, which is never derived, is divided by its
    sum. With one-hot op weights E is the count of `analysis.complexity` for the derived network, to the last digit.

    Args:
        unit: "params" (trainable), "macs", or measured seconds: {(op, channels, side, strides): seconds} or rows of
            these five, the side being that of the op's input in pixels, or (height, width). Seconds are of ops alone.
        target: in that unit; None: of the dearest network of the space.
        weight: a number or a Schedule.
        form: "linear", weight * (E / target - 1); "log", weight * log(E / target); "hinge", weight * max(0, E / target
            - 1), which needs a target.
        channels, layers: of the derived network.

    Raises:
        ValueError: names the argument, its value and what would be right.

    Example:
        >>> cells = [kp.methods.CellSpec(kind, 1, ("none", "skip_connect")) for kind in ("normal", "reduce")]
        >>> cost = kp.methods.ExpectedCost("params", channels=2, layers=2)
        >>> bound = cost.bind(cells=cells, input_shape=(8, 8, 3), num_classes=10, stem="conv3x3")
        >>> arch = [{"alpha": np.zeros((2, 2))}] * 2  # both edges keep skip_connect, the only op that can be derived
        >>> float(bound.expected(kp.methods.Softmax(), arch, ((), ()), 0.0, cells))
        648.0
    """

    unit: str | tuple = "macs"
    target: float | None = None
    weight: float | Schedule = 1.0
    form: str = "linear"
    channels: int = 36
    layers: int = 20
    prices: Prices | None = field(default=None, compare=False, repr=False, metadata={"config": False})

    def __post_init__(self):
        object.__setattr__(self, "weight", schedule(self.weight))
        object.__setattr__(self, "unit", _checked_unit(self.unit))
        if self.form not in FORMS:
            raise ValueError(f"form must be one of {', '.join(FORMS)}. Received: form={self.form!r}")
        if self.target is None and self.form == "hinge":
            raise ValueError("The form 'hinge' needs a target to stay below. Received: target=None")
        if self.target is not None and not self.target > 0:
            raise ValueError(f"A target must be above 0. Received: target={self.target!r}")

    def bind(self, *, cells, input_shape, num_classes, stem, discretization=None, **settings) -> "ExpectedCost":
        """The penalty for one supernet: it knows what each op costs where.

        Args:
            cells: (normal, reduce), CellSpec as the space has them.
            input_shape: (height, width, channels) of the images.
            num_classes: number of logits.
            stem: name of the stem.
            discretization: of the method; None is TopEdges(2).
            **settings: of the supernet, without effect on a cost.

        Raises:
            ValueError: the target is below what the space can reach, or the table lacks an op at a place.
        """
        prices = _prices(self, cells, tuple(input_shape), num_classes, stem, discretization or TopEdges())
        if self.target is not None and self.target < prices.least:
            raise ValueError(
                f"The cheapest network of this space with channels={self.channels}, layers={self.layers} costs "
                f"{prices.least:,.10g} ({_unit_name(self.unit)}). Received: target={self.target:,.10g}"
            )
        return replace(self, prices=prices)

    def expected(self, relaxation, arch, noise, progress, cells):
        """E, a float64 scalar, differentiable by arch. Args: as `Penalty`.

        Raises:
            ValueError: the penalty is not bound to a supernet.
        """
        if self.prices is None:
            raise ValueError("ExpectedCost must be bound to a supernet, by bind(cells=, ...). Received: prices=None")
        for cell, price in zip(cells, self.prices.ops, strict=True):
            if price.shape != cell.shape:
                raise ValueError(
                    f"ExpectedCost is bound to cells of {price.shape[0]} edges and {price.shape[1]} ops. "
                    f"Received: a {cell.kind} cell of {cell.edges} edges and {cell.shape[1]} ops"
                )
        total = ops.convert_to_tensor(np.float64(self.prices.fixed))
        for a, n, cell, price in zip(arch, noise, cells, self.prices.ops, strict=True):
            scores = ops.stop_gradient(relaxation.scores(a, cell))
            kept = self.prices.discretization.kept(scores, cell)
            mix = ops.cast(relaxation.mix(a, n, progress, cell), "float64")
            weights = normalized(mix * cell.derivable.astype("float64"))
            total = total + ops.sum(weights * price * ops.cast(kept, "float64")[:, None])
        return total

    def __call__(self, relaxation, arch, noise, progress, cells):
        expected = self.expected(relaxation, arch, noise, progress, cells)
        ratio = expected / (self.prices.most if self.target is None else self.target)
        forms = {"linear": lambda: ratio - 1.0, "log": lambda: ops.log(ratio), "hinge": lambda: ops.relu(ratio - 1.0)}
        dtype = ops.convert_to_tensor(arch[0]["alpha"]).dtype
        return ops.cast(at(self.weight, progress, "float64") * forms[self.form](), dtype)


def _checked_unit(unit):
    """A unit's name, or a table as sorted rows (op, channels, (height, width), strides, seconds)."""
    if isinstance(unit, str):
        if unit not in UNITS:
            raise ValueError(f"unit must be one of {', '.join(UNITS)}, or a table of seconds. Received: unit={unit!r}")
        return unit
    rows = [(*place, seconds) for place, seconds in unit.items()] if isinstance(unit, Mapping) else list(unit)
    if wrong := [row for row in rows if len(row) != 5]:
        raise ValueError(f"A row of a table is (op, channels, side, strides, seconds). Received: {wrong[0]!r}")
    return tuple(
        (spaces.canonical(op), int(channels), _pair(side), int(strides), float(seconds))
        for op, channels, side, strides, seconds in rows
    )


def _pair(side):
    return (int(side), int(side)) if isinstance(side, int) else tuple(map(int, side))


def _unit_name(unit):
    return unit if isinstance(unit, str) else "seconds"


def _prices(penalty, cells, input_shape, num_classes, stem, discretization):
    plans = topology.network_plan(cells[0].topology, penalty.layers, penalty.channels, stem)
    price = _pricing(penalty.unit)
    tables = {cell.kind: np.zeros(cell.shape) for cell in cells}
    for kind, row, column, place in _uses(plans, cells, input_shape, stem):
        tables[kind][row, column] += price(*place)
    named = isinstance(penalty.unit, str)
    fixed = getattr(costs.fixed_cost(plans, input_shape, num_classes, stem), penalty.unit) if named else 0
    least, most = (fixed + sum(_extreme(tables[cell.kind], cell, sign) for cell in cells) for sign in (1.0, -1.0))
    return Prices(fixed, tuple(tables[cell.kind] for cell in cells), least, most, discretization)


def places(
    space: str | spaces.SearchSpace,
    input_shape: tuple = (32, 32, 3),
    channels: int = 36,
    layers: int = 20,
    nodes: int | None = None,
    stem: str = "conv3x3",
) -> list[tuple]:
    """Where each op of a space can stand in a derived network: what a table of latencies has to hold.

    Args: space: SearchSpace, or its name; the rest: of the derived network, as `build_network` takes it.

    Returns:
        [(op, channels, (height, width) of its input, stride)], each once.

    Example:
        >>> kp.methods.places(kp.spaces.SearchSpace("one", ("none", "skip_connect")), (8, 8, 3), 4, 3, nodes=1)
        [('skip_connect', 4, (8, 8), 1), ('skip_connect', 8, (8, 8), 2), ('skip_connect', 16, (4, 4), 2)]
    """
    cells = cells_of(spaces.get(space), nodes)
    uses = _uses(topology.network_plan(cells[0].topology, layers, channels, stem), cells, tuple(input_shape), stem)
    return list(dict.fromkeys(place for _, _, _, place in uses))


def _uses(plans, cells, input_shape, stem):
    """(kind, row, column, (op, channels, side, stride)) of each op on each edge of each cell that may be derived."""
    by_kind = {cell.kind: cell for cell in cells}
    for plan, (_, states, inner) in zip(plans, costs.sides(plans, input_shape, stem), strict=True):
        if plan.kind is None:  # no cell, but a residual block
            continue
        cell = by_kind[plan.kind]
        for row, (source, strides) in enumerate(zip(cell.sources, cell.strides, strict=True)):
            side = states if source < cell.inputs else inner
            for column in np.flatnonzero(cell.computed[row]):
                op = spaces.canonical(cell.primitives[column])
                yield cell.kind, row, column, (op, plan.channels, tuple(side), strides)


def _pricing(unit):
    """(op, channels, (height, width), strides) -> its price, each worked out once."""
    known = {} if isinstance(unit, str) else {row[:4]: row[4] for row in unit}

    def price(*place):
        if place in known:
            return known[place]
        op, channels, side, strides = place
        if not isinstance(unit, str):
            raise ValueError(
                f"The table of seconds has no row for op {op!r}, channels {channels}, side {side}, strides {strides}: "
                "it needs one for each of methods.places(...) of the network that the target is of."
            )
        count, _ = costs.count_call(spaces.build_op(op, channels, strides), (*side, channels))
        return known.setdefault(place, getattr(count, unit))

    return price


def _extreme(table, cell, sign):
    """The least (sign 1) or most (sign -1) that the ops of a cell of that kind cost, on the edges that nodes keep."""
    best = np.where(cell.derivable, sign * table, np.inf).min(axis=1)
    targets, total = np.array(cell.targets), 0.0
    for node in range(cell.nodes):
        costs_of_node = np.sort(best[targets == node])[: cell.keeps()]
        total += costs_of_node[np.isfinite(costs_of_node)].sum()
    return sign * total
