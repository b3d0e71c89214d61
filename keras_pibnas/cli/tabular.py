"""Print what a table of trained cells says, and draw it: accuracy against MACs, with the Pareto front."""

from dataclasses import asdict
from pathlib import Path

import numpy as np

import keras_pibnas as kp
from keras_pibnas.cli import common, flags, tables


def build_parser():
    parser = flags.Parser("tabular", __doc__, genotype=None)
    parser.add_argument("--table", default="digits", help=TABLE_HELP)
    parser.add_argument("--top", type=flags.positive, default=5, help="number of cells to print, the best ones")
    parser.add_argument("--effects", action="store_true", help="print what each op is worth, and cells of equal MACs")
    parser.add_argument("--picture", metavar="FILE.png", help="where to draw accuracy against MACs; None: nowhere")
    return parser


TABLE_HELP = "digits or digits_without_noise, which are shipped, or a file of python -m benchmarks.tabular build"


def main(argv=None):
    parser = build_parser()
    args = flags.parse(parser, argv)
    with common.user_errors(parser):
        table = kp.tabular.load(args.table)
        entry = table.query(common.resolve_genotype(args.genotype)) if args.genotype else None
    print(summary(table))
    print(f"\n{tables.table([row(table.entry(cell)) for cell in table.ranking()[: args.top]])}")
    if args.effects:
        print(f"\nOne op of a cell replaced by another:\n{tables.table(swap_rows(table))}")
        if rows := macs_rows(table):
            print(f"\nCells of equal MACs:\n{tables.table(rows)}")
    if entry:
        print(f"\n{answer(entry)}")
    if args.picture:
        print(kp.analysis.table_plot(table.macs, table.mean_test, Path(args.picture)))


def summary(table) -> str:
    """What the table holds, and how its accuracies spread."""
    images, spread = table.about["images"], table.spread()
    settings = ", ".join(f"{name} {value}" for name, value in asdict(table.settings).items())
    trainings = int((table.test >= 0).sum())
    lines = [
        f"{len(table)} cells of {', '.join(table.space.primitives)}; {trainings} trainings from scratch, "
        f"{kp.runs.duration(table.about['seconds'])} in all ({table.about['processor']})",
        f"Settings: {settings}",
        f"Images: {', '.join(f'{split} {count}' for split, count in images.items())}",
        f"Test accuracy: best {table.mean_test.max():.2%}, median {np.median(table.mean_test):.2%}, worst "
        f"{table.mean_test.min():.2%}",
        f"Interquartile range over cells {100 * spread.cells:.2f} points, standard deviation over seeds of one cell "
        f"{100 * spread.seeds:.2f} points: {spread.ratio:.1f} times",
    ]
    lines.append(rankings(table))
    for draws in (1, 4):
        chosen = table.random_choice(draws)
        what = "A random cell" if draws == 1 else f"The best of {draws} random cells by validation"
        (mean, deviation), (share, _), (regret, _) = (chosen[name] for name in ("test", "percentile", "regret"))
        lines.append(
            f"{what}: expected test accuracy {mean:.2%} (standard deviation {100 * deviation:.2f} points), "
            f"better than {share:.1f} % of all cells, regret {100 * regret:.2f} points"
        )
    return "\n".join(lines)


def rankings(table) -> str:
    """How well one training tells which cells are better."""
    tau = kp.tabular.kendall_tau
    return (
        f"Kendall's tau between test accuracies from seeds 0 and 1: {tau(table.test[:, 0], table.test[:, 1]):.2f}; "
        f"between validation from seed 0 and the mean test accuracy: {tau(table.valid[:, 0], table.mean_test):.2f}"
    )


def row(entry) -> dict:
    """An entry as a row of a table that is printed."""
    first, second = entry.genotype.normal[:2], entry.genotype.normal[2:]
    nodes = (" + ".join(f"{op}({source})" for op, source in pairs) for pairs in (first, second))
    return {
        "rank": entry.rank, **dict(zip(("node 2", "node 3"), nodes, strict=True)),
        "test (%)": f"{100 * entry.test:.2f}", "valid (%)": f"{100 * entry.valid:.2f}", "params": entry.params,
        "MACs": entry.macs,
    }  # fmt: skip


def swap_rows(table):
    """What an op is worth, as rows of a table that is printed."""
    return [
        {"from": row["from"], "to": row["to"], "mean (points)": f"{100 * row['mean']:+.2f}",
         "sd": f"{100 * row['deviation']:.2f}", "better in (%)": f"{100 * row['better']:.0f}", "pairs": row["pairs"]}
        for row in kp.tabular.swaps(table)
    ]  # fmt: skip


def macs_rows(table):
    """Cells of equal MACs, as rows of a table that is printed."""
    return [
        {"MACs": row["macs"], "convolutions": " + ".join(f"{count} {op}" for op, count in row["ops"].items()),
         "cells": row["cells"], "mean test (%)": f"{100 * row['mean']:.2f}", "sd": f"{100 * row['deviation']:.2f}",
         "best": f"{100 * row['best']:.2f}"}
        for row in kp.tabular.equal_macs(table)
    ]  # fmt: skip


def answer(entry) -> str:
    """A sentence on one cell."""
    seeds = ", ".join(f"{value:.2%}" for value in entry.test_seeds)
    return (
        f"This cell: test accuracy {entry.test:.2%} ({seeds}), rank {entry.rank}, better than "
        f"{entry.percentile:.1f} % of all cells, {100 * entry.regret:.2f} points below the best; {entry.params:,} "
        f"parameters, {entry.macs:,} MACs"
    )
