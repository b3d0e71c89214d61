"""Pictures of a training: loss, accuracy and error over the epochs."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from keras_pibnas.analysis import style


def read_history(history: Any) -> dict:
    """Columns of numbers by name.

    Args:
        history: what `fit` returns, its `.history`, any dictionary of equally long columns, or the path of a
            .csv file with a header. An empty cell is NaN.

    Raises:
        ValueError: a file without rows, with something that is no number, or columns of different lengths.
        OSError: the file cannot be read.

    Example:
        >>> kp.analysis.read_history({"loss": [2.0, 1.0]})["loss"].tolist()
        [2.0, 1.0]
    """
    history = getattr(history, "history", history)
    if not hasattr(history, "items"):
        history = _read_csv(history)
    columns = {name: np.asarray(values, "float64") for name, values in history.items()}
    if len({len(values) for values in columns.values()}) != 1:
        raise ValueError(f"Columns of one length are needed. Received: { {k: len(v) for k, v in columns.items()} }")
    return columns


def _read_csv(path):
    with Path(path).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError(f"A header and at least one row are needed. Received: {path}")
    try:
        return {name: [float(row[name] or "nan") for row in rows] for name in rows[0]}
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is no table of numbers: {error}") from None


def training_curves(history: Any, path: str | Path) -> Path:
    """Draws losses and accuracies over the epochs, training solid, validation dashed.

    Args:
        history: as `read_history`; columns that end in "loss" and "accuracy" are drawn, with "val_" before
            them if of the validation data; "epoch", if there, is the horizontal axis, else 1, 2, ...
        path: where to write the picture.

    Returns:
        The path.

    Raises:
        ValueError: there is no such column.

    Example:
        >>> kp.analysis.training_curves({"loss": [2.0, 1.0], "val_loss": [2.1, 1.5]}, "curves.png").name
        'curves.png'
    """
    columns = read_history(history)
    panels = [(kind, _ending(columns, kind)) for kind in ("loss", "accuracy")]
    panels = [(kind, found) for kind, found in panels if found]
    if not panels:
        raise ValueError(f"No column with numbers ends in loss or accuracy. Received: {', '.join(columns)}")
    figure, axes = style.new_figure(4.4 * len(panels), 3.4, 1, len(panels), squeeze=False)
    for ax, (kind, found) in zip(axes.flat, panels, strict=True):
        _draw(ax, columns, found)
        style.tidy(ax, "epoch", kind)
    return style.save(figure, path)


def error_curve(history: Any, path: str | Path) -> Path:
    """Draws the top-1 error in percent over the epochs, with the lowest marked (PIBConv paper, Fig. 6).

    Args:
        history: as in `training_curves`; columns that end in "accuracy", from 0 to 1, are needed.
        path: where to write the picture.

    Returns:
        The path.

    Raises:
        ValueError: there is no such column.

    Example:
        >>> kp.analysis.error_curve({"accuracy": [0.8, 0.9]}, "error.png").name
        'error.png'
    """
    columns = read_history(history)
    found = _ending(columns, "accuracy")
    if not found:
        raise ValueError(f"No column with numbers ends in accuracy. Received: {', '.join(columns)}")
    errors = {**columns, **{name: 100 * (1 - columns[name]) for name in found}}
    figure, ax = style.new_figure(6.0, 3.8)
    _draw(ax, errors, found)
    style.tidy(ax, "epoch", "top-1 error (%)")
    ax.set_ylim(bottom=0)
    _mark_lowest(ax, _epochs(columns), errors[found[-1]])
    return style.save(figure, path)


def _ending(columns, kind):
    """Names that end so and have a number at all, of training first, of validation last."""
    found = [name for name, values in columns.items() if name.endswith(kind) and not np.isnan(values).all()]
    return sorted(found, key=lambda name: name.startswith("val_"))


def _epochs(columns):
    return columns.get("epoch", np.arange(1, 1 + len(next(iter(columns.values())))))


def _draw(ax, columns, names):
    """One line a column, a colour a quantity, dashed if of validation data."""
    bases = list(dict.fromkeys(name.removeprefix("val_") for name in names))
    for name in names:
        base = name.removeprefix("val_")
        label = f"{'validation' if name != base else 'training'}{f' {base}' if len(bases) > 1 else ''}"
        color = style.SERIES[bases.index(base) % len(style.SERIES)]
        known = ~np.isnan(columns[name])  # Validation may have run in some epochs only.
        ax.plot(_epochs(columns)[known], columns[name][known], "--" if name != base else "-", color=color,
                linewidth=1.8, marker="o" if known.sum() == 1 else None, label=label)  # fmt: skip
    ax.legend(frameon=False, fontsize=9)
    style.whole_ticks(ax)


def _mark_lowest(ax, epochs, errors):
    best = int(np.nanargmin(errors))
    ax.plot(epochs[best], errors[best], "o", color=style.INK, markersize=6, markerfacecolor="white", zorder=5)
    ax.annotate(f"{errors[best]:.2f} %, epoch {epochs[best]:g}", (epochs[best], errors[best]), (0, 30),
                textcoords="offset points", ha="right" if best > len(epochs) / 2 else "left", fontsize=9,
                color=style.INK, arrowprops={"arrowstyle": "-", "lw": 0.7, "color": style.GREY})  # fmt: skip
