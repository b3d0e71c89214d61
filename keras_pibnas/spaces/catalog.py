"""Named search spaces."""

import re
from collections.abc import Mapping, Sequence

from keras_pibnas.spaces.files import checked, load, ops_of
from keras_pibnas.spaces.registry import expanded_name
from keras_pibnas.spaces.space import SearchSpace
from keras_pibnas.topology import Topology

_SPACES = {}


def register(
    name: str,
    primitives: Sequence[str] | None = None,
    pool_norm: bool = False,
    edges: Mapping | Sequence | None = None,
    topology: Topology = Topology(),  # noqa: B008
) -> SearchSpace:
    """Adds a search space. Args: as `SearchSpace`; without primitives, those that `edges` names. Returns it.

    Raises:
        ValueError: the name is taken, an op is unknown or stands twice, there is nothing but `none`, or edges that fit
            no cell.

    Example:
        >>> space = kp.spaces.register("three_ops", ("none", "skip_connect", "pib_conv_3x3"))
        >>> kp.spaces.get("three_ops") == space
        True
    """
    if name in _SPACES:
        raise ValueError(f"Search space {name!r} is registered already. Known: {', '.join(names())}")
    _SPACES[name] = checked(SearchSpace(name, ops_of(edges) if primitives is None else primitives, pool_norm, edges,
                                        topology))  # fmt: skip
    return _SPACES[name]


def names() -> tuple:
    """The names of all search spaces, sorted.

    Example:
        >>> "pibconv" in kp.spaces.names()
        True
    """
    return tuple(sorted(_SPACES))


def get(name: str | SearchSpace) -> SearchSpace:
    """The search space of that name (a SearchSpace is returned as it is), or of a file whose name ends in .json.

    `pibconv_f3.5` is `pibconv(3.5)`.

    Raises:
        ValueError: names the known ones, or what is wrong in the file.
        OSError: the file cannot be read.

    Example:
        >>> kp.spaces.get("darts").primitives[:3]
        ('none', 'max_pool_3x3', 'avg_pool_3x3')
    """
    if isinstance(name, SearchSpace):
        return name
    if name in _SPACES:
        return _SPACES[name]
    if str(name).endswith(".json"):
        return load(name)
    if match := re.fullmatch(r"pibconv_f(\d+(?:\.\d+)?)", str(name)):
        return pibconv(float(match[1]))
    raise ValueError(f"Unknown search space {name!r}. Known: {', '.join(names())}, pibconv_f3.5 for F = 3.5, "
                     "and files whose names end in .json")  # fmt: skip


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
register(
    "nas_bench_201",
    ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"),
    topology=Topology(inputs=1, nodes=3, keep=None, output="last"),
)
# RobustDARTS (arXiv:1909.09656), section 4 and appendix: S1 has two ops on each edge, the best of a search in `darts`.
_SKIP, _MAX, _AVERAGE = "skip_connect", "max_pool_3x3", "avg_pool_3x3"
_SEP, _DIL3, _DIL5 = "sep_conv_3x3", *_DILATED
register(
    "s1",
    (_MAX, _AVERAGE, _SKIP, _SEP, _DIL3, _DIL5),
    pool_norm=True,
    edges={
        "normal": [
            (_SKIP, _DIL3), (_SKIP, _DIL5),
            (_SKIP, _DIL5), (_SKIP, _SEP), (_SKIP, _DIL3),
            (_MAX, _SKIP), (_SKIP, _SEP), (_SKIP, _SEP), (_SKIP, _DIL3),
            (_SKIP, _SEP), (_MAX, _SKIP), (_SKIP, _DIL3), (_DIL3, _DIL5), (_DIL3, _DIL5),
        ],
        "reduce": [
            (_MAX, _AVERAGE), (_MAX, _DIL3),
            (_MAX, _AVERAGE), (_MAX, _AVERAGE), (_SKIP, _DIL5),
            (_MAX, _AVERAGE), (_MAX, _SEP), (_SKIP, _DIL3), (_SKIP, _DIL5),
            (_MAX, _AVERAGE), (_MAX, _AVERAGE), (_SKIP, _DIL5), (_SKIP, _DIL5), (_SKIP, _DIL5),
        ],
    },
)  # fmt: skip
register("s2", (_SKIP, _SEP), pool_norm=True)
register("s3", ("none", _SKIP, _SEP), pool_norm=True)
register("s4", ("noise", _SEP), pool_norm=True)
