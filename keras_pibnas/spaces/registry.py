"""Ops by name. An op is a factory (channels, strides, affine, branches, **kwargs) -> Keras layer."""

import inspect
import re
from collections.abc import Callable
from functools import partial

import keras

from keras_pibnas import genotypes, layers
from keras_pibnas.spaces.per_branch import PerBranch

_OPS = {}
_ALIASES = {}

# `pib_conv_3x3_f3.5`: PIBConv with the expansion F = 3.5 (the plain names have F = 2).
_EXPANDED = r"(pib_conv_\dx\d)_f(\d+(?:\.\d+)?)"
genotypes.OP_PATTERNS.append(_EXPANDED)


def register_op(name: str, factory: Callable) -> None:
    """Adds an op, under which name spaces and genotypes may then use it.

    Args:
        name: a string.
        factory: called as factory(channels, strides=, affine=, name=, ...) -> Keras layer that maps (B, H, W, channels)
            to (B, ceil(H / strides), ceil(W / strides), channels). If it takes `branches`, it is called with the number
            of edges to compute in one pass, and its layer with the op weights of these, `weights` (see `layers.Op`);
            else every edge gets a layer of its own, which is slower.

    Raises:
        ValueError: the name is taken.

    Example:
        >>> from functools import partial
        >>> kp.spaces.register_op("my_pib_conv", partial(kp.layers.PIBConv, kernel_size=9))
        >>> kp.spaces.build_op("my_pib_conv", channels=4).kernel_size
        9
    """
    if name in _OPS or name in _ALIASES:
        raise ValueError(f"Op {name!r} is registered already. Received: name={name!r}; choose another.")
    if not callable(factory):
        raise ValueError(f"The factory of op {name!r} must be callable. Received: {factory!r}")
    _OPS[name] = factory
    genotypes.OPS.add(name)


def register_alias(alias: str, name: str) -> None:
    """Lets another name stand for a registered op.

    Example:
        >>> kp.spaces.register_alias("my_skip", "skip_connect")
        >>> kp.spaces.canonical("my_skip")
        'skip_connect'
    """
    _ALIASES[alias] = canonical(name)
    genotypes.OPS.add(alias)


def op_names() -> tuple:
    """The names of all registered ops, sorted, without aliases.

    Example:
        >>> "pib_conv_3x3" in kp.spaces.op_names()
        True
    """
    return tuple(sorted(_OPS))


def canonical(name: str) -> str:
    """The registered name that a name or alias stands for.

    Raises:
        ValueError: names the op and the known ones.

    Example:
        >>> kp.spaces.canonical("dialated_conv_3x3")  # the spelling of the paper
        'dil_conv_3x3'
    """
    name = _ALIASES.get(name, name)
    plain, expansion = _expanded(name)
    if plain not in _OPS:
        raise ValueError(f"Unknown op {name!r}. Known: {', '.join(op_names())}")
    return name if expansion is None else expanded_name(plain, expansion)


def expanded_name(name, expansion):
    """The name of a PIBConv op with the expansion F: `pib_conv_3x3` and 3.5 give `pib_conv_3x3_f3.5`."""
    return name if expansion == 2 else f"{name}_f{str(float(expansion)).removesuffix('.0')}"


def _expanded(name):
    """(Registered name, F or None) of an op's name."""
    match = None if name in _OPS else re.fullmatch(_EXPANDED, name)
    return (match[1], float(match[2])) if match else (name, None)


def _factory(name):
    plain, expansion = _expanded(canonical(name))
    return _OPS[plain] if expansion is None else partial(_OPS[plain], expansion=expansion)


def build_op(
    name: str, /, channels: int, strides: int = 1, affine: bool = True, branches: int = 1, **kwargs
) -> keras.layers.Layer:
    """A Keras layer that computes an op.

    Args:
        name: a registered op or alias.
        channels: C, of input and output.
        strides: 1 or 2.
        affine: whether batch normalizations have gamma and beta.
        branches: E, how many edges the layer computes in one pass.
        **kwargs: passed to the layer, such as name or dtype.

    Returns:
        A layer (B, H, W, C) -> (B, ceil(H / strides), ceil(W / strides), E * C).

    Raises:
        ValueError: unknown op, or arguments that the op cannot take.

    Example:
        >>> op = kp.spaces.build_op("sep_conv_3x3", channels=8, strides=2)
        >>> op(np.zeros((1, 16, 16, 8), "float32")).shape
        TensorShape([1, 8, 8, 8])
    """
    factory = _factory(name)
    settings = {"strides": strides, "affine": affine, **kwargs}
    if branches == 1 or _takes(factory, "branches"):
        extra = {"branches": branches} if _takes(factory, "branches") else {}
        return factory(channels, **settings, **extra)
    return build_edges(name, channels, strides, branches, affine=affine, **kwargs)


def build_edges(name, /, channels, strides, branches, **kwargs):
    """As `build_op`, for a supernet: whatever the op, the layer takes the op weights of its edges."""
    factory = _factory(name)
    if _takes(factory, "branches"):
        return factory(channels, strides=strides, branches=branches, **kwargs)
    own = {key: kwargs[key] for key in ("name", "dtype") if key in kwargs}
    return PerBranch(partial(factory, strides=strides, **kwargs), channels, strides, branches, **own)


def _takes(factory, argument):
    parameters = inspect.signature(factory).parameters
    if argument in parameters:
        return True
    inner = factory.func if isinstance(factory, partial) else factory
    return isinstance(inner, type) and issubclass(inner, layers.Op)


for _size in (3, 5, 7):
    register_op(f"sep_conv_{_size}x{_size}", partial(layers.SepConv, kernel_size=_size))
    register_op(f"pib_conv_{_size}x{_size}", partial(layers.PIBConv, kernel_size=_size))
    register_op(f"pib_conv_table_{_size}x{_size}", partial(layers.PIBConvTable, kernel_size=_size))
    register_op(f"convnext_{_size}x{_size}", partial(layers.ConvNeXtConv, kernel_size=_size))
for _size in (3, 5):
    register_op(f"dil_conv_{_size}x{_size}", partial(layers.DilConv, kernel_size=_size))
    register_op(f"sep_conv_gelu_{_size}x{_size}", partial(layers.SepConvGELU, kernel_size=_size))
    register_op(f"sep_conv_layernorm_{_size}x{_size}", partial(layers.SepConvLayerNorm, kernel_size=_size))
    register_alias(f"dialated_conv_{_size}x{_size}", f"dil_conv_{_size}x{_size}")  # the paper's spelling
for _size in (3, 5, 7):
    register_op(f"invo_{_size}x{_size}", partial(layers.Involution, kernel_size=_size))
    for _alias in ("invo2d", "sep_invo"):  # the two names in the README of DARTS with involution
        register_alias(f"{_alias}_{_size}x{_size}", f"invo_{_size}x{_size}")
for _size in (3, 5):
    register_op(f"dil_invo_{_size}x{_size}", partial(layers.Involution, kernel_size=_size, dilation=2))
    register_alias(f"dil_invo2d_{_size}x{_size}", f"dil_invo_{_size}x{_size}")
# The lecture notes' primitive operations and classical blocks.
register_op("linear", layers.Linear)
register_op("conv_1x1", partial(layers.Conv, kernel_size=1))
register_alias("pointwise_conv", "conv_1x1")
register_op("conv_3x3", layers.Conv)
register_op("grouped_conv_3x3", partial(layers.Conv, groups=2))
register_op("depthwise_conv_3x3", layers.depthwise_conv)
register_op("resnet_bottleneck", layers.Bottleneck)
register_op("resnext_block", partial(layers.Bottleneck, reduction=2, groups=4))
register_op("mobilenet_block", layers.SeparableBlock)
register_op("inverted_residual", layers.InvertedResidual)
register_op("shuffle_unit", layers.ShuffleUnit)
register_op("none", layers.Zero)
register_op("skip_connect", layers.skip_connect)
register_op("max_pool_3x3", layers.MaxPool)
register_op("avg_pool_3x3", layers.AveragePool)
register_op("conv_7x1_1x7", layers.Conv7x1_1x7)
register_op("conv_3x1_1x3", layers.Conv3x1_1x3)
register_op("noise", layers.Noise)
# NAS-Bench-201: ReLU, convolution, BN.
register_op("nor_conv_1x1", partial(layers.Conv, kernel_size=1, bias=True))
register_op("nor_conv_3x3", partial(layers.Conv, bias=True))
register_alias("skip_conn", "skip_connect")
