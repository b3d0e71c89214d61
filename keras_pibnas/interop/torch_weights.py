"""Weights of the published PyTorch code, into our models."""

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from keras_pibnas import layers
from keras_pibnas.search import Supernet

# What a layer's variables are called in PyTorch's module of the same op.
PARTS = {
    layers.SepConv: {
        "depthwise_1": "op.1.weight", "pointwise_1": "op.2.weight", "batch_norm_1": "op.3",
        "depthwise_2": "op.5.weight", "pointwise_2": "op.6.weight", "batch_norm_2": "op.7",
    },
    layers.DilConv: {"depthwise": "op.1.weight", "pointwise": "op.2.weight", "batch_norm": "op.3"},
    layers.Conv7x1_1x7: {"row": "1.weight", "column": "2.weight", "batch_norm": "3"},
    layers.Conv3x1_1x3: {"row": "1.weight", "column": "2.weight", "batch_norm": "3"},
    layers.PIBConv: {
        "depthwise": "op.0.weight", "batch_norm": "op.1", "pointwise_1": "op.2.weight", "grouped": "op.3.weight",
        "pointwise_2": "op.5.weight",
    },
    layers.PIBConvTable: {
        "depthwise": "op.1.weight", "pointwise_1": "op.2.weight", "batch_norm": "op.3", "grouped": "op.5.weight",
        "pointwise_2": "op.6.weight", "batch_norm_2": "op.7",
    },
    layers.FactorizedReduce: {"conv_1": "conv_1.weight", "conv_2": "conv_2.weight", "batch_norm": "bn"},
    layers.ReLUConvBN: {"kernel": "op.1.weight", "batch_norm": "op.2"},
    layers.ConvStem: {"kernel": "0.weight", "norm": "1"},
    layers.PatchifyStem: {"kernel": "0.weight", "norm": "1"},
    layers.AuxiliaryHead: {
        "narrow": "features.2.weight", "batch_norm_1": "features.3", "wide": "features.5.weight",
        "batch_norm_2": "features.6", "classifier": "classifier",
    },
    layers.ImageNetStem: {
        "kernel_1": "0.weight", "batch_norm_1": "1", "kernel_2": "3.weight", "batch_norm_2": "4",
    },
    layers.StemReduction: {"kernel_1": "1.weight", "batch_norm_1": "2"},
    layers.ImageNetAuxiliaryHead: {
        "narrow": "features.2.weight", "batch_norm_1": "features.3", "wide": "features.5.weight",
        "classifier": "classifier",
    },
    layers.MaxPool: {"batch_norm": "1"},
    layers.AveragePool: {"batch_norm": "1"},
}  # fmt: skip
# What the layers of a discrete network besides its cells are called there.
NAMES = {
    "stem": "stem", "stem_0": "stem0", "stem_1": "stem1", "logits": "classifier", "auxiliary": "auxiliary_head",
}  # fmt: skip
BATCH_NORM = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def load_torch_weights(model: keras.Model, source: Mapping[str, np.ndarray] | str | Path) -> None:
    """Loads weights of the published DARTS or PIBConv code, and what a supernet's file has of its architecture.

    That is `alphas_normal` and `alphas_reduce` of PIBConv's code, and edge weights `betas_normal` and `betas_reduce` as
    PC-DARTS calls them; DARTS's files have none, and a supernet then keeps its own.

    Args:
        model: a Supernet, or a model of `build_network` (or `inference_model`).
        source: {name: array} as in the PyTorch state dict, or a path to a .npz, .pt or .pth file (the last two need
            PyTorch) that holds one, at the top or under "state_dict"; a "module." prefix is dropped.

    Raises:
        ValueError: names that are missing, left over, or of another shape; nothing is assigned then. Entries of an
            auxiliary head are left aside where the model has none.

    Example:
        >>> model = kp.build_network("DARTS_V2", (8, 8, 3), channels=2, layers=2)
        >>> try:
        ...     kp.interop.load_torch_weights(model, {"stem.0.weight": np.zeros((6, 3, 3, 3))})
        ... except ValueError as error:
        ...     print("arrays" in str(error))
        True
    """
    arrays = _read(source)
    wanted = list(_supernet(model) if isinstance(model, Supernet) else _network(model))
    architecture = _architecture(model, arrays) if isinstance(model, Supernet) else {}
    _check_names(model, arrays, {*(name for name, _, _, _ in wanted), *architecture})
    values = {name: (variable, _checked(name, arrays[name], variable)) for name, variable in architecture.items()}
    for name, variable, block, blocks in wanted:
        _place(values, name, arrays[name], variable, block, blocks)
    for variable, value in values.values():
        variable.assign(value)


def _read(source):
    if not isinstance(source, dict):
        source = _read_file(str(source))
    source = source.get("state_dict", source)
    arrays = {name.removeprefix("module."): np.asarray(value) for name, value in source.items()}
    return {name: array for name, array in arrays.items() if not name.endswith("num_batches_tracked")}


def _read_file(path):
    if path.endswith(".npz"):
        with np.load(path) as file:
            return dict(file)
    if not path.endswith((".pt", ".pth")):
        raise ValueError(f"PyTorch weights are read from .npz, .pt or .pth files. Received: {path!r}")
    try:
        import torch
    except ImportError as error:
        raise ValueError(f"Reading {path!r} needs PyTorch: pip install torch, or store the arrays as .npz.") from error
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    loaded = loaded.get("state_dict", loaded)
    return {name: value.numpy() for name, value in loaded.items()}


def _supernet(model):
    """(name, variable, block, blocks) of every array: edges of a bundle are blocks of its layers' channels."""
    stems = [model.network.stem, *model.network.further_stems]
    if model.network.cell_inputs != 2:
        raise ValueError(
            "Weights of supernets are read where cells are as DARTS has them, with two inputs. "
            f"Received: space {model.space.name!r}, inputs={model.network.cell_inputs}"
        )
    for number, stem in enumerate(stems):
        yield from _layer(stem, f"stem{number}" if len(stems) > 1 else "stem")
    for index, cell in enumerate(model.network.cells):
        yield from _preprocessing(cell.preprocess_0, cell.preprocess_1, index)
        for bundle, edges in zip(cell.bundles, cell.edges, strict=True):
            for op, column in zip(bundle.ops, bundle.columns, strict=True):
                for block, row in enumerate(edges.rows):
                    place = column - sum(not allowed for allowed in cell.allowed[row][:column])  # on that edge
                    yield from _layer(op, f"cells.{index}._ops.{row}._ops.{place}", block, len(edges.rows))
    yield from _layer(model.network.classifier, "classifier")


def _architecture(model, arrays):
    """{name there: variable} of the architecture; nothing where the arrays have nothing of it."""
    named = {}
    for variable in model.architecture:
        kind, _, cell = variable.name.rpartition("_")
        named[f"{kind}s_{cell}"] = variable
    return named if set(named) & set(arrays) else {}


def _checked(name, array, variable):
    if array.shape != tuple(variable.shape):
        raise _misshapen(name, variable, tuple(variable.shape), array)
    return array


def _misshapen(name, variable, want, array):
    return ValueError(
        f"{name} has the wrong shape for {variable.path}. Expected {want} (in our layout). Received: {array.shape}"
    )


def _preprocessing(first, second, index):
    yield from _layer(first, f"cells.{index}.preprocess0")
    yield from _layer(second, f"cells.{index}.preprocess1")


def _network(model):
    for layer in model.layers:
        parts = layer.name.split("_")
        if layer.name in NAMES:
            yield from _layer(layer, NAMES[layer.name])
        elif "preprocess" in parts:
            yield from _layer(layer, f"cells.{parts[1]}.preprocess{parts[3]}")
        elif "op" in parts and not isinstance(layer, layers.DropPath):
            yield from _layer(layer, f"cells.{parts[1]}._ops.{parts[3]}")


def _layer(layer, prefix, block=0, blocks=1):
    if hasattr(layer, "kernel") and hasattr(layer, "units"):
        yield f"{prefix}.weight", layer.kernel, block, blocks
        yield f"{prefix}.bias", layer.bias, block, blocks
    for attribute, suffix in PARTS.get(type(layer), {}).items():
        part = getattr(layer, attribute)
        if isinstance(part, layers.BatchNorm | layers.LayerNorm):
            for own, theirs in BATCH_NORM.items():
                if getattr(part, own, None) is not None:
                    yield f"{prefix}.{suffix}.{theirs}", getattr(part, own), block, blocks
        elif hasattr(part, "units"):
            yield from _layer(part, f"{prefix}.{suffix}")
        elif part is not None:
            yield f"{prefix}.{suffix}", part, block, blocks


def _check_names(model, arrays, wanted):
    has_head = any(name.startswith("auxiliary") for name in wanted)
    given = {name for name in arrays if has_head or not name.startswith("auxiliary")}
    for problem, names in (("lack", wanted - given), ("have no place for", given - wanted)):
        if names:
            some = ", ".join(sorted(names)[:5])
            who = "The weights lack" if problem == "lack" else f"{model.name} has no place for"
            raise ValueError(f"{who} {len(names)} of {len(wanted)} arrays, among them {some}.")


def _place(values, name, array, variable, block, blocks):
    """Writes a PyTorch array, in our layout, into its block of a variable's value."""
    shape = tuple(variable.shape)
    axis = 2 if _is_depthwise(variable) else len(shape) - 1
    ours = _transposed(array, _is_depthwise(variable))
    want = (*shape[:axis], shape[axis] // blocks, *shape[axis + 1 :])
    if ours.shape != want:
        raise _misshapen(name, variable, want, ours)
    _, value = values.setdefault(id(variable), (variable, np.empty(shape, ours.dtype)))
    place = [slice(None)] * len(shape)
    place[axis] = slice(block * want[axis], (block + 1) * want[axis])
    value[tuple(place)] = ours


def _is_depthwise(variable):
    return len(variable.shape) == 4 and "depthwise" in variable.name


def _transposed(array, depthwise):
    if array.ndim == 4:
        return array.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
    return array.T if array.ndim == 2 else array
