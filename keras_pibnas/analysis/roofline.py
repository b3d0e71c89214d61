"""The roofline (Williams, Waterman and Patterson, 2009): which layers wait for arithmetic, and which for memory."""

import itertools
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_pibnas.analysis import style
from keras_pibnas.analysis.profile import Profile


def machine_roofs(repeats: int = 5, side: int = 1536, megabytes: int = 256) -> tuple[float, float]:
    """Peak compute and bandwidth of this machine, with the threads that TensorFlow uses.

    Args:
        repeats: runs; the fastest counts.
        side: of the square float32 matrices that are multiplied.
        megabytes: of the array to whose every element 1 is added.

    Returns:
        (floating-point operations a second, a multiply-add being two; bytes a second, read and written).

    Example:
        >>> flops, bandwidth = kp.analysis.machine_roofs(repeats=1, side=64, megabytes=1)
        >>> flops > 0 and bandwidth > 0
        True
    """
    import tensorflow as tf

    matrix = tf.random.normal((side, side))
    array = tf.zeros(megabytes * 2**18)
    flops = 2 * side**3 / _fastest(tf.function(lambda x: tf.matmul(x, x)), matrix, repeats)
    return flops, 2 * 4 * megabytes * 2**18 / _fastest(tf.function(lambda x: x + 1.0), array, repeats)


def _fastest(function, x, repeats):
    seconds = []
    for _ in range(repeats + 1):  # the first one traces
        start = time.perf_counter()
        function(x)[0].numpy()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def intensity(part, batch_size):
    """Floating-point operations a byte, and operations a second, of a LayerProfile or a Profile."""
    flops = 2 * part.macs * batch_size
    return flops / part.traffic, flops / part.seconds


def roofline_plot(profiles: Sequence[Profile], roofs: tuple[float, float], path: str | Path) -> Path:
    """Draws every layer that multiplies as a dot, sized by its time, every model as a diamond, under the roofs.

    Args:
        profiles: of `profile`, each a colour.
        roofs: (floating-point operations a second, bytes a second) of the machine, as of `machine_roofs`.
        path: where to write the picture.

    Returns:
        The path.

    Raises:
        ValueError: no profiles, or one without a layer that multiplies.

    Example:
        >>> layer = kp.analysis.LayerProfile("stem", "ConvStem", params=108, macs=6912, traffic=4096, seconds=1e-4)
        >>> profile = kp.analysis.Profile("network", 1, 108, 6912, 2048, 4096, 1e-4, (1e-4, 2e-4), (layer,))
        >>> kp.analysis.roofline_plot([profile], (1e11, 1e10), "roofline.png").name
        'roofline.png'
    """
    if not profiles or not all(_dots(profile) for profile in profiles):
        raise ValueError(f"There is nothing to draw. Received: {[profile.name for profile in profiles]}")
    figure, ax = style.new_figure(7.0, 4.6)
    for color, profile in zip(itertools.cycle(style.SERIES), profiles, strict=False):
        _draw(ax, profile, color)
    _draw_roofs(ax, *roofs)
    ax.set_xscale("log")
    ax.set_yscale("log")
    style.tidy(ax, "operations per byte moved at the least", "billions of operations a second")
    ax.legend(frameon=False, fontsize=9, loc="upper left")
    ax.set_ylim(top=roofs[0] / 1e9 * 30)  # room for the legend
    return style.save(figure, path)


def _dots(profile):
    return [layer for layer in profile.layers if layer.macs and layer.seconds > 0]


def _draw(ax, profile, color):
    layers = _dots(profile)
    x, y = np.transpose([intensity(layer, profile.batch_size) for layer in layers])
    slowest = max(layer.seconds for layer in layers)
    sizes = [6 + 90 * layer.seconds / slowest for layer in layers]
    ax.scatter(x, y / 1e9, sizes, color=color, alpha=0.45, linewidths=0, zorder=2)
    x, y = intensity(profile, profile.batch_size)
    ax.scatter([x], [y / 1e9], 70, color=color, marker="D", edgecolors="white", zorder=4, label=profile.name)


def _draw_roofs(ax, flops, bandwidth):
    low, high = ax.dataLim.intervalx
    x = np.geomspace(min(low, flops / bandwidth) / 3, max(high, flops / bandwidth) * 3, 200)
    label = f"this machine: {flops / 1e9:.0f} G operations/s, {bandwidth / 1e9:.1f} GB/s"
    ax.plot(x, np.minimum(flops, bandwidth * x) / 1e9, color=style.INK, linewidth=1.6, zorder=3, label=label)
