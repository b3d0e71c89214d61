"""Draw the cells of a genotype; of a run directory also how its weights, losses and errors moved."""

import os
from pathlib import Path

import keras_pibnas as kp
from keras_pibnas.cli import common, flags

CELLS = {"normal": "normal", "reduce": "reduction"}
KINDS = ("cells", "alphas", "edge", "heatmap", "curves", "error")


def build_parser():
    parser = flags.Parser("plot", __doc__, genotype="PIBCONV")
    parser.add_argument("--out", metavar="DIR", help="where the pictures go; None: the run directory, or pictures")
    parser.add_argument(
        "--engine",
        choices=("matplotlib", "graphviz"),
        default="matplotlib",
        help="what draws the cells; graphviz, through keras.utils.plot_model, shows no weights",
    )
    parser.add_argument(
        "--edge",
        type=int,
        help="row of alpha, from 0: also draw the weights of that edge alone, with the crossings of its "
        "favoured op and skip_connect (run directory of a search)",
    )
    parser.add_argument(
        "--only",
        choices=KINDS,
        nargs="+",
        help="draw these alone: the paper's Fig. 3a is edge (with --edge), Fig. 4 cells, Fig. 6 error; None: all",
    )
    return parser


def main(argv=None):
    parser = build_parser()
    args = flags.parse(parser, argv)
    run = Path(args.genotype) if os.path.isdir(args.genotype) else None
    with common.user_errors(parser):
        genotype = common.resolve_genotype(args.genotype)
        alphas = read_alphas(run, args.edge)
        history = run and run / "history.csv"
        out = Path(args.out or run or "pictures")
        kinds = chosen(args, alphas, history)
        files = draw_cells(genotype, alphas, out, args.engine) if "cells" in kinds else {}
        files |= draw_alphas(alphas, out, args.edge, kinds) if alphas else {}
        files |= draw_history(history, out, kinds) if history and history.is_file() else {}
        if not files:
            raise ValueError(f"{history} has no accuracies. Received: --only {' '.join(args.only)}")
    common.summary(f"Pictures of {args.genotype}:", out, files)


def chosen(args, alphas, history):
    """The kinds of pictures to draw.

    Raises:
        ValueError: one was asked for that needs what is not there.
    """
    for kind in args.only or ():
        if kind == "edge" and args.edge is None:
            raise ValueError("--only edge needs the number of one: --edge. Received: --only edge")
        if kind in ("alphas", "edge", "heatmap") and not alphas:
            raise ValueError(f"It needs the run directory of a search, with its alphas.npz. Received: --only {kind}")
        if kind in ("curves", "error") and not (history and history.is_file()):
            raise ValueError(f"It needs a run directory, with its history.csv. Received: --only {kind}")
    return set(args.only or KINDS)


def read_alphas(run, edge):
    """What `kp.analysis.read_alphas` returns for a run directory of a search, else None."""
    path = run and run / "alphas.npz"
    alphas = kp.analysis.read_alphas(path) if path and path.is_file() else None
    if edge is None:
        return alphas
    if alphas is None:
        raise ValueError(f"--edge needs the run directory of a search, with its alphas.npz. Received: {edge}")
    edges = alphas[0]["normal"].shape[1]
    if edge not in range(edges):
        raise ValueError(f"Edges of this search are 0 to {edges - 1}. Received: --edge {edge}")
    return alphas


def draw_cells(genotype, alphas, out, engine):
    """Draws both cells, with the weights of their ops where there are alphas. Returns {file: what it is}."""
    files = {f"{CELLS[which]}.png": f"{CELLS[which]} cell" for which in genotype.cells}
    if engine == "graphviz":
        for which in genotype.cells:
            with_graphviz(genotype, which, out / f"{CELLS[which]}.png")
        return files
    weights = None
    if alphas:
        history, primitives = alphas
        last = {which: rows[-1] for which, rows in history.items()}
        weights = kp.analysis.genotype_weights(genotype, last, primitives)
    kp.analysis.plot_genotype(genotype, out, weights)
    return files


def with_graphviz(genotype, which, path):
    try:
        kp.analysis.plot_cell_graphviz(genotype, which, path)
    except ImportError as error:
        raise ValueError(f"--engine=graphviz: {error}") from None


def draw_alphas(alphas, out, edge, kinds):
    """Draws the weights of the ops over the epochs of a search. Returns {file: what it is}."""
    history, primitives = alphas
    files = {}
    inputs = 2 if "reduce" in history else 1
    for which in history:
        name = CELLS[which]
        if "alphas" in kinds:
            path = kp.analysis.alpha_curves(history[which], primitives, out / f"alphas_{name}.png", inputs=inputs)
            files[path.name] = f"weights of the ops over the epochs, {name} cell"
        if "edge" in kinds and edge is not None:
            path = out / f"alphas_{name}_edge{edge}.png"
            kp.analysis.alpha_curves(history[which], primitives, path, edge, inputs)
            files[path.name] = f"edge {edge} alone{crossing(history[which], primitives, edge)}"
        if "heatmap" in kinds:
            path = kp.analysis.alpha_heatmap(history[which][-1], primitives, out / f"heatmap_{name}.png", inputs)
            files[path.name] = f"the weights after the last epoch, {name} cell"
    return files


def crossing(history, primitives, edge):
    """Where the favoured op and skip_connect change places, in words."""
    if "skip_connect" not in primitives:
        return ""
    favoured = kp.analysis.favoured(history, primitives, edge)
    epochs = ", ".join(f"{epoch:.1f}" for epoch in kp.analysis.crossings(history, primitives, edge))
    return (
        f"; {favoured} crosses skip_connect at epoch {epochs}" if epochs else f"; {favoured} never crosses skip_connect"
    )


def draw_history(history, out, kinds):
    """Draws losses, accuracies and errors over the epochs. Returns {file: what it is}."""
    columns = kp.analysis.read_history(history)
    files = {}
    if "curves" in kinds:
        kp.analysis.training_curves(columns, out / "curves.png")
        files["curves.png"] = "losses and accuracies over the epochs"
    if "error" in kinds and any(name.endswith("accuracy") for name in columns):
        kp.analysis.error_curve(columns, out / "error.png")
        files["error.png"] = "top-1 error over the epochs"
    return files
