"""The style that all pictures share: one figure style, one colour an op. Matplotlib is imported when one is drawn."""

import colorsys
import re
import zlib
from pathlib import Path

INK, NODE, GREY, FAINT, PALE = "#1f2933", "#52606d", "#7b8794", "#a3acb5", "#e4e7eb"
SERIES = ("#2b6cb0", "#dd6b20", "#1b9e8f", "#8e44ad", "#c0392b", "#8d6e3f", "#d6589f", "#3f8f3a")

# The first family found in an op's name gives its colour, the kernel size its shade.
_FAMILIES = {
    "none": "#b8bec6", "skip_con": "#6b7280", "max_pool": "#8e44ad", "avg_pool": "#d6589f",
    "dil_invo": "#b58a00", "invo": "#c0392b", "pib_conv": "#dd6b20", "dil_conv": "#1b9e8f",
    "sep_conv": "#2b6cb0", "conv_7x1": "#8d6e3f", "convnext": "#3f8f3a",
    "linear": "#2b6cb0", "conv_1x1": "#1b9e8f", "pointwise": "#1b9e8f", "grouped_conv": "#8e44ad",
    "depthwise": "#3f8f3a", "conv_3x3": "#2bb0d6", "resnet": "#c0392b", "resnext": "#dd6b20", "mobilenet": "#b58a00",
    "inverted": "#8d6e3f", "shuffle": "#d6589f",
}  # fmt: skip
_SHADES = {"3": ("#ffffff", 0.30), "7": ("#000000", 0.42)}


def op_color(name: str) -> str:
    """The colour of an op, the same in every picture; an op of no known family gets a hue from its name.

    Example:
        >>> kp.analysis.op_color("none") == kp.analysis.op_color("none"), len(kp.analysis.op_color("sep_conv_3x3"))
        (True, 7)
    """
    base = next((color for family, color in _FAMILIES.items() if family in name), None)
    if base is None:
        hue = zlib.crc32(name.encode()) % 360 / 360
        return _hex(colorsys.hls_to_rgb(hue, 0.42, 0.55))
    kernel = re.search(r"_(\d)x\1", name)
    return mix(base, *_SHADES.get(kernel and kernel[1], ("#ffffff", 0.0)))


def mix(color, other, share):
    """`color` with a share (0 to 1) of `other`, both as "#rrggbb"."""
    return _hex([(1 - share) * a + share * b for a, b in zip(_rgb(color), _rgb(other), strict=True)])


def new_figure(width, height, rows=1, columns=1, **kwargs):
    """A figure of so many inches and its axes, outside pyplot: no global state, no window, no leak."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="white", layout="constrained")
    axes = figure.subplots(rows, columns, **kwargs)
    for ax in figure.axes:
        tidy(ax)
    return figure, axes


def tidy(ax, xlabel=None, ylabel=None, title=None):
    """Removes the box, softens the grid, sets small legible labels."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(GREY)
    ax.tick_params(colors=INK, labelsize=9, color=GREY)
    ax.grid(True, color=PALE, linewidth=0.8)
    ax.set_axisbelow(True)
    if xlabel:
        ax.set_xlabel(xlabel, fontsize=10, color=INK)
    if ylabel:
        ax.set_ylabel(ylabel, fontsize=10, color=INK)
    if title:
        ax.set_title(title, fontsize=10, color=INK, loc="left")


def whole_ticks(ax):
    """Horizontal ticks at whole numbers only: epochs, layers."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))


def save(figure, path):
    """Writes the figure in the format of the path's suffix (.png, .pdf, .svg), makes folders."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=160, facecolor="white")
    return path


def _rgb(color):
    return [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def _hex(rgb):
    return "#" + "".join(f"{round(255 * v):02x}" for v in rgb)
