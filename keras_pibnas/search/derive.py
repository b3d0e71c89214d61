"""From alphas to a genotype."""

import numpy as np

from keras_pibnas.genotypes import Genotype
from keras_pibnas.spaces import canonical
from keras_pibnas.topology import node_rows


def softmax(alpha):
    """Mixing weights of alphas (edges, ops), as a NumPy array."""
    alpha = np.asarray(alpha, "float64")
    weights = np.exp(alpha - alpha.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def derive_genotype(alpha_normal, alpha_reduce, primitives, nodes):
    """On every node, the two incoming edges with the largest weight of an op other than none, each with that op.

    DARTS, section 2.4. Of equal weights the first edge and the first op win.

    Args: alpha_normal, alpha_reduce: (edges, ops); primitives: op names, by column; nodes.
    """
    concat = tuple(range(2, 2 + nodes))
    cells = [_derive_cell(softmax(alpha), primitives, nodes) for alpha in (alpha_normal, alpha_reduce)]
    return Genotype(cells[0], cells[1], concat, concat)


def _derive_cell(weights, primitives, nodes):
    columns = [i for i, name in enumerate(primitives) if canonical(name) != "none"]
    pairs = []
    for node in range(nodes):
        best = weights[node_rows(node)][:, columns]
        edges = np.argsort(-best.max(axis=1), kind="stable")[:2]
        pairs += [(primitives[columns[best[edge].argmax()]], int(edge)) for edge in edges]
    return tuple(pairs)
