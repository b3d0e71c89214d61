"""How many architectures a search space holds, exactly, as Python integers."""

import itertools
import math
from collections.abc import Sequence

from keras_pibnas import costs, spaces, topology

# What the lecture notes' other kinds of search space are called here: cells of NASNet, whole networks, and ways through
# the resolutions.
NASNET, NETWORK, PATHS = "nasnet", "network", "paths"


def space_size(space: str | spaces.SearchSpace = "darts", nodes: int | None = None, **choices) -> dict:
    """Sizes of a search space, by what is counted.

    Args:
        space: a search space or its name, "nasnet" (cell level), "network" (network level) or "paths" (topologies).
        nodes: nodes of a cell, at least 1; None: the space's own; of no meaning for the latter three.
        **choices: `operations` of a space of cells, if another number than its own (none not counted), where edges
            and cells are as DARTS has them; the arguments of `nasnet_space_size`, of `network_space_size` and of
            `topology_paths`.

    Returns:
        dict, description -> number of architectures.

    Raises:
        ValueError: an unknown space, or a choice out of range.
        TypeError: a choice that the space does not have.

    Example:
        >>> kp.analysis.space_size("paths", layers=12, levels=4)
        {'paths through the resolutions': 28657}
    """
    if space == NASNET:
        return {"cells": nasnet_space_size(**choices)}
    if space == NETWORK:
        return {"networks": network_space_size(**choices)}
    if space == PATHS:
        return {"paths through the resolutions": topology_paths(**choices)}
    if nodes is not None:
        _check(nodes=nodes)
    try:
        space = spaces.get(space)
    except ValueError as error:
        raise ValueError(str(error).replace("search space", "space") + f". Or: {NASNET}, {NETWORK}, {PATHS}") from None
    cell = space.cell(nodes)
    if space.edges is None and (cell.inputs, cell.keep) == (2, 2):
        return darts_space_size(cell.nodes, **{"operations": len(_choices(space, space.primitives)), **choices})
    if choices:
        raise ValueError(f"Space {space.name!r} has its own ops and edges. Received: {', '.join(choices)}")
    return _edges_space_size(space, cell)


def _choices(space, ops):
    """The ops that a derived edge may have: `none` only where all edges of a node are kept."""
    return [op for op in ops if op != "none" or space.topology.keep is None]


def _edges_space_size(space, cell):
    """As `darts_space_size`, of cells each edge of which has its own ops.

    On a node that keeps k of its edges, which allow a, b, ... ops, the sum over k of its edges of the product of their
    numbers: the elementary symmetric polynomial e_k(a, b, ...); where fewer edges allow any, of all these.
    """
    names = {"normal": "normal cells", "reduce": "reduction cells"} if len(cell.kinds) > 1 else {"normal": "cells"}
    how = "all edges" if cell.keep is None else f"{_NUMBERS.get(cell.keep, cell.keep)} edges a node"
    kept, free = {}, {}
    for kind in cell.kinds:
        counts = [
            [len(_choices(space, space.ops_on(kind, source, node))) for source in range(cell.inputs + node)]
            for node in range(cell.nodes)
        ]
        kept[f"{names[kind]}, {how}"] = math.prod(_ways(node, cell.keep) for node in counts)
        free[f"{names[kind]}, edges unconstrained"] = math.prod(count + 1 for node in counts for count in node)
    if cell.keep is None:
        return kept
    pairs = "normal and reduction cells"
    kept |= {f"{pairs}, {how}": math.prod(kept.values())} if len(kept) > 1 else {}
    return kept | free | ({f"{pairs}, edges unconstrained": math.prod(free.values())} if len(free) > 1 else {})


_NUMBERS = {1: "one", 2: "two"}


def _ways(counts, keep):
    """e_keep of the counts above 0; of all of them where there are fewer."""
    counts = [count for count in counts if count]
    keep = len(counts) if keep is None else min(keep, len(counts))
    return sum(math.prod(chosen) for chosen in itertools.combinations(counts, keep))


def supernet_weights(
    space: str | spaces.SearchSpace = "darts", channels: int = 16, layers: int | None = None, nodes: int | None = None,
    input_shape: tuple[int, int, int] = (32, 32, 3), num_classes: int = 10, stem: str = "conv3x3",
    learnable_bn: bool = False,
) -> int:  # fmt: skip
    """How many weights w a supernet of a space has, without building it. Args: as `Supernet`.

    Example:
        >>> kp.analysis.supernet_weights("s2", channels=4, layers=2, nodes=1)
        3814
    """
    space = spaces.get(space)
    cell = space.cell(nodes)
    plans = topology.network_plan(cell, cell.layers if layers is None else layers, channels, stem)
    count = costs.fixed_cost(plans, input_shape, num_classes, stem).params
    if cell.inputs == 2:  # whose preprocessing has no gamma and beta, other than in a derived network
        count -= sum(2 * 2 * plan.channels for plan in plans)
    known = {}
    for plan in plans:
        for node, source in _edges(cell) if plan.kind else ():
            for op in space.ops_on(plan.kind, source, node):
                place = op, plan.channels, 2 if plan.kind == "reduce" and source < cell.inputs else 1
                if place not in known:
                    known[place] = _op_weights(space, *place, learnable_bn)
                count += known[place]
    return count


def _edges(cell):
    return [(node, source) for node in range(cell.nodes) for source in range(cell.inputs + node)]


def _op_weights(space, op, channels, strides, affine):
    layer = space.build_op(op, channels, strides, affine=affine)
    layer.build((None, 8, 8, channels))
    return sum(math.prod(variable.shape) for variable in layer.trainable_variables)


def darts_cell_size(nodes: int = 4, operations: int = 7) -> int:
    """Discrete cells: node i reads two different ones of its i + 2 inputs, each through one operation.

    That is the product over i of C(i + 2, 2) * operations^2; for 4 nodes and 7 operations 180 * 7^8 =
    1,037,664,180, the 10^9 of DARTS (arXiv:1806.09055, appendix). Isomorphic cells are counted apart.

    Args:
        nodes: at least 1.
        operations: candidates on an edge, none not counted.

    Example:
        >>> kp.analysis.darts_cell_size(nodes=4, operations=7)
        1037664180
    """
    _check(nodes=nodes, operations=operations)
    return math.prod(math.comb(node + 2, 2) for node in range(nodes)) * operations ** (2 * nodes)


def darts_space_size(nodes: int = 4, operations: int = 7) -> dict:
    """Sizes of a space of cells in the ways that the literature counts.

    Args: as `darts_cell_size`.

    Returns:
        dict: cells as `darts_cell_size`; pairs of a normal and a reduction cell; and cells and pairs whose
        every edge is free to be one of the operations or none, (operations + 1)^edges: what alpha spans.

    Example:
        >>> kp.analysis.darts_space_size(nodes=1, operations=2)["cells, two edges a node"]
        4
    """
    cell = darts_cell_size(nodes, operations)
    free = (operations + 1) ** (nodes * (nodes + 3) // 2)
    return {
        "cells, two edges a node": cell,
        "normal and reduction cells, two edges a node": cell**2,
        "cells, edges unconstrained": free,
        "normal and reduction cells, edges unconstrained": free**2,
    }


def nasnet_space_size(operations: int = 5, combinations: int = 2, blocks: int = 5) -> int:
    """Cells of NASNet as the lecture notes count them: (2 * 2 * M * M * N)^B = 4^B M^(2B) N^B.

    Each of B blocks chooses two inputs, either one of two candidates; an operation for each, of M; and a way
    to combine the results, of N. For M = 5, N = 2, B = 5 that is 3.2e11.

    Args:
        operations: M, at least 1.
        combinations: N, at least 1.
        blocks: B, at least 1.

    Example:
        >>> kp.analysis.nasnet_space_size(operations=5, combinations=2, blocks=5)
        320000000000
    """
    _check(operations=operations, combinations=combinations, blocks=blocks)
    return 4**blocks * operations ** (2 * blocks) * combinations**blocks


def network_space_size(
    depths: Sequence[int] = (2, 3, 4),
    widths: Sequence = (3, 4, 6),
    kernels: Sequence = (3, 5, 7),
    resolutions: Sequence = (224,),
    units: int = 5,
    topologies: int = 1,
) -> int:
    """Networks that differ in depth, width, kernel size, resolution and topology: the network level.

    Each unit chooses its depth, each layer of it a width and a kernel size:
    resolutions * topologies * (sum over depths d of (widths * kernels)^d)^units. The defaults are those of
    Once-for-All (arXiv:1908.09791), more than 10^19 networks, at one resolution.

    Args:
        depths: numbers of layers that a unit may have, whole numbers from 0 (the unit is skipped).
        widths: choices of a layer's width or expansion ratio.
        kernels: choices of a layer's kernel size.
        resolutions: choices of the input side.
        units: number of units (stages).
        topologies: number of ways to connect them, for example `topology_paths`.

    Raises:
        ValueError: no choice, or one twice, along a dimension.

    Example:
        >>> kp.analysis.network_space_size(depths=(1, 2), widths=(3, 4), kernels=(3,), units=1)  # 2 + 2 * 2
        6
    """
    _check(units=units, topologies=topologies)
    dimensions = {"depths": depths, "widths": widths, "kernels": kernels, "resolutions": resolutions}
    for name, choices in dimensions.items():
        if not choices or len(set(choices)) != len(choices):
            raise ValueError(f"`{name}` needs different choices, one at least. Received: {name}={choices}")
    if any(depth < 0 or depth != int(depth) for depth in depths):
        raise ValueError(f"`depths` are whole numbers from 0. Received: depths={depths}")
    layer = len(widths) * len(kernels)
    return len(resolutions) * topologies * sum(layer**depth for depth in depths) ** units


def network_dimensions(
    depths: Sequence[int] = (2, 3, 4),
    widths: Sequence = (3, 4, 6),
    kernels: Sequence = (3, 5, 7),
    resolutions: Sequence = (224,),
    units: int = 5,
    topologies: int = 1,
) -> dict:
    """Networks along each dimension of `network_space_size` alone, the depth at its largest where it is fixed.

    Args, Raises: as `network_space_size`.

    Returns:
        dict: depth, width, kernel size, resolution, topology -> number of networks.

    Example:
        >>> kp.analysis.network_dimensions(depths=(1, 2), widths=(3, 4), kernels=(3,), units=1)
        {'depth': 2, 'width': 4, 'kernel size': 1, 'resolution': 1, 'topology': 1}
    """
    network_space_size(depths, widths, kernels, resolutions, units, topologies)  # refuses what is no choice
    layers = units * max(depths)
    return {
        "depth": len(depths) ** units,
        "width": len(widths) ** layers,
        "kernel size": len(kernels) ** layers,
        "resolution": len(resolutions),
        "topology": topologies,
    }


def topology_paths(layers: int = 12, levels: int = 4) -> int:
    """Ways through the resolutions, from the finest, at each layer one level up, one down or none.

    For 12 layers and 4 levels 28,657, the 2.9 * 10^4 paths of Auto-DeepLab (arXiv:1901.02985).

    Args:
        layers: at least 1; the first is at the finest level.
        levels: resolutions, each half of the one before.

    Example:
        >>> kp.analysis.topology_paths(layers=2, levels=4)  # stay, or one level down
        2
    """
    _check(layers=layers, levels=levels)
    ways = [1] + [0] * (levels - 1)
    for _ in range(layers - 1):
        ways = [sum(ways[max(0, level - 1) : level + 2]) for level in range(levels)]
    return sum(ways)


def _check(**counts):
    for name, count in counts.items():
        if isinstance(count, bool) or count != int(count) or count < 1:
            raise ValueError(f"`{name}` is a whole number of at least 1. Received: {name}={count!r}")
