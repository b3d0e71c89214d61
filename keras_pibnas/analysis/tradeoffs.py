"""Pictures of accuracy against cost: the depth study with its Pareto front, the roadmap."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from keras_pibnas.analysis import style

ERROR_TICKS = (20, 40, 50, 60, 70, 80, 90, 95, 97, 98, 99, 99.5, 99.9)

# Column of a row -> label of the axis, what it may be counted in: the largest that some row reaches.
COSTS = {
    "layers": ("evaluation layers", {1: ""}),
    "params": ("parameters", {1e6: " (millions)", 1e3: " (thousands)", 1: ""}),
    "macs": ("MACs", {1e9: " (billions)", 1e6: " (millions)", 1e3: " (thousands)", 1: ""}),
}


def pareto_front(points: Sequence[tuple[float, float]]) -> list:
    """Which points no other beats: none is cheaper or as cheap, and more accurate or as accurate.

    Args:
        points: (cost, accuracy) pairs.

    Returns:
        List of their indices, cheapest first; of equal points the first.

    Example:
        >>> kp.analysis.pareto_front([(1, 90), (2, 89), (3, 95)])
        [0, 2]
    """
    best, front = -np.inf, []
    for i in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if points[i][1] > best:
            best = points[i][1]
            front.append(i)
    return front


def accuracy_plot(rows: Sequence[Mapping], path: str | Path, x: str = "layers", log_error: bool = False) -> Path:
    """Draws accuracy against a cost, one line a genotype, with the Pareto front (PIBConv paper, Fig. 3b, c).

    Args:
        rows: dictionaries with "genotype", "accuracy" in percent, and the cost: "layers", "params" (trainable
            parameters) or "macs". Each row is a dot; lines join the means of equal genotype and cost.
        path: where to write the picture.
        x: the cost.
        log_error: spaces accuracies by the logarithm of the error, so that 97 and 98 stay apart beside 50;
            what is above 99.9 is drawn there.

    Returns:
        The path.

    Raises:
        ValueError: an unknown cost, no rows, or a row without one of these.

    Example:
        >>> rows = [{"genotype": "PIBCONV", "layers": layers, "accuracy": 90.0 + layers} for layers in (2, 3)]
        >>> kp.analysis.accuracy_plot(rows, "accuracy.png").name
        'accuracy.png'
    """
    rows = _checked(rows, x)
    label, unit = _axis(rows, x)
    points = [(row[x] / unit, min(row["accuracy"], 99.9 if log_error else 100)) for row in rows]
    figure, ax = style.new_figure(6.0, 4.2)
    front = [points[i] for i in pareto_front(points)]
    ax.step(*zip(*front, strict=True), where="post", color=style.FAINT, linewidth=5, alpha=0.5, zorder=1,
            label="Pareto front")  # fmt: skip
    for color, genotype in zip(itertools.cycle(style.SERIES), _names(rows), strict=False):
        own = [point for point, row in zip(points, rows, strict=True) if row["genotype"] == genotype]
        costs = sorted({cost for cost, _ in own})
        means = [np.mean([accuracy for cost, accuracy in own if cost == c]) for c in costs]
        ax.plot(costs, means, color=color, linewidth=1.8, label=genotype, zorder=2)
        ax.plot(*zip(*own, strict=True), "o", color=color, markersize=5, markeredgecolor="white", zorder=3)
    _set_scales(ax, x, log_error)
    style.tidy(ax, label, "test accuracy (%)")
    figure.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=4)
    return style.save(figure, path)


def _axis(rows, x):
    """Label and unit of the axis of a cost."""
    label, units = COSTS[x]
    largest = max(row[x] for row in rows)
    unit = next((unit for unit in units if largest >= unit), 1)
    return label + units[unit], unit


def roadmap_plot(steps: Sequence[Mapping], path: str | Path) -> Path:
    """Draws accuracy and GMACs step by step, from top to bottom (PIBConv paper, Fig. 1); few in millions of MACs.

    Args:
        steps: dictionaries with "name", "accuracy" in percent, "gmacs" (billions of MACs), and "kept", False
            for a step that was tried and given up (drawn hollow, left out of the line); True where missing.
        path: where to write the picture.

    Returns:
        The path.

    Raises:
        ValueError: no steps, or a step without one of these.

    Example:
        >>> steps = [{"name": name, "accuracy": 97.0, "gmacs": 0.5} for name in ("DARTS", "GELU")]
        >>> kp.analysis.roadmap_plot(steps, "roadmap.png").name
        'roadmap.png'
    """
    _check_keys(steps, ("name", "accuracy", "gmacs"))
    figure, (left, right) = style.new_figure(8.0, 1.1 + 0.5 * len(steps), 1, 2, sharey=True)
    kept = [i for i, step in enumerate(steps) if step.get("kept", True)]
    scale, unit = (1, "GMACs") if max(step["gmacs"] for step in steps) >= 0.01 else (1e3, "MMACs")
    for ax, key in ((left, "accuracy"), (right, "gmacs")):
        values = [step[key] * (scale if key == "gmacs" else 1) for step in steps]
        color = style.SERIES[0 if key == "accuracy" else 1]
        ax.plot([values[i] for i in kept], kept, color=color, linewidth=1.6, zorder=2)
        for i, value in enumerate(values):
            fill = color if i in kept else "white"
            ax.plot(value, i, "o", color=color, markersize=9, markerfacecolor=fill, zorder=3)
            _label(ax, value, i, f"{value:.2f}" if key == "accuracy" else f"{value:.3f}")
        ax.margins(x=0.25)
    left.set_yticks(range(len(steps)), [step["name"] for step in steps])
    left.set_ylim(len(steps) - 0.5, -0.5)
    style.tidy(left, "test accuracy (%)")
    style.tidy(right, unit)
    return style.save(figure, path)


def _label(ax, x, y, text):
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    ax.annotate(text, (x, y), (10, 0), textcoords="offset points", va="center", fontsize=9, bbox=box, zorder=4)


def _set_scales(ax, x, log_error):
    if x == "layers":
        style.whole_ticks(ax)
    else:
        from matplotlib.ticker import LogLocator, NullFormatter

        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter(NullFormatter())
    if log_error:
        low, high = ax.dataLim.intervaly
        ax.set_yscale("function", functions=(_log_error, lambda v: 100 - np.exp(-v)))
        ax.set_yticks([tick for tick in ERROR_TICKS if low - 5 < tick <= (100 + high) / 2])
        ax.set_ylim(low - 0.15 * (100 - low), 100 - 0.8 * (100 - high))


def _log_error(accuracy):
    return -np.log(np.maximum(100 - accuracy, 1e-6))


def _checked(rows, x):
    if x not in COSTS:
        raise ValueError(f"Unknown cost. Known: {', '.join(COSTS)}. Received: x={x!r}")
    return _check_keys(rows, ("genotype", "accuracy", x))


def _check_keys(rows, keys):
    if not rows:
        raise ValueError("There is nothing to draw. Received: no rows")
    for row in rows:
        missing = [key for key in keys if key not in row]
        if missing:
            raise ValueError(f"A row needs {', '.join(keys)}; {missing[0]} is missing. Received: {row}")
    return rows


def _names(rows):
    return dict.fromkeys(row["genotype"] for row in rows)
