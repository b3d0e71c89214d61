"""Cells as Keras models, which `keras.utils.plot_model` draws through graphviz."""

import shutil
from pathlib import Path

import keras

from keras_pibnas.analysis.cells import read_cell
from keras_pibnas.genotypes import Genotype

INSTALL = (
    "keras.utils.plot_model needs graphviz and pydot. Install them with `apt-get install graphviz` (macOS: "
    "`brew install graphviz`) and `pip install pydot`, or draw with matplotlib: `plot_cell`."
)


def cell_model(genotype: Genotype | str, which: str = "normal", channels: int = 16) -> keras.Model:
    """A functional model with the graph of a cell, its layers named after the ops, to draw or summarize.

    An op is an identity of its name ("sep_conv_3x3", "sep_conv_3x3_2", ...); nodes add, "c_k" concatenates.

    Args:
        genotype, which: as in `plot_cell`.
        channels: of the two input states.

    Returns:
        keras.Model from two inputs (B, H, W, channels) to (B, H, W, channels * concatenated states), and to
        the nodes that nothing reads, if there are any.

    Example:
        >>> kp.analysis.cell_model("DARTS_V2", "normal").output_shape
        (None, None, None, 64)
    """
    cell, taken = read_cell(genotype, which), {}
    states = [keras.Input((None, None, channels), name=f"c_k-{back}") for back in range(cell.inputs, 0, -1)]
    inputs = list(states)
    for node, pairs in enumerate(cell.nodes):
        branches = [keras.layers.Identity(name=_unique(op, taken))(states[source]) for op, source in pairs]
        states.append(_node(branches, f"node_{node}"))
    kept = [states[state] for state in cell.concat]
    join = keras.layers.Concatenate if len(kept) > 1 else keras.layers.Identity
    outputs = [join(name="c_k")(kept if len(kept) > 1 else kept[0])]
    read = {source for _, source in cell.pairs} | set(cell.concat)
    nodes = enumerate(states[cell.inputs :], cell.inputs)
    outputs += [state for number, state in nodes if number not in read and state is not None]
    return keras.Model(inputs, outputs if len(outputs) > 1 else outputs[0], name=f"{which}_cell")


def _node(branches, name):
    """The sum of what enters a node; None where nothing does."""
    return keras.layers.Add(name=name)(branches) if branches else None


def plot_cell_graphviz(genotype: Genotype | str, which: str = "normal", path: str | Path = "cell.png") -> Path:
    """Draws a cell with `keras.utils.plot_model`.

    Args:
        genotype, which: as in `plot_cell`.
        path: where to write the picture; its suffix is the format.

    Returns:
        The path.

    Raises:
        ImportError: graphviz's `dot` or pydot is missing; the message says how to install them.

    Example:
        >>> import shutil
        >>> if shutil.which("dot"):
        ...     path = kp.analysis.plot_cell_graphviz("DARTS_V2", "normal", "cell.png")
    """
    if not graphviz_works():
        raise ImportError(INSTALL)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    keras.utils.plot_model(cell_model(genotype, which), to_file=str(path), show_layer_names=True, rankdir="LR", dpi=120)
    return path


def graphviz_works():
    """Whether graphviz's `dot` is on the path and pydot can be imported."""
    try:
        import pydot  # noqa: F401
    except ImportError:
        return False
    return shutil.which("dot") is not None


def _unique(op, taken):
    """Layer names of a model differ: the second op of a name gets "_2"."""
    taken[op] = taken.get(op, 0) + 1
    return op if taken[op] == 1 else f"{op}_{taken[op]}"
