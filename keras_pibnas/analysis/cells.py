"""Pictures of cells with matplotlib alone (`cell_model` holds the way through Keras and graphviz)."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_pibnas import genotypes
from keras_pibnas.analysis import style
from keras_pibnas.analysis.cell_plan import Plan
from keras_pibnas.genotypes import Genotype

LABEL_SIZE, NODE_SIZE = 9.0, 11.0  # points
LABEL_HEIGHT, LINE_HEIGHT, LABEL_PADDING = 0.25, 0.14, 0.2  # inches
PICTURES = {"normal": "normal.png", "reduce": "reduction.png"}


def plot_cell(
    genotype: Genotype | str | Sequence,
    which: str = "normal",
    path: str | Path | None = None,
    weights: Sequence[float] | None = None,
    ax: Any = None,
) -> Any:
    """Draws one cell: c_{k-2} and c_{k-1} on the left, the nodes, c_k on the right; each edge with its op.

    No label, node or edge covers another label or node. An op has the same colour in all pictures.

    Args:
        genotype: a Genotype, the name of a published one, or one cell as a sequence of (op name, source
            state) pairs; of such a cell all nodes are concatenated.
        which: "normal" or "reduce", the cell of the Genotype to draw.
        path: where to write the picture (.png, .pdf, .svg).
        weights: one number a pair, written under the op's name: the softmaxed architecture weights.
        ax: matplotlib axes to draw on, in place of a figure that fits the cell.

    Returns:
        The path, or without one the matplotlib figure.

    Raises:
        ValueError: the cell is malformed, or weights and pairs differ in number.

    Example:
        >>> kp.analysis.plot_cell("DARTS_V2", "normal", "cell.png").name
        'cell.png'
    """
    cell = read_cell(genotype, which)
    labels = _labels(cell, weights)
    plan = Plan(cell, [_label_size(label) for label in labels])
    ax = _fitting_axes(plan) if ax is None else ax
    _draw(ax, plan, cell, labels)
    return ax.figure if path is None else style.save(ax.figure, path)


def plot_genotype(
    genotype: Genotype | str, directory: str | Path, weights: Mapping[str, Sequence[float]] | None = None
) -> list:
    """Draws both cells, or the one of a genotype that has no reduction cell.

    Args:
        genotype: a Genotype, or the name of a published one.
        directory: gets normal.png and reduction.png.
        weights: None, or {"normal": numbers, "reduce": numbers} as in `plot_cell`.

    Returns:
        The paths.

    Example:
        >>> [path.name for path in kp.analysis.plot_genotype("DARTS_V2", "cells")]
        ['normal.png', 'reduction.png']
    """
    genotype = genotypes.get(genotype) if isinstance(genotype, str) else genotype
    return [
        plot_cell(genotype, which, Path(directory) / PICTURES[which], (weights or {}).get(which))
        for which in genotype.cells
    ]


def read_cell(genotype, which="normal"):
    """The `genotypes.Cell` of a Genotype or its name (ops under their present names), or of a plain sequence of pairs.

    Raises:
        ValueError: `which` is neither cell, the name unknown, or the pairs are no cell.
    """
    if which not in PICTURES:
        raise ValueError(f"`which` is 'normal' or 'reduce'. Received: which={which!r}")
    if isinstance(genotype, str):
        genotype = genotypes.get(genotype)
    if not hasattr(genotype, "normal"):
        pairs = _checked(genotype)
        return genotypes.Cell(tuple(zip(pairs[::2], pairs[1::2], strict=True)), tuple(range(2, 2 + len(pairs) // 2)))
    return genotype.resolved().cell(which)


def _checked(pairs):
    pairs = tuple((str(op), int(source)) for op, source in pairs)
    if not pairs or len(pairs) % 2:
        raise ValueError(f"A cell has two (op, source) pairs a node. Received: {len(pairs)} pairs")
    for i, (op, source) in enumerate(pairs):
        if not 0 <= source < 2 + i // 2:
            raise ValueError(f"Node {i // 2} reads states 0 to {1 + i // 2}. Received: {(op, source)}")
    return pairs


def _labels(cell, weights):
    ops = [op for op, _ in cell.pairs]
    if weights is None:
        return ops
    if len(weights) != len(ops):
        raise ValueError(f"A cell of {len(ops)} pairs needs {len(ops)} weights. Received: {len(weights)}")
    return [f"{op}\n{weight:.3f}" for op, weight in zip(ops, weights, strict=True)]


def _label_size(label):
    """(width, height) of a label's box."""
    lines = label.split("\n")
    return max(map(_width, lines)) / 72 + LABEL_PADDING, LABEL_HEIGHT + LINE_HEIGHT * (len(lines) - 1)


@functools.cache
def _width(line):
    from matplotlib.textpath import TextPath

    return TextPath((0, 0), line, size=LABEL_SIZE).get_extents().width


def _fitting_axes(plan):
    from matplotlib.figure import Figure

    return Figure(figsize=(plan.width, plan.height), facecolor="white").add_axes((0, 0, 1, 1))


def _draw(ax, plan, cell, labels):
    """Draws the plan; artists have the gids "edge:op:3", "edge:concat:4", "node:0", "node:out", "op:3"."""
    ax.set(xlim=(0, plan.width), ylim=(plan.height, 0), aspect="equal")
    ax.axis("off")
    room = ax.get_window_extent().transformed(ax.figure.dpi_scale_trans.inverted())
    scale = min(room.width / plan.width, room.height / plan.height)
    colors = [style.op_color(op) for op, _ in cell.pairs]
    for kind, number in plan.edges:
        color, width = (style.FAINT, 1.0) if kind == "concat" else (colors[number], 1.6)
        _draw_edge(ax, plan.route((kind, number)), color, width * scale, f"edge:{kind}:{number}")
    for item in plan.items:
        if item[0] == "op":
            number = item[1]
            _draw_box(ax, plan.box(item), labels[number], colors[number], LABEL_SIZE * scale, f"op:{number}")
        else:
            name, text = _node_name(item, cell.inputs)
            _draw_box(ax, plan.box(item), text, style.NODE, NODE_SIZE * scale, f"node:{name}", math=True)


def _node_name(item, inputs):
    if item == ("out",):
        return "out", "$c_k$"
    state = item[1]
    return state, f"$c_{{k-{inputs - state}}}$" if state < inputs else str(state - inputs)


def _draw_edge(ax, stretches, color, width, gid):
    from matplotlib.patches import FancyArrowPatch, PathPatch
    from matplotlib.path import Path as Curve

    points, codes = [], []
    for (x0, y0), (x1, y1) in stretches:
        middle = (x0 + x1) / 2
        points += [(x0, y0), (middle, y0), (middle, y1), (x1, y1)]
        codes += [Curve.LINETO if codes else Curve.MOVETO, *[Curve.CURVE4] * 3]
    curve = Curve(points, codes)
    ax.add_patch(PathPatch(curve, fc="none", ec=color, lw=width, capstyle="butt", zorder=2, gid=gid))
    (x, y), head = points[-1], {"arrowstyle": "-|>", "mutation_scale": 8 * width, "shrinkA": 0, "shrinkB": 0}
    ax.add_patch(FancyArrowPatch((x - 0.05, y), (x, y), color=color, lw=0, zorder=3, **head))


def _draw_box(ax, box, text, color, size, gid, math=False):
    from matplotlib.patches import FancyBboxPatch

    x0, y0, x1, y1 = box
    shape, look = "round,pad=0,rounding_size=0.09", {"fc": style.mix(color, "#ffffff", 0.86), "ec": color}
    ax.add_patch(FancyBboxPatch((x0, y0), x1 - x0, y1 - y0, boxstyle=shape, lw=size / 8, zorder=4, gid=gid, **look))
    centre, look = ((x0 + x1) / 2, (y0 + y1) / 2), {"size": size, "color": style.INK, "linespacing": 1.1}
    ax.text(*centre, text, ha="center", va="center", parse_math=math, zorder=5, gid=gid, **look)
