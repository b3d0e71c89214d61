"""Equations (1) and (2) of the PIBConv paper (section 2), and what the blocks hold when they are counted."""

from collections.abc import Sequence
from math import prod

from keras_pibnas import layers


def convnext_weights(channels: int, kernel_size: int, expansion: float = 4) -> float:
    """Equation (1), 2 F C^2 + K^2 C: weights of the inverted bottleneck block, normalization not counted.

    Args:
        channels: C, of input and output.
        kernel_size: K.
        expansion: F = C_inv / C; 4 in the paper's Fig. 2 b.

    Raises:
        ValueError: one of them is not above 0.

    Example:
        >>> kp.analysis.convnext_weights(channels=16, kernel_size=3, expansion=4)  # 2 * 4 * 16 * 16 + 9 * 16
        2192
    """
    _check(channels=channels, kernel_size=kernel_size, expansion=expansion)
    return 2 * expansion * channels**2 + kernel_size**2 * channels


def pibconv_weights(channels: int, kernel_size: int, expansion: float = 2) -> float:
    """Equation (2), (F + 1) C^2 + 2 K^2 C: weights of the PIBConv block, normalization not counted.

    The block of the published code has (F + 1) K^2 C in place of 2 K^2 C: its second K x K convolution has C groups of
    F channels each, where the equation has one channel a group. Args, Raises: as `convnext_weights`; F = 2 in Fig. 2 c.

    Example:
        >>> kp.analysis.pibconv_weights(channels=16, kernel_size=3, expansion=2)  # 3 * 16 * 16 + 2 * 9 * 16
        1056
    """
    _check(channels=channels, kernel_size=kernel_size, expansion=expansion)
    return (expansion + 1) * channels**2 + 2 * kernel_size**2 * channels


# Block -> its layer and its equation.
BLOCKS = {
    "ConvNeXt": (layers.ConvNeXtConv, convnext_weights),
    "PIBConv": (layers.PIBConv, pibconv_weights),
}


def block_weights(block: str, channels: int, kernel_size: int, expansion: float) -> tuple[int, int]:
    """(Weights of the convolutions, all trainable parameters) of a block, counted on the layer itself.

    Args:
        block: "ConvNeXt" or "PIBConv".
        channels, kernel_size, expansion: C, K (odd) and F, with F * C an integer.

    Raises:
        ValueError: an unknown block, or what its layer does not take.

    Example:
        >>> kp.analysis.block_weights("PIBConv", channels=4, kernel_size=3, expansion=2)
        (156, 164)
    """
    if block not in BLOCKS:
        raise ValueError(f"Unknown block. Known: {', '.join(BLOCKS)}. Received: block={block!r}")
    layer = BLOCKS[block][0](channels, kernel_size=kernel_size, expansion=expansion)
    layer.build((None, None, None, channels))
    counts = [(len(weight.shape), prod(weight.shape)) for weight in layer.trainable_variables]
    return sum(count for rank, count in counts if rank == 4), sum(count for _, count in counts)


def compare_blocks(
    channels: Sequence[int] = (16, 32, 64),
    kernel_sizes: Sequence[int] = (3, 5, 7),
    expansions: Sequence[tuple[float, float]] = ((4, 4), (4, 2)),
) -> list:
    """The equations beside exact counts, and the PIBConv block's share of the ConvNeXt block's weights.

    The paper's "approximately 0.63 times" is the share of the terms in C^2 at F = 4 in both blocks, (4 + 1) / (2 * 4).

    Args:
        channels, kernel_sizes: the values of C and K.
        expansions: pairs of F, of the ConvNeXt block and of PIBConv; the default's second is that of Fig. 2.

    Returns:
        A list of dictionaries, one for each combination: C, K, both F, the equations' values, the weights of the
        convolutions as counted, and three shares: of the terms in C^2, of the equations, of the counts.

    Example:
        >>> len(kp.analysis.compare_blocks(channels=(16, 32), kernel_sizes=(3,)))  # two pairs of expansions
        4
    """
    return [_row(c, k, f_1, f_2) for f_1, f_2 in expansions for c in channels for k in kernel_sizes]


def _row(channels, kernel_size, f_1, f_2):
    first, second = convnext_weights(channels, kernel_size, f_1), pibconv_weights(channels, kernel_size, f_2)
    counted = [block_weights(block, channels, kernel_size, f)[0] for block, f in zip(BLOCKS, (f_1, f_2), strict=True)]
    return {
        "C": channels,
        "K": kernel_size,
        "F (1)": f_1,
        "F (2)": f_2,
        "equation (1)": whole(first),
        "ConvNeXt, counted": counted[0],
        "equation (2)": whole(second),
        "PIBConv, counted": counted[1],
        "share in C^2": round((f_2 + 1) / (2 * f_1), 3),
        "share (2) / (1)": round(second / first, 3),
        "share, counted": round(counted[1] / counted[0], 3),
    }


def whole(value):
    """An int where the value is one."""
    return int(value) if value == int(value) else value


def _check(**sizes):
    for name, size in sizes.items():
        if not size > 0:
            raise ValueError(f"`{name}` is a number above 0. Received: {name}={size!r}")
