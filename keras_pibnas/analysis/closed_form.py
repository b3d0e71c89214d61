"""Parameters and MACs of the lecture notes' operations and blocks, as formulas of their sizes.

Sides are (height, width) in pixels; strides halve them, rounded up. One multiply-add is one MAC. Parameters are
trainable ones: a normalization after a convolution has two a channel, and no convolution before one has a bias.
Normalizations, activations and additions are no MACs. `analysis.complexity` counts the same from built layers.
"""

from dataclasses import dataclass
from math import prod

SIDES = (32, 32)


@dataclass(frozen=True)
class Cost:
    """Parameters, and MACs for one image.

    Example:
        >>> kp.analysis.closed_form.Cost(params=3, macs=10).macs
        10
    """

    params: int
    macs: int

    def __add__(self, other):
        return Cost(self.params + other.params, self.macs + other.macs)


def convolution(
    inputs: int, outputs: int, kernel_size: int = 3, sides: tuple[int, int] = SIDES, groups: int = 1, bias: bool = False
) -> Cost:
    """G groups of F / G filters of size C / G x K x K: K^2 C F / G weights, each used once a pixel of the output.

    Args: inputs: C; outputs: F; kernel_size: K; sides: of the output; groups: G, a divisor of both; bias: F more
    parameters (no MACs).

    Raises:
        ValueError: a size that is no positive integer, or groups that do not divide.

    Example:
        >>> kp.analysis.closed_form.convolution(inputs=3, outputs=16, kernel_size=3, sides=(8, 8))
        Cost(params=432, macs=27648)
    """
    _check(inputs=inputs, outputs=outputs, kernel_size=kernel_size, groups=groups)
    if inputs % groups or outputs % groups:
        raise ValueError(f"groups should divide inputs={inputs} and outputs={outputs}. Received: groups={groups}")
    weights = kernel_size**2 * inputs * outputs // groups
    return Cost(weights + bias * outputs, weights * _pixels(sides))


def linear(inputs: int, outputs: int, bias: bool = True) -> Cost:
    """C F weights and F biases; C F MACs. On the channels of every pixel of an image it is `pointwise_convolution`.

    Example:
        >>> kp.analysis.closed_form.linear(inputs=64, outputs=10)
        Cost(params=650, macs=640)
    """
    return convolution(inputs, outputs, 1, (1, 1), bias=bias)


def grouped_convolution(
    inputs: int, outputs: int, groups: int, kernel_size: int = 3, sides: tuple[int, int] = SIDES
) -> Cost:
    """K^2 C F / G weights, 1 / G of a normal convolution's.

    Example:
        >>> kp.analysis.closed_form.grouped_convolution(inputs=16, outputs=16, groups=4).params
        576
    """
    return convolution(inputs, outputs, kernel_size, sides, groups)


def depthwise_convolution(channels: int, kernel_size: int = 3, sides: tuple[int, int] = SIDES) -> Cost:
    """C filters of size 1 x K x K: K^2 C weights.

    Example:
        >>> kp.analysis.closed_form.depthwise_convolution(channels=16, kernel_size=3).params
        144
    """
    return convolution(channels, channels, kernel_size, sides, groups=channels)


def pointwise_convolution(inputs: int, outputs: int, sides: tuple[int, int] = SIDES, bias: bool = False) -> Cost:
    """F filters of size C x 1 x 1: C F weights.

    Example:
        >>> kp.analysis.closed_form.pointwise_convolution(inputs=16, outputs=32).params
        512
    """
    return convolution(inputs, outputs, 1, sides, bias=bias)


def conv(
    channels: int, sides: tuple[int, int] = SIDES, strides: int = 1, kernel_size: int = 3, groups: int = 1
) -> Cost:
    """The op `layers.Conv`: K^2 C^2 / G + 2 C parameters.

    Example:
        >>> kp.analysis.closed_form.conv(channels=16).params  # 9 * 16 * 16 + 2 * 16
        2336
    """
    return convolution(channels, channels, kernel_size, halved(sides, strides), groups) + norm(channels)


def bottleneck(
    channels: int,
    sides: tuple[int, int] = SIDES,
    strides: int = 1,
    kernel_size: int = 3,
    reduction: int = 4,
    groups: int = 1,
) -> Cost:
    """ResNet's bottleneck, and with groups ResNeXt's block; h = C / reduction, rounded up to a multiple of groups.

    Parameters 2 C h + K^2 h^2 / G + 4 h + 2 C, MACs P C h + Q (K^2 h^2 / G + h C), with P pixels before and Q after; at
    stride 2 the shortcut adds C^2 + 2 C parameters and Q C^2 MACs.

    Example:
        >>> kp.analysis.closed_form.bottleneck(channels=16).params
        320
    """
    hidden, after = narrowed(channels, reduction, groups), halved(sides, strides)
    cost = (
        pointwise_convolution(channels, hidden, sides) + norm(hidden)
        + convolution(hidden, hidden, kernel_size, after, groups) + norm(hidden)
        + pointwise_convolution(hidden, channels, after) + norm(channels)
    )  # fmt: skip
    return cost if strides == 1 else cost + pointwise_convolution(channels, channels, after) + norm(channels)


def separable_block(channels: int, sides: tuple[int, int] = SIDES, strides: int = 1, kernel_size: int = 3) -> Cost:
    """MobileNet's block: K^2 C + C^2 + 4 C parameters, Q (K^2 C + C^2) MACs; 1 / C + 1 / K^2 of a convolution's.

    Example:
        >>> kp.analysis.closed_form.separable_block(channels=16).params  # 9 * 16 + 16 * 16 + 4 * 16
        464
    """
    after = halved(sides, strides)
    narrow = depthwise_convolution(channels, kernel_size, after)
    return narrow + pointwise_convolution(channels, channels, after) + norm(2 * channels)


def inverted_residual(
    channels: int, sides: tuple[int, int] = SIDES, strides: int = 1, kernel_size: int = 3, expansion: float = 6
) -> Cost:
    """MobileNetV2's block: 2 t C^2 + K^2 t C + 4 t C + 2 C parameters, P t C^2 + Q (K^2 t C + t C^2) MACs.

    Example:
        >>> kp.analysis.closed_form.inverted_residual(channels=16, expansion=6).params
        4352
    """
    hidden, after = expansion * channels, halved(sides, strides)
    cost = pointwise_convolution(channels, hidden, sides) + depthwise_convolution(hidden, kernel_size, after)
    return cost + pointwise_convolution(hidden, channels, after) + norm(2 * hidden + channels)


def shuffle_unit(
    channels: int,
    sides: tuple[int, int] = SIDES,
    strides: int = 1,
    kernel_size: int = 3,
    groups: int = 2,
    reduction: int = 4,
) -> Cost:
    """ShuffleNet's unit: 2 C h / G + K^2 h + 4 h + 2 C parameters, P C h / G + Q (K^2 h + h C / G) MACs.

    Example:
        >>> kp.analysis.closed_form.shuffle_unit(channels=16).params
        148
    """
    hidden, after = narrowed(channels, reduction, groups), halved(sides, strides)
    cost = grouped_convolution(channels, hidden, groups, 1, sides)
    cost += depthwise_convolution(hidden, kernel_size, after)
    return cost + grouped_convolution(hidden, channels, groups, 1, after) + norm(2 * hidden + channels)


def involution(
    channels: int,
    sides: tuple[int, int] = SIDES,
    strides: int = 1,
    kernel_size: int = 3,
    groups: int = 1,
    reduction: int = 1,
) -> Cost:
    """C^2 / r + K^2 G C / r + 2 C / r parameters, Q (C^2 / r + K^2 G C / r + K^2 C) MACs (arXiv:2103.06255, section 3).

    The last MACs weigh the neighbours of every pixel, which takes no parameters; dilation changes nothing.

    Example:
        >>> kp.analysis.closed_form.involution(channels=16).params
        432
    """
    hidden, after = channels // reduction, halved(sides, strides)
    kernels = pointwise_convolution(channels, hidden, after)
    kernels += pointwise_convolution(hidden, kernel_size**2 * groups, after)
    return kernels + norm(hidden) + Cost(0, kernel_size**2 * channels * _pixels(after))


def norm(channels: int) -> Cost:
    """gamma and beta of a batch normalization.

    Example:
        >>> kp.analysis.closed_form.norm(channels=16)
        Cost(params=32, macs=0)
    """
    return Cost(2 * channels, 0)


def halved(sides: tuple[int, int], strides: int = 2) -> tuple:
    """Sides of the output.

    Example:
        >>> kp.analysis.closed_form.halved((9, 8))
        (5, 4)
    """
    return tuple(-(-side // strides) for side in sides)


def narrowed(channels: int, reduction: int, groups: int = 1) -> int:
    """C / reduction, rounded up to a multiple of groups.

    Example:
        >>> kp.analysis.closed_form.narrowed(channels=16, reduction=3, groups=4)
        8
    """
    _check(channels=channels, reduction=reduction, groups=groups)
    return -(-channels // (reduction * groups)) * groups


def _pixels(sides):
    _check(height=sides[0], width=sides[1])
    return prod(sides)


def _check(**sizes):
    for name, size in sizes.items():
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"{name} should be a positive integer. Received: {name}={size!r}")
