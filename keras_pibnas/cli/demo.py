"""The whole way on real data: search a cell, train its network, and say how good it is among all that there are."""

import keras

import keras_pibnas as kp
from keras_pibnas.cli import common, flags, search, tabular
from keras_pibnas.tabular.searches import Searcher, SearchSettings


def build_parser():
    parser = flags.Parser("demo", __doc__, order=2, epochs=20, seed=0, out=None)
    parser.add_argument("--method", default="darts", help="how alphas become op weights: one of kp.methods.names()")
    parser.add_argument("--table", default="digits", help=tabular.TABLE_HELP)
    return parser


def main(argv=None):
    parser = build_parser()
    args = flags.parse(parser, argv)
    with common.user_errors(parser):
        table = kp.tabular.load(args.table)
        searcher = Searcher(table, args.method, args.order, settings=SearchSettings(epochs=args.epochs, ranked=0))
        if searcher.by_shared_weights:
            raise ValueError(f"Shared weights alone choose no genotype. Received: --method {args.method}")
        directory = kp.runs.create_run_directory(args.out, "demo", vars(args))
    print(f"1. Search a cell among the {len(table)} of the table ({args.epochs} epochs)", flush=True)
    genotype = searched(searcher, args.seed, directory / "search")
    print(f"\n{genotype}\n\n2. Train its network as the table's: {table.settings.epochs} epochs", flush=True)
    trained = retrained(table, genotype, args.seed, directory / "searched")
    print("\n3. Look the cell up in the table, which knows them all")
    report(directory, table, table.query(genotype), trained)
    return directory


def searched(searcher, seed, directory):
    """Searches, records and draws the search; the genotype found."""
    directory.mkdir()
    searcher.search(seed, [kp.callbacks.SearchRecorder(directory), kp.callbacks.TimeLeft()])
    search.draw_cells(searcher.supernet, directory)
    kp.analysis.training_curves(directory / "history.csv", directory / "curves.png")
    history, primitives = kp.analysis.read_alphas(directory / "alphas.npz")
    kp.analysis.alpha_curves(history["normal"], primitives, directory / "alphas_normal.png")
    return searcher.supernet.genotype()


def retrained(table, genotype, seed, directory):
    """Trains the network of a genotype and saves it: {"valid", "test"}, accuracies."""
    keras.backend.clear_session()
    directory.mkdir()
    found = kp.tabular.train(table.settings, genotype, seed)
    kp.runs.save_model(found.pop("model"), directory / "model.keras")
    kp.runs.write_json(directory / "result.json", {f"{split}_accuracy": value for split, value in found.items()})
    return found


def report(directory, table, entry, trained):
    """Writes, draws and prints what came out."""
    chosen = {draws: table.random_choice(draws) for draws in (1, 4)}
    result = {
        "test_accuracy": trained["test"], "table_test_accuracy": entry.test, "rank": entry.rank, "cells": len(table),
        "percentile": entry.percentile, "regret": entry.regret, "random_cell_expected": chosen[1]["test"][0],
        "best_of_four_expected": chosen[4]["test"][0],
    }  # fmt: skip
    kp.runs.write_json(directory / "result.json", result)
    kp.analysis.results_plot(table.mean_test, {"this search": [entry.test]}, directory / "among_all.png")
    print(f"Trained here: test accuracy {trained['test']:.2%}. {tabular.answer(entry)}")
    print(f"A random cell: {chosen[1]['test'][0]:.2%} expected; the best of four by validation: "
          f"{chosen[4]['test'][0]:.2%}")  # fmt: skip
    print(verdict(entry, len(table)))
    common.summary("Files:", directory, FILES)


def verdict(entry, cells):
    """How good the cell is, in a sentence."""
    return (
        f"The searched cell is better than {entry.percentile:.0f} % of all {cells} cells, and "
        f"{100 * entry.regret:.2f} points below the best one."
    )


FILES = {
    "search/genotype.json": "the genotype found",
    "search/normal.png": "its normal cell",
    "search/reduction.png": "its reduction cell, which is the same in all",
    "search/alphas_normal.png": "how the weights of the ops moved, normal cell",
    "search/genotypes.jsonl": "the genotype of every epoch",
    "search/curves.png": "losses and accuracies of the search",
    "searched/model.keras": "the trained discrete network, for inference",
    "searched/result.json": "its accuracies",
    "among_all.png": "where it lies among all cells",
    "result.json": "the same as numbers, beside what random choice gives",
}
