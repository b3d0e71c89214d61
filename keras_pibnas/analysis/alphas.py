"""Reading alphas: rows are edges, columns are ops, the softmax over a row gives the weights of its ops."""

import itertools
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from keras_pibnas.genotypes import Genotype
from keras_pibnas.topology import Topology


def read_alphas(path: str | Path) -> tuple:
    """Reads the `alphas.npz` of a search.

    Args:
        path: of a file with the arrays normal and reduce, (epochs, edges, ops), and primitives, the op names; without
            reduce where the cells stand in a chain.

    Returns:
        ({"normal": array, "reduce": array}, list of op names).

    Raises:
        ValueError: the file is no .npz, an array is missing, or they do not fit.
        OSError: the file cannot be read.

    Example:
        >>> np.savez("alphas.npz", normal=np.zeros((1, 2, 1)), reduce=np.zeros((1, 2, 1)), primitives=["skip_connect"])
        >>> alphas, primitives = kp.analysis.read_alphas("alphas.npz")
        >>> alphas["normal"].shape, primitives
        ((1, 2, 1), ['skip_connect'])
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            wanted = [name for name in ("normal", "reduce", "primitives") if name in file or len(file.files) != 2]
            arrays = {name: file[name] for name in wanted}
    except (KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} does not hold normal, reduce and primitives: {error}") from None
    primitives = [str(op) for op in arrays.pop("primitives")]
    return {which: checked(alphas, primitives)[0] for which, alphas in arrays.items()}, primitives


def op_weights(alphas: np.ndarray) -> np.ndarray:
    """Softmax over the last axis: the weights of the ops. Args: alphas, (..., ops).

    Example:
        >>> kp.analysis.op_weights(np.log([[1.0, 3.0]])).tolist()
        [[0.25, 0.75]]
    """
    shifted = np.exp(alphas - np.max(alphas, axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def edge_ends(edge, inputs=2):
    """(source state, node) of a row of alpha: rows go node by node; a node reads the inputs and all nodes before it."""
    node = 0
    while edge >= node + inputs:
        edge, node = edge - node - inputs, node + 1
    return edge, node


def edge_row(source, node, inputs=2):
    """The row of alpha of the edge from a source state to a node: the inverse of `edge_ends`."""
    return Topology(inputs=inputs).edge_row(source, node)


def edge_name(edge, inputs=2):
    r"""Row 0 is "$c_{k-2}$ → 0", row 4 is "0 → 1"; with one input row 0 is "$c_{k-1}$ → 0"."""
    source, node = edge_ends(edge, inputs)
    return f"{f'$c_{{k-{inputs - source}}}$' if source < inputs else source - inputs} → {node}"


def genotype_weights(genotype: Genotype, alphas: Mapping[str, np.ndarray], primitives: Sequence[str]) -> dict:
    """The weights of the ops that a genotype took, for `plot_genotype`.

    Args:
        genotype: a Genotype read off `alphas`.
        alphas: {"normal": (edges, ops), "reduce": (edges, ops)}, before the softmax.
        primitives: op names of the columns.

    Returns:
        {"normal": one number a pair, "reduce": one number a pair}.

    Raises:
        ValueError: an op of the genotype is not among the primitives, or an edge not among the rows.

    Example:
        >>> genotype = kp.genotypes.random(("skip_connect", "sep_conv_3x3"), nodes=1)
        >>> alphas = {kind: np.zeros((2, 2)) for kind in ("normal", "reduce")}
        >>> weights = kp.analysis.genotype_weights(genotype, alphas, ("skip_connect", "sep_conv_3x3"))
        >>> [float(weight) for weight in weights["normal"]]
        [0.5, 0.5]
    """
    return {
        which: [
            _pair_weight(alpha, primitives, edge_row(pair[1], node, genotype.inputs), pair[0])
            for node, pairs in enumerate(genotype.cell(which).nodes)
            for pair in pairs
        ]
        for which, alpha in alphas.items()
    }


def _pair_weight(alpha, primitives, row, op):
    if op == "none" and op not in primitives:
        return 0.0  # stands for an edge that is not there
    if op not in primitives or row >= len(alpha):
        raise ValueError(
            f"The alphas have {len(alpha)} edges and the ops {', '.join(primitives)}. "
            f"Received: {op!r} on edge {row} of a genotype"
        )
    return float(op_weights(np.asarray(alpha)[row])[list(primitives).index(op)])


def favoured(history: np.ndarray, primitives: Sequence[str], edge: int) -> str:
    """The op with the largest weight on an edge at the last epoch, `none` and `skip_connect` left aside.

    Args: as `crossings`. Raises: ValueError, if there is no other op.

    Example:
        >>> kp.analysis.favoured(np.zeros((1, 1, 3)), ("none", "skip_connect", "sep_conv_3x3"), edge=0)
        'sep_conv_3x3'
    """
    history, edge = checked(history, primitives, edge)
    others = [i for i, op in enumerate(primitives) if op not in ("none", "skip_connect")]
    if not others:
        raise ValueError(f"There is no op besides none and skip_connect. Received: {list(primitives)}")
    return primitives[max(others, key=lambda i: history[-1, edge, i])]


def crossings(history: np.ndarray, primitives: Sequence[str], edge: int) -> list:
    """Where the favoured op of an edge and skip_connect change places (PIBConv paper, Fig. 3a).

    Args:
        history: alphas before the softmax, (epochs, edges, ops); row 0 is epoch 0.
        primitives: op names of the columns, skip_connect among them.
        edge: row of alpha.

    Returns:
        List of epochs, interpolated between rows; empty where they never cross. See `favoured`.

    Raises:
        ValueError: shapes and primitives differ, the edge does not exist, or there is no skip_connect.

    Example:
        >>> history = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])  # epochs 0 and 1 of one edge
        >>> kp.analysis.crossings(history, ("skip_connect", "sep_conv_3x3"), edge=0)
        [0.5]
    """
    history, edge = checked(history, primitives, edge)
    if "skip_connect" not in primitives:
        raise ValueError(f"There is no skip_connect to cross. Received: primitives={list(primitives)}")
    weights, column = op_weights(history[:, edge]), list(primitives).index
    gap = weights[:, column(favoured(history, primitives, edge))] - weights[:, column("skip_connect")]
    rows = np.flatnonzero(gap)  # A tie is on neither side: passing through one is one crossing, in its middle.
    flips = [(a, b) for a, b in itertools.pairwise(rows) if gap[a] * gap[b] < 0]
    return [float((a + b) / 2 if b - a > 1 else a + gap[a] / (gap[a] - gap[b])) for a, b in flips]


def checked(history, primitives, edge=0):
    """`history` as an array of shape (epochs, edges, ops) that fits the primitives, and the edge.

    Raises:
        ValueError: they do not fit.
    """
    history = np.asarray(history, "float64")
    if history.ndim != 3 or not history.size or history.shape[2] != len(primitives):
        raise ValueError(
            f"Alphas of {len(primitives)} ops have shape (epochs, edges, {len(primitives)}). "
            f"Received: shape {history.shape}"
        )
    if not 0 <= edge < history.shape[1]:
        raise ValueError(f"Edges are 0 to {history.shape[1] - 1}. Received: edge={edge}")
    return history, int(edge)
