"""Search a table's space with several methods, and look up how good what they find is among all of its cells.

Each search has a file of its own and is done when that is there: --resume goes on with what is not done, and adds other
methods and seeds to what is there. Beside the methods stands what random choice gives, exactly.
"""

import json
import re
from collections import Counter
from dataclasses import fields
from pathlib import Path

import numpy as np

import keras_pibnas as kp
from keras_pibnas.cli import common, flags, tables, tabular
from keras_pibnas.tabular.searches import Searcher, SearchSettings

# A method in stages has a supernet for each, and one that is no search stands beside all.
METHODS = ("darts", "gdas", "pc_darts", "drnas", "snas", "fair_darts", "beta_darts", "darts_minus", "random_sharing")

# What of a comparison --resume may name anew, and of it what changes a search that is named otherwise.
CHANGES = ("none", "skip_limit", "eigenvalue_stop")
WANTED = ("methods", "orders", "hvp", "seeds", *CHANGES)


def build_parser():
    own = SearchSettings()
    parser = flags.Parser(
        "compare", __doc__, epochs=own.epochs, batch_size=own.batch_size, channels=None,
        learning_rate=own.learning_rate, alpha_learning_rate=own.alpha_learning_rate, out=None,
    )  # fmt: skip
    many = {"nargs": "+"}
    parser.add_argument("--table", default="digits", help=tabular.TABLE_HELP)
    parser.add_argument("--methods", default=list(METHODS), metavar="METHOD", help="of kp.methods.names(), or random: "
                        "no search, what random choice gives, which is printed anyway", **many)  # fmt: skip
    order, hvp = flags.FLAGS["order"], flags.FLAGS["hvp"]
    parser.add_argument("--orders", default=[1], **order, **many)
    parser.add_argument("--hvp", default=["exact"], **hvp, **many)
    parser.add_argument(
        "--seeds", type=seeds, default=[[0, 1, 2]], metavar="SEED", help="numbers, or 0..9 for 0 to 9", **many
    )
    parser.add_argument("--none", action="store_true", help="edges may be none while searching")
    parser.add_argument("--ranked", type=int, default=own.ranked, help="cells that the shared weights rank; 0: none")
    parser.add_argument(
        "--skip-limit", type=flags.positive, help="skip connections in the normal cell that end a search; DARTS+: 2"
    )
    parser.add_argument("--eigenvalue-stop", **flags.CURVATURE_FLAGS["eigenvalue_stop"])
    parser.add_argument("--resume", metavar="DIR", help="directory of a comparison to go on with, with its settings")
    return parser


def seeds(text):
    """The seeds that "3" or "0..9" names."""
    match = re.fullmatch(r"(\d+)(?:\.\.(\d+))?", text)
    if not match:
        raise ValueError
    first = int(match[1])
    return list(range(first, int(match[2] or first) + 1))


def main(argv=None):
    parser = build_parser()
    args = flags.parse(parser, argv)
    with common.user_errors(parser):
        args = resumed(parser, argv, args) if args.resume else args
        table = kp.tabular.load(args.table)
        wanted = runs(args)
        settings = SearchSettings(**{name: getattr(args, name) for name in names()})
        new = not args.resume
        directory = kp.runs.create_run_directory(args.out, "compare", vars(args)) if new else Path(args.resume)
    kp.runs.write_json(directory / "config.json", {"command": "compare", **vars(args)})
    for (method, order, hvp, *stops), todo in wanted.items():
        name = label(method, order, hvp, *stops, args.none)
        if left := [seed for seed in todo if not file_of(directory, name, seed).exists()]:
            search(name, Searcher(table, method, order, hvp, settings), left, stops, directory)
    report(table, directory)
    return directory


def names():
    """The fields of SearchSettings."""
    return [field.name for field in fields(SearchSettings)]


def resumed(parser, argv, args):
    """The arguments of the comparison that is gone on with; what is searched may be given anew (`WANTED`).

    Where any of it is, the flags that change a search (`CHANGES`) are off unless given again.

    Raises:
        ValueError: the directory holds no comparison, or a setting of the searches is another.
    """
    path = Path(args.resume, "config.json")
    config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if config.get("command") != "compare" or args.out:
        what = "--out names a new one, --resume an old one" if args.out else "Not the directory of a comparison"
        raise ValueError(f"{what}. Received: --resume {args.resume}")
    kept = {name: config[name] for name in config if hasattr(args, name) and name not in ("out", "resume")}
    off = {name: parser.get_default(name) for name in CHANGES}
    parser.set_defaults(**dict.fromkeys(WANTED, ...))
    anew = any(getattr(parser.parse_args(argv), name) is not ... for name in WANTED)
    parser.set_defaults(**kept | (off if anew else {}))
    args = parser.parse_args(argv)
    for name in ("table", *names()):
        if name != "none" and getattr(args, name) != kept[name]:
            raise ValueError(
                f"All searches of a comparison share {flags.switch(name)}={kept[name]}; start another one with --out. "
                f"Received: {getattr(args, name)}"
            )
    return args


def runs(args):
    """{(method, order, hvp, skip limit, whether eigenvalues stop it): seeds} of what is to be searched.

    Raises:
        ValueError: an unknown method, or one in stages.
    """
    found = {}
    numbers = sorted({seed for part in args.seeds for seed in part})
    for method in dict.fromkeys(args.methods):
        if method == "random":
            continue
        known = kp.methods.get(method)
        if known.stages:
            raise ValueError(f"A method in stages has a supernet for each, and compare trains one. Received: {method}")
        plain = known.update == "single" or isinstance(known.relaxation, kp.methods.Uniform)
        for order in dict.fromkeys([1] if plain else args.orders):
            for hvp in dict.fromkeys(args.hvp) if order == 2 else ("exact",):
                found[method, order, hvp, args.skip_limit, args.eigenvalue_stop] = numbers
    return found


def label(method, order, hvp, limit, sharp, none):
    """What tables and pictures call a search."""
    parts = [method, f"order {order}"]
    parts += ["finite difference"] if hvp != "exact" else []
    parts += [f"skip limit {limit}"] if limit else []
    parts += ["eigenvalue stop"] if sharp else []
    return ", ".join(parts + (["with none"] if none else []))


def file_of(directory, name, seed):
    return Path(directory, "searches", f"{re.sub('[^a-z0-9_]+', '-', name)}-seed{seed}.json")


def search(name, searcher, todo, stops, directory):
    """Searches from some seeds, and writes a file for each."""
    for seed in todo:
        found = searcher.search(seed, stopping(searcher, *stops))
        entry = searcher.table.entry(found["cell"])
        path = file_of(directory, name, seed)
        path.parent.mkdir(exist_ok=True)
        kp.runs.write_json(path, {"name": name, "seed": seed, "genotype": entry.genotype.normal, **found})
        print(
            f"{name}, seed {seed}: {entry.test:.2%}, better than {entry.percentile:.1f} % of all cells, "
            f"{found['seconds']:.0f} s",
            flush=True,
        )


def stopping(searcher, limit, sharp):
    """The callbacks that end a search before it collapses, and go back to the alphas from before."""
    found = [kp.callbacks.SkipLimit(limit, restore=True, monitor="accuracy")] if limit else []
    if sharp:
        batches = searcher.splits.batches("valid", searcher.settings.batch_size, shuffle=False)
        found += [kp.callbacks.Eigenvalues(batches), kp.callbacks.EigenvalueStop()]
    return found


def results(table, directory):
    """{name: the rows of its searches, with what the table says of the cells found}, in the order of the names."""
    paths = sorted(Path(directory).glob("searches/*.json"))
    rows = [looked_up(table, json.loads(path.read_text(encoding="utf-8"))) for path in paths]
    return {name: [row for row in rows if row["name"] == name] for name in dict.fromkeys(row["name"] for row in rows)}


def looked_up(table, row):
    """A search with the table's figures of the cell that it found, and of those that its shared weights ranked."""
    entry = table.entry(row["cell"])
    ops = [op for op, _ in entry.genotype.normal]
    tau = kp.tabular.kendall_tau(row["scores"], table.mean_test[row["ranked"]]) if row["ranked"] else float("nan")
    figures = {name: getattr(entry, name) for name in ("test", "percentile", "regret", "rank")}
    return row | figures | {"ops": ops, "skips": ops.count("skip_connect"), "tau": tau}


def report(table, directory):
    """Prints the figures of all searches of a comparison beside random choice, and draws them."""
    found = results(table, directory)
    rows = [random_row(table, 1), random_row(table, 4), *(figures(name, rows) for name, rows in found.items())]
    kp.runs.atomic_write(directory / "results.csv", tables.table(rows, "csv") + "\n")
    kp.runs.atomic_write(directory / "results.md", tables.table(rows, "markdown") + "\n")
    print(f"\n{tables.table(rows)}")
    files = dict(FILES)
    if found:
        accuracies = {name: [row["test"] for row in rows] for name, rows in found.items()}
        kp.analysis.results_plot(table.mean_test, accuracies, directory / "results.png")
        kp.analysis.regret_plot(regrets(table, found), directory / "regret.png", table.random_choice()["regret"][0])
    common.summary("The comparison's directory holds:", directory, files)


def figures(name, rows):
    """A method's row: means and standard deviations over its seeds."""
    tests = 100 * np.array([row["test"] for row in rows])
    taus = [row["tau"] for row in rows if not np.isnan(row["tau"])]
    ops = Counter(op for row in rows for op in row["ops"])
    ((most, count),) = ops.most_common(1)
    return {
        "method": name, "seeds": len(rows), "test (%)": f"{tests.mean():.2f}", "sd": f"{_deviation(tests):.2f}",
        "best": f"{tests.max():.2f}", "percentile": f"{np.mean([row['percentile'] for row in rows]):.1f}",
        "regret": f"{100 * np.mean([row['regret'] for row in rows]):.2f}",
        "seconds": f"{np.mean([row['seconds'] for row in rows]):.1f}", "tau": f"{np.mean(taus):.2f}" if taus else "",
        "skips": f"{np.mean([row['skips'] for row in rows]):.1f}",
        "most found": f"{most} {count / ops.total():.0%}",
    }  # fmt: skip


def _deviation(values):
    return values.std(ddof=1) if len(values) > 1 else 0.0


def random_row(table, draws):
    """Random choice as a method's row, exact."""
    chosen = table.random_choice(draws)
    what = "a random cell" if draws == 1 else f"best of {draws} by validation"
    return {
        "method": f"{what} (exact)", "seeds": "", "test (%)": f"{100 * chosen['test'][0]:.2f}",
        "sd": f"{100 * chosen['test'][1]:.2f}", "best": "", "percentile": f"{chosen['percentile'][0]:.1f}",
        "regret": f"{100 * chosen['regret'][0]:.2f}", "seconds": "", "tau": "", "skips": "",
        "most found": "",
    }  # fmt: skip


def regrets(table, found):
    """{name: (seeds, epochs)}; a search that ended early keeps its last cell."""
    best, drawn = table.mean_test.max(), {}
    for name, rows in found.items():
        length = max(len(row["cells"]) for row in rows)
        cells = [row["cells"] + row["cells"][-1:] * (length - len(row["cells"])) for row in rows]
        drawn[name] = best - table.mean_test[np.array(cells)]
    return drawn


FILES = {
    "results.png": "where the cells found lie among all",
    "regret.png": "how far the cell of each epoch is from the best one",
    "results.csv": "the figures, a line a method",
    "results.md": "the same as Markdown",
    "searches": "a file a search: the cell of every epoch, and what the table says of the last",
    "config.json": "the command's arguments, for --resume",
}
