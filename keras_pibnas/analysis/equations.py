"""Equations (1) and (2) of the PIBConv paper (section 2), and what the blocks hold when they are counted."""

from math import prod

from keras_pibnas import layers


def convnext_weights(channels, kernel_size, expansion=4):
    """Equation (1), 2 F C^2 + K^2 C: weights of the inverted bottleneck block, normalization not counted.

    Args:
        channels: C, of input and output.
        kernel_size: K.
        expansion: F = C_inv / C; 4 in the paper's Fig. 2 b.

    Raises:
        ValueError: one of them is not above 0.
    """
    _check(channels=channels, kernel_size=kernel_size, expansion=expansion)
    return 2 * expansion * channels**2 + kernel_size**2 * channels


def pibconv_weights(channels, kernel_size, expansion=2):
    """Equation (2), (F + 1) C^2 + 2 K^2 C: weights of the PIBConv block, normalization not counted.

    The block of the published code has (F + 1) K^2 C in place of 2 K^2 C: its second K x K convolution has C groups of
    F channels each, where the equation has one channel a group. Args, Raises: as `convnext_weights`; F = 2 in Fig. 2 c.
    """
    _check(channels=channels, kernel_size=kernel_size, expansion=expansion)
    return (expansion + 1) * channels**2 + 2 * kernel_size**2 * channels


# Block -> its layer and its equation.
BLOCKS = {
    "ConvNeXt": (layers.ConvNeXtConv, convnext_weights),
    "PIBConv": (layers.PIBConv, pibconv_weights),
}


def block_weights(block, channels, kernel_size, expansion):
    """(Weights of the convolutions, all trainable parameters) of a block, counted on the layer itself.

    Args:
        block: "ConvNeXt" or "PIBConv".
        channels, kernel_size, expansion: C, K (odd) and F, with F * C an integer.

    Raises:
        ValueError: an unknown block, or what its layer does not take.
    """
    if block not in BLOCKS:
        raise ValueError(f"Unknown block. Known: {', '.join(BLOCKS)}. Received: block={block!r}")
    layer = BLOCKS[block][0](channels, kernel_size=kernel_size, expansion=expansion)
    layer.build((None, None, None, channels))
    counts = [(len(weight.shape), prod(weight.shape)) for weight in layer.trainable_variables]
    return sum(count for rank, count in counts if rank == 4), sum(count for _, count in counts)


def compare_blocks(channels=(16, 32, 64), kernel_sizes=(3, 5, 7), expansions=(4, 2)):
    """The equations beside exact counts, and PIBConv's share of ConvNeXt's weights at the same F.

    The paper's "approximately 0.63 times" is (F + 1) / 2F at F = 4, from the terms in C^2 alone.

    Args:
        channels, kernel_sizes, expansions: the values of C, K and F to combine.

    Returns:
        A list of dictionaries, one for each block and combination: block, C, K, F, equation, weights (of the
        convolutions, counted), parameters (with normalization, counted), and shares "by C^2", "by weights".
    """
    return [
        _row(block, c, k, f) for f in expansions for c in channels for k in kernel_sizes for block in BLOCKS
    ]


def _row(block, channels, kernel_size, expansion):
    arguments = (channels, kernel_size, expansion)
    weights, parameters = block_weights(block, *arguments)
    square = {"ConvNeXt": 2 * expansion, "PIBConv": expansion + 1}[block] / (2 * expansion)
    return {
        "block": block,
        "C": channels,
        "K": kernel_size,
        "F": expansion,
        "equation": whole(BLOCKS[block][1](*arguments)),
        "weights": weights,
        "parameters": parameters,
        "share by C^2": round(square, 3),
        "share by weights": round(weights / block_weights("ConvNeXt", *arguments)[0], 3),
    }


def whole(value):
    """An int where the value is one."""
    return int(value) if value == int(value) else value


def _check(**sizes):
    for name, size in sizes.items():
        if not size > 0:
            raise ValueError(f"`{name}` is a number above 0. Received: {name}={size!r}")
