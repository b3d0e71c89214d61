"""Variants of a genotype: the network-level dimensions that a depth study moves along."""

import re

from keras_pibnas import spaces
from keras_pibnas.genotypes import Genotype

_KERNEL = re.compile(r"_(\d+)x\1(?!\d)")


def with_kernel_size(genotype: Genotype, size: int) -> Genotype:
    """The genotype with kernels of another size: "pib_conv_3x3" becomes "pib_conv_7x7".

    Pools stay, and so does an op that is not registered in that size, such as "dil_conv" in 7x7.

    Args:
        genotype: a Genotype.
        size: side of the kernels, in pixels.

    Returns:
        A Genotype whose names mean what they say (see `Genotype.resolved`).

    Raises:
        ValueError: none of its ops comes in that size.

    Example:
        >>> kp.analysis.with_kernel_size(kp.genotypes.get("PIBCONV"), 7).normal[0]
        ('pib_conv_7x7', 0)
    """
    variant = genotype.resolved().renamed(lambda op: resized(op, size))
    ops = {op for op, _ in variant.normal + variant.reduce}
    if not any(_has_size(op, size) for op in ops):
        raise ValueError(f"None of the ops {', '.join(sorted(ops))} comes with kernels of that size. Received: {size}")
    return variant


def resized(op, size):
    """The name of an op with kernels of another size where such an op is registered, else the name itself."""
    name = _KERNEL.sub(f"_{size}x{size}", op)
    return op if _is_pool(op) or not _known(name) else name


def _has_size(op, size):
    kernel = _KERNEL.search(op)
    return bool(kernel) and kernel[1] == str(size) and not _is_pool(op)


def _is_pool(op):
    return "_pool_" in op


def _known(name):
    try:
        spaces.canonical(name)
    except ValueError:
        return False
    return True
