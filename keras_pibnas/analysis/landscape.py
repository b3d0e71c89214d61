"""Pictures of a table of cells: accuracy against cost, where searches end among all cells, regret over epochs."""

from pathlib import Path

import numpy as np

from keras_pibnas.analysis import style
from keras_pibnas.analysis.tradeoffs import pareto_front


def table_plot(macs: np.ndarray, accuracies: np.ndarray, path: str | Path) -> Path:
    """Draws all cells: test accuracy against MACs, with the Pareto front, and how many cells have which accuracy.

    Args: macs: (cells,); accuracies: (cells,), 0 to 1; path: where to write the picture. Returns: the path.

    Example:
        >>> kp.analysis.table_plot([1000, 2000, 3000], [0.8, 0.9, 0.85], "cells.png").name
        'cells.png'
    """
    thousands, percent = np.asarray(macs) / 1e3, 100 * np.asarray(accuracies)
    figure, (left, right) = style.new_figure(8.0, 4.0, 1, 2, sharey=True, width_ratios=(3, 1))
    front = pareto_front(list(zip(thousands, percent, strict=True)))
    left.step(thousands[front], percent[front], where="post", color=style.FAINT, linewidth=5, alpha=0.5, zorder=1)
    left.plot(thousands, percent, "o", color=style.SERIES[0], markersize=3, alpha=0.5, markeredgewidth=0, zorder=2)
    left.plot(thousands[front], percent[front], "o", color=style.SERIES[1], markersize=5, markeredgecolor="white",
              zorder=3, label="Pareto front")  # fmt: skip
    right.hist(percent, bins=30, orientation="horizontal", color=style.SERIES[0], alpha=0.7)
    style.tidy(left, "MACs of an image (thousands)", "test accuracy (%)")
    style.tidy(right, "cells")
    left.legend(frameon=False, fontsize=9, loc="best")
    return style.save(figure, path)


def results_plot(accuracies: np.ndarray, found: dict, path: str | Path) -> Path:
    """Draws where the results of searches lie among all cells, a line a method.

    Args:
        accuracies: of all cells, 0 to 1.
        found: {name of a method: accuracies of the cells that its searches found}.
        path: where to write the picture.

    Returns:
        The path.

    Raises:
        ValueError: nothing was found.

    Example:
        >>> kp.analysis.results_plot([0.7, 0.8, 0.9], {"darts": [0.8, 0.9]}, "results.png").name
        'results.png'
    """
    if not found:
        raise ValueError("There is nothing to draw. Received: no results")
    percent, names = 100 * np.asarray(accuracies), list(found)
    figure, (top, bottom) = style.new_figure(
        7.0, 1.9 + 0.32 * len(names), 2, 1, sharex=True, height_ratios=(1.2, 0.32 * len(names))
    )
    top.hist(percent, bins=50, color=style.SERIES[0], alpha=0.7)
    for row, name in enumerate(names):
        values = 100 * np.asarray(found[name])
        bottom.plot(values, np.full(len(values), row), "o", color=style.SERIES[1], markersize=6, alpha=0.5,
                    markeredgewidth=0)  # fmt: skip
        bottom.plot(values.mean(), row, "|", color=style.INK, markersize=14, markeredgewidth=2)
    for quartile in np.percentile(percent, (25, 50, 75)):
        bottom.axvline(quartile, color=style.FAINT, linewidth=1, zorder=0)
    bottom.set_yticks(range(len(names)), names)
    bottom.set_ylim(len(names) - 0.5, -0.5)
    style.tidy(top, None, "cells")
    style.tidy(bottom, "true test accuracy (%); lines: quartiles of all cells; bars: means")
    return style.save(figure, path)


def regret_plot(regrets: dict, path: str | Path, random: float | None = None) -> Path:
    """Draws how far the cell of each epoch is from the best one, the mean over seeds, a line a method.

    Args:
        regrets: {name of a method: (seeds, epochs), differences of accuracies, 0 to 1}.
        path: where to write the picture.
        random: expected regret of a random cell, a dashed line.

    Returns:
        The path.

    Example:
        >>> kp.analysis.regret_plot({"darts": [[0.1, 0.05], [0.1, 0.0]]}, "regret.png", random=0.08).name
        'regret.png'
    """
    from matplotlib import colormaps

    # Of the legend at 8 points: as many columns as the longest name leaves room for.
    columns = int(504 // (4.4 * max(map(len, [*regrets, "a random cell"])) + 48)) or 1
    figure, ax = style.new_figure(7.0, 3.6 + 0.17 * (len(regrets) // columns + 1))
    colors = colormaps["tab20"].colors
    for number, (name, values) in enumerate(regrets.items()):
        mean = 100 * np.mean(values, 0)
        epochs, color = np.arange(1, len(mean) + 1), colors[number % len(colors)]
        ax.plot(epochs, mean, color=color, linewidth=1.6, label=name, marker="o" if len(mean) == 1 else None)
    if random is not None:
        ax.axhline(100 * random, color=style.INK, linestyle="--", linewidth=1, label="a random cell")
    style.whole_ticks(ax)
    ax.set_ylim(bottom=0)
    style.tidy(ax, "epoch", "points of test accuracy below the best cell")
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=columns)
    return style.save(figure, path)
