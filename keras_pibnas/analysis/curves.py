"""Pictures of alphas: the weights of the ops over the epochs of a search, and at one moment."""

import numbers
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_pibnas.analysis import layout, style
from keras_pibnas.analysis.alphas import checked, crossings, edge_ends, edge_name, favoured, op_weights


def alpha_curves(
    history: np.ndarray,
    primitives: Sequence[str],
    path: str | Path,
    edges: int | Sequence[int] | None = None,
    inputs: int = 2,
) -> Path:
    """Draws the softmaxed weights of the ops over the epochs.

    Args:
        history: alphas before the softmax, (epochs, edges, ops); row 0 is epoch 0.
        primitives: op names of the columns.
        path: where to write the picture.
        edges: None for all (small multiples, a node a row), a list of them, or one edge, which is drawn large
            with the crossings of the favoured op and skip_connect marked (PIBConv paper, Fig. 3a).
        inputs: number of input states of a cell.

    Returns:
        The path.

    Raises:
        ValueError: shapes and primitives differ, or an edge does not exist.

    Example:
        >>> alphas = np.random.default_rng(0).normal(size=(5, 2, 2))  # 5 epochs, 2 edges, 2 ops
        >>> kp.analysis.alpha_curves(alphas, ("skip_connect", "sep_conv_3x3"), "alphas.png").name
        'alphas.png'
    """
    history, _ = checked(history, primitives)
    if isinstance(edges, numbers.Integral):
        return _one_edge(history, primitives, path, edges, inputs)
    if edges is None:
        places = {edge: edge_ends(edge, inputs)[::-1] for edge in range(history.shape[1])}
    else:
        places = {checked(history, primitives, edge)[1]: divmod(i, 4) for i, edge in enumerate(edges)}
    return _many_edges(history, primitives, path, places, inputs)


def _many_edges(history, primitives, path, places, inputs):
    """Small multiples; `places` says the (row, column) of each edge."""
    rows, columns = (1 + max(place) for place in zip(*places.values(), strict=True))
    size = max(5.5, 0.6 + 1.7 * columns), 1.3 + 1.35 * rows
    figure, axes = style.new_figure(*size, rows, columns, sharex=True, sharey=True, squeeze=False)
    for row, column in np.ndindex(rows, columns):
        axes[row, column].set_visible((row, column) in places.values())
    for edge, (row, column) in places.items():
        ax = axes[row, column]
        lines = _draw_lines(ax, op_weights(history[:, edge]), primitives, 1.3)
        style.tidy(ax, title=edge_name(edge, inputs))
        ax.tick_params(labelleft=column == 0, labelbottom=(row + 1, column) not in places.values())
        ax.set_ylabel("weight" if column == 0 else None, fontsize=9)
        ax.set_xlabel("epoch" if (row + 1, column) not in places.values() else None, fontsize=9)
    names = min(len(lines), int(size[0] / 1.5))
    figure.legend(lines, primitives, loc="outside lower center", ncols=names, fontsize=9, frameon=False)
    return style.save(figure, path)


def _one_edge(history, primitives, path, edge, inputs):
    history, edge = checked(history, primitives, edge)
    figure, ax = style.new_figure(7.2, 4.2)
    weights = op_weights(history[:, edge])
    lines = _draw_lines(ax, weights, primitives, 1.3)
    for op in {favoured(history, primitives, edge), "skip_connect"} & set(primitives):
        lines[list(primitives).index(op)].set_linewidth(2.8)
    ax.set_xlim(0, max(1, len(weights) - 1))
    style.tidy(ax, "epoch", "weight of the op")
    ax.set_title(f"Edge {edge}: {edge_name(edge, inputs)}", fontsize=10, loc="left", color=style.INK, pad=14)
    _label_ends(ax, weights[-1], primitives)
    if "skip_connect" in primitives:
        skip = weights[:, list(primitives).index("skip_connect")]
        for epoch in crossings(history, primitives, edge):
            _mark_crossing(ax, epoch, np.interp(epoch, range(len(skip)), skip))
    return style.save(figure, path)


def _draw_lines(ax, weights, primitives, width):
    style.whole_ticks(ax)
    marker = "o" if len(weights) == 1 else None
    return [
        ax.plot(weights[:, i], color=style.op_color(op), linewidth=width, marker=marker)[0]
        for i, op in enumerate(primitives)
    ]


def _label_ends(ax, values, primitives):
    """Writes each op's name beside the end of its line, moved apart where they would overlap."""
    low, high = ax.get_ylim()
    places = layout.spread(list(values), 0.052 * (high - low))
    for op, value, place in zip(primitives, values, places, strict=True):
        line = {
            "arrowstyle": "-",
            "lw": 0.7,
            "color": style.op_color(op),
            "shrinkA": 1,
            "shrinkB": 0,
            "relpos": (0, 0.5),
        }
        ax.annotate(
            op, (1.0, value), (1.045, place), ax.get_yaxis_transform(), ax.get_yaxis_transform(), line,
            annotation_clip=False, va="center", fontsize=9, color=style.op_color(op),
        )  # fmt: skip


def _mark_crossing(ax, epoch, weight):
    ax.axvline(epoch, color=style.INK, linewidth=0.8, linestyle=":")
    ax.plot([epoch], [weight], "o", color=style.INK, markersize=6, markerfacecolor="white", zorder=5)
    ax.annotate(
        f"{epoch:.1f}", (epoch, 1.0), (0, 2), ("data", "axes fraction"), "offset points", ha="center",
        fontsize=8, color=style.INK,
    )  # fmt: skip


def alpha_heatmap(alphas: np.ndarray, primitives: Sequence[str], path: str | Path, inputs: int = 2) -> Path:
    """Draws the softmaxed weights of all edges as a table; the largest of each row, none aside, is bold.

    Args:
        alphas: before the softmax, (edges, ops).
        primitives: op names of the columns.
        path: where to write the picture.
        inputs: number of input states of a cell.

    Returns:
        The path.

    Raises:
        ValueError: shape and primitives differ.

    Example:
        >>> kp.analysis.alpha_heatmap(np.zeros((2, 2)), ("skip_connect", "sep_conv_3x3"), "heatmap.png").name
        'heatmap.png'
    """
    history, _ = checked(np.asarray(alphas)[None], primitives)
    weights = op_weights(history[0])
    figure, ax = style.new_figure(1.6 + 0.62 * len(primitives), 1.5 + 0.3 * len(weights))
    ax.imshow(weights, cmap="Blues", aspect="auto", vmin=0, vmax=max(0.5, weights.max()))
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.set_xticks(range(len(primitives)), primitives, rotation=40, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(weights)), [edge_name(edge, inputs) for edge in range(len(weights))])
    for edge, row in enumerate(weights):
        best = max(range(len(row)), key=lambda i: (primitives[i] != "none", row[i]))
        for i, weight in enumerate(row):
            color = "white" if weight > 0.6 * max(0.5, weights.max()) else style.INK
            ax.text(i, edge, f"{weight:.3f}", ha="center", va="center", fontsize=8, color=color,
                    weight="bold" if i == best else "normal")  # fmt: skip
        if edge_ends(edge, inputs)[0] == 0 and edge:
            ax.axhline(edge - 0.5, color="white", linewidth=3)
    return style.save(figure, path)
