"""Named search spaces."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from keras_pibnas.spaces.registry import build_edges, canonical, expanded_name

POOLS = ("max_pool_3x3", "avg_pool_3x3")


@dataclass(frozen=True)
class SearchSpace:
    """The ops that an edge chooses from.

    Args:
        name: of the space.
        primitives: op names, in the order of the columns of alpha.
        pool_norm: whether pools in the supernet are followed by a batch normalization without gamma and beta.

    Example:
        >>> kp.spaces.SearchSpace("small", ("none", "skip_connect", "sep_conv_3x3")).primitives
        ('none', 'skip_connect', 'sep_conv_3x3')
    """

    name: str
    primitives: tuple
    pool_norm: bool = False

    def __post_init__(self):
        object.__setattr__(self, "primitives", tuple(self.primitives))  # a list where it comes from a file

    def build_op(self, name, /, channels, strides=1, branches=1, **kwargs):
        """The layer of an op as a supernet of this space has it: without gamma and beta."""
        if self.pool_norm and canonical(name) in POOLS:
            kwargs["norm"] = True
        return build_edges(name, channels, strides, branches, affine=False, **kwargs)


_SPACES = {}


def register(name: str, primitives: Sequence[str], pool_norm: bool = False) -> "SearchSpace":
    """Adds a search space. Args: as `SearchSpace`. Returns it.

    Raises:
        ValueError: the name is taken, an op is unknown or stands twice, or there is nothing but `none`.

    Example:
        >>> space = kp.spaces.register("three_ops", ("none", "skip_connect", "pib_conv_3x3"))
        >>> kp.spaces.get("three_ops") == space
        True
    """
    primitives = tuple(primitives)
    if name in _SPACES:
        raise ValueError(f"Search space {name!r} is registered already. Known: {', '.join(names())}")
    known = [canonical(op) for op in primitives]
    if len(set(known)) != len(known) or not set(known) - {"none"}:
        raise ValueError(
            f"A search space needs different ops, one at least besides none. Received: {primitives}"
        )
    _SPACES[name] = SearchSpace(name, primitives, pool_norm)
    return _SPACES[name]


def names() -> tuple:
    """The names of all search spaces, sorted.

    Example:
        >>> "pibconv" in kp.spaces.names()
        True
    """
    return tuple(sorted(_SPACES))


def get(name: str | SearchSpace) -> "SearchSpace":
    """The search space of that name (a SearchSpace is returned as it is); `pibconv_f3.5` is `pibconv(3.5)`.

    Raises:
        ValueError: names the known ones.

    Example:
        >>> kp.spaces.get("darts").primitives[:3]
        ('none', 'max_pool_3x3', 'avg_pool_3x3')
    """
    if isinstance(name, SearchSpace):
        return name
    if name in _SPACES:
        return _SPACES[name]
    if match := re.fullmatch(r"pibconv_f(\d+(?:\.\d+)?)", str(name)):
        return pibconv(float(match[1]))
    raise ValueError(f"Unknown search space {name!r}. Known: {', '.join(names())}, and pibconv_f3.5 for F = 3.5")


def pibconv(expansion: float = 2) -> "SearchSpace":
    """The `pibconv` space with another inverted bottleneck ratio (the paper tried 1.5 to 4.5; section 2).

    Args:
        expansion: F, with F * C an integer for the channels C of every cell.

    Returns:
        A SearchSpace named `pibconv_f<F>`, with ops `pib_conv_3x3_f<F>`, ...; at F = 2 the space `pibconv` itself.

    Raises:
        ValueError: F is out of range.

    Example:
        >>> kp.spaces.pibconv(expansion=4).primitives[-1]
        'avg_pool_3x3'
    """
    if not isinstance(expansion, int | float) or not 0.01 <= expansion <= 100:
        raise ValueError(f"The expansion F is a number from 0.01 to 100. Received: expansion={expansion!r}")
    plain = get("pibconv")
    primitives = [expanded_name(op, expansion) if op.startswith("pib_conv") else op for op in plain.primitives]
    return plain if expansion == 2 else SearchSpace(expanded_name(plain.name, expansion), primitives)


_COMMON = ("none", "max_pool_3x3", "avg_pool_3x3", "skip_connect")
_DILATED = ("dil_conv_3x3", "dil_conv_5x5")

# DARTS, section 3.1.1, in the order of its code.
register("darts", (*_COMMON, "sep_conv_3x3", "sep_conv_5x5", *_DILATED), pool_norm=True)
# The PIBConv paper's roadmap (Fig. 1, section 2) changes the separable convolution alone, step by step; it leaves BN
# for LayerNorm and goes back to BN for the ConvNeXt block.
for _name, _block in (("darts_gelu", "sep_conv_gelu"), ("darts_layernorm", "sep_conv_layernorm"), ("convnext",) * 2):
    register(_name, (*_COMMON, f"{_block}_3x3", f"{_block}_5x5", *_DILATED), pool_norm=True)
# The PIBConv paper, section 3: its ten ops, in its order.
register(
    "pibconv",
    ("none", "skip_connect", "pib_conv_3x3", "pib_conv_5x5", "pib_conv_7x7", *_DILATED, "conv_7x1_1x7", "max_pool_3x3",
     "avg_pool_3x3"),
)  # fmt: skip
# The eight ops of the code published with that paper.
register("pibconv_published", (*_COMMON, "pib_conv_3x3", "pib_conv_5x5", *_DILATED))
# The same with the block that the paper's Table 1 counts.
register("pib_conv_table", (*_COMMON, "pib_conv_table_3x3", "pib_conv_table_5x5", *_DILATED))
# DARTS with involution, in the order of DARTS; its README's "zero operation" and "no operation" are both `none`.
register(
    "involution",
    (*_COMMON, "invo_3x3", "invo_5x5", "invo_7x7", "dil_invo_3x3", "dil_invo_5x5"),
    pool_norm=True,
)
# The lecture notes' primitive operations and classical blocks, to choose among.
register(
    "classical",
    ("none", "skip_connect", "linear", "conv_1x1", "conv_3x3", "grouped_conv_3x3", "depthwise_conv_3x3",
     "resnet_bottleneck", "resnext_block", "mobilenet_block", "inverted_residual", "shuffle_unit"),
)  # fmt: skip
# NAS-Bench-201, section 2.2, in the order of its code.
register("nas_bench_201", ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"))
