"""Networks for tiny devices: the deepest and then widest one of a genotype within limits."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from keras_pibnas import network
from keras_pibnas.analysis.complexity import complexity
from keras_pibnas.analysis.memory import peak_activation_memory
from keras_pibnas.genotypes import Genotype


@dataclass(frozen=True)
class Limits:
    """Limits on the cost of a network; None: no limit.

    Attributes:
        file_size: bytes of its file.
        macs: of one image.
        activation_memory: bytes, see `peak_activation_memory`.

    Example:
        >>> kp.analysis.Limits(file_size=100 * 1024).macs is None
        True
    """

    file_size: int | None = None
    macs: int | None = None
    activation_memory: int | None = None


@dataclass(frozen=True)
class Fit:
    """A network and what it costs, in the units of `Limits`. file_size is None where MACs or memory say no already.

    Example:
        >>> kp.analysis.Fit(2, 4, 100, 2000, 300, None).exceeds(kp.analysis.Limits(macs=1000))
        ['macs 2,000 > 1,000']
    """

    layers: int
    channels: int
    params: int
    macs: int
    activation_memory: int
    file_size: int | None

    def exceeds(self, limits):
        """The limits that it exceeds, in words."""
        return [
            f"{name} {getattr(self, name):,} > {getattr(limits, name):,}"
            for name in ("macs", "activation_memory", "file_size")
            if None not in (getattr(limits, name), getattr(self, name)) and getattr(self, name) > getattr(limits, name)
        ]


def one_byte_a_weight(model):
    """The least that an int8 file of a model takes; the names, scales and ops in it come on top."""
    return complexity(model).params


def fit_network(
    genotype: Genotype | str,
    limits: Limits,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    num_classes: int = 10,
    stem: str = "conv3x3",
    max_layers: int = 20,
    min_channels: int = 8,
    bytes_per_value: int = 1,
    file_size: Callable[[keras.Model], int] = one_byte_a_weight,
    tried: Callable[[Fit], Any] | None = None,
) -> Fit:
    """The deepest network of a genotype within limits that has `min_channels`, made as wide as the limits let it be.

    Depths are tried from 2 up until one does not fit; then widths between those that fit and those that do not.

    Args:
        genotype, input_shape, num_classes, stem: as in `build_network`.
        limits: `Limits`, at least one of them set.
        max_layers: the depth to stop at.
        min_channels: the fewest channels of the first cell, even.
        bytes_per_value: of an activation: 1 for int8, 4 for float32.
        file_size: called with a network that keeps the other limits, returns the bytes of its file; to be exact, write
            the file (`interop.export`).
        tried: called with every `Fit` on the way, or None.

    Returns:
        `Fit`.

    Raises:
        ValueError: no limit is set, or the network of 2 layers and `min_channels` exceeds one.

    Example:
        >>> genotype = kp.genotypes.random(("skip_connect",), nodes=1)
        >>> limits = kp.analysis.Limits(file_size=1000)
        >>> found = kp.analysis.fit_network(genotype, limits, (8, 8, 1), 2, max_layers=2, min_channels=2)
        >>> found.layers, found.channels, found.file_size
        (2, 2, 468)
    """
    if limits == Limits():
        raise ValueError(f"A limit must be set: without one there is no largest network. Received: {limits}")

    def cost(layers, channels):
        keras.backend.clear_session()
        model = network.build_network(genotype, input_shape, num_classes, channels, layers, stem)
        count, memory = complexity(model), peak_activation_memory(model, bytes_per_value=bytes_per_value)
        found = Fit(layers, channels, count.params, count.macs, memory, None)
        if not found.exceeds(limits):
            found = Fit(layers, channels, count.params, count.macs, memory, file_size(model))
        if tried:
            tried(found)
        return found

    best = _deepest(cost, limits, max_layers, min_channels)
    return _widest(cost, limits, best)


def _deepest(cost, limits, max_layers, channels):
    best = None
    for layers in range(2, max_layers + 1):
        found = cost(layers, channels)
        if found.exceeds(limits):
            break
        best = found
    if best is None:
        raise ValueError(
            f"Even 2 layers of {channels} channels are too large: {', '.join(found.exceeds(limits))}. "
            f"Received: {limits}"
        )
    return best


def _widest(cost, limits, best):
    """Doubles the channels until they are too many, then halves the gap; channels are even."""
    too_many = None
    while too_many is None or too_many - best.channels > 2:
        channels = best.channels * 2 if too_many is None else (best.channels + too_many) // 4 * 2
        found = cost(best.layers, channels)
        if found.exceeds(limits):
            too_many = channels
        else:
            best = found
    return best
