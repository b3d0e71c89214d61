"""The state of a search: ranking and entropy of its alphas, skip connections of its genotype."""

from collections.abc import Sequence

import keras
import numpy as np

from keras_pibnas.genotypes import Genotype
from keras_pibnas.spaces import canonical


def skip_connections(genotype: Genotype, cell: str = "normal") -> int:
    """Number of skip connections in a cell, "normal" or "reduce", of a Genotype.

    Example:
        >>> kp.runs.skip_connections(kp.genotypes.get("DARTS_V2"))
        2
    """
    return sum(canonical(op) == "skip_connect" for op, _ in genotype.cell(cell).pairs)


def alpha_ranking(alphas: Sequence[np.ndarray], primitives: Sequence[str]) -> list:
    """For every cell and edge, the columns of the learnable ops, the largest alpha first: nested lists.

    Args: alphas: arrays (edges, ops); primitives: op names of the columns.

    Example:
        >>> kp.runs.alpha_ranking([np.array([[0.0, 0.1, 0.2]])], ("none", "sep_conv_3x3", "dil_conv_3x3"))
        [[[2, 1]]]
    """
    columns = [i for i, op in enumerate(primitives) if learnable(op)] or list(range(len(primitives)))
    ranks = [np.argsort(-keras.ops.convert_to_numpy(alpha)[:, columns], axis=1, kind="stable") for alpha in alphas]
    return [np.array(columns)[rank].tolist() for rank in ranks]


def learnable(op):
    """Whether an op has weights of its own at stride 1: all but none, skip_connect and pools."""
    name = canonical(op)
    return name not in ("none", "skip_connect") and "_pool_" not in name


def mix_entropy(alpha: np.ndarray) -> float:
    """Mean over the edges of the entropy of the softmax of alphas (edges, ops), in nats.

    Example:
        >>> round(kp.runs.mix_entropy(np.zeros((3, 2))), 4)  # log 2
        0.6931
    """
    shifted = np.exp(alpha - alpha.max(axis=1, keepdims=True))
    weights = shifted / shifted.sum(axis=1, keepdims=True)
    return float(-(weights * np.log(np.maximum(weights, 1e-30))).sum(axis=1).mean())
