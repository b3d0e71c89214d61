"""Train genotypes over a grid of layers, channels, sides, kernel sizes and seeds, side by side.

Each trial has a directory of its own and is done when its result.json is there. After an interruption, --resume goes
on with what is not done; with other values for the grid it adds to what is there.
"""

import statistics
from pathlib import Path

import keras_pibnas as kp
from keras_pibnas.cli import common, flags, grid, long_runs, tables, train
from keras_pibnas.runs import trials

GRID = ("genotype", "layers", "channels", "side", "kernel", "seeds")
# Flags of train that are the same for all trials of a sweep.
SETTINGS = (
    "dataset", "data_dir", "resize", "stream", "stem", "batch_size", "epochs", "learning_rate", "cutout",
    "drop_path", "auxiliary",
)  # fmt: skip
PRESETS = {
    "paper": {
        **{name: value for name, value in train.PRESETS["paper"].items() if name in SETTINGS},
        "layers": [20, 15, 10, 8, 7, 6, 5, 4, 3, 2],
        "channels": [36],
        "side": [32],
    }
}
LIMITS = {
    "max_params": ("params", "trainable parameters"),
    "max_macs": ("macs", "MACs of an image"),
    "max_activation_memory": ("activation_memory", "bytes that activations of an image take at most at one moment"),
}


def build_parser():
    parser = flags.Parser(
        "sweep", __doc__, flags.IMAGE_FLAGS, flags.CLUSTER_FLAGS, dataset="digits", data_dir=None, stem="conv3x3",
        batch_size=64, epochs=20, learning_rate=0.025, cutout=0, drop_path=0.0, auxiliary=0.0, out=None, preset=None,
    )  # fmt: skip
    flag = flags.FLAGS
    many = {"nargs": "+", "metavar": "N"}
    parser.add_argument(
        "--genotype", nargs="+", default=["DARTS_V2", "PIBCONV"], help="each " + flag["genotype"]["help"]
    )
    for name, default in (("layers", [2, 3, 4]), ("channels", [8]), ("side", [16])):
        parser.add_argument(f"--{name}", default=default, **flag[name], **many)
    parser.add_argument(
        "--kernel", default=["own"], choices=("own", "3", "5", "7"), nargs="+",
        help="kernel size of the convolutions; own: as the genotype says; ops without that size keep theirs",
    )  # fmt: skip
    parser.add_argument("--seeds", type=flags.seed, default=[0], help="a training from each seed", **many)
    for name, (_, what) in LIMITS.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=flags.amount, metavar="AMOUNT",
            help=f"leave out networks with more {what}: 5000, 1.5M, 100KiB",
        )  # fmt: skip
    parser.add_argument(
        "--bytes-per-value", type=int, choices=(1, 2, 4), default=4,
        help="of activations: 4 for float32, 1 for int8",
    )  # fmt: skip
    parser.add_argument("--log-error", action="store_true", help="pictures: space accuracies by the log of the error")
    parser.add_argument(
        "--resume", type=flags.home, metavar="DIR", help="directory of a sweep to go on with, with its settings"
    )
    return parser


def main(argv=None):
    grid.leave_devices()
    parser = build_parser()
    args = flags.parse(parser, argv, PRESETS)
    with common.user_errors(parser):
        if args.resume:
            args = long_runs.settings_again(parser, argv, args, "sweep", (*SETTINGS, "bytes_per_value"), GRID)
        networks = grid.networks(args)
        shapes = {side: images(args, side) for side in dict.fromkeys(args.side)}
        jobs, machine = common.places(args)
        directory = Path(args.resume) if args.resume else kp.runs.create_run_directory(args.out, "sweep", vars(args))
    kp.runs.write_json(directory / "config.json", {"command": "sweep", **vars(args)})

    def cost(network):
        return grid.costs(network, *shapes[network.side], args.stem, args.bytes_per_value)

    runner = trials.Runner(directory, {name: getattr(args, name) for name in SETTINGS}, jobs, machine)
    for network, costs in runner.count(networks, cost):
        over = exceeded(costs, args)
        if over:
            print(f"left out: {network.name} has {over}")
        else:
            runner.add(network, costs, args.seeds)
    finished = runner.run()
    report(directory, [row for row in trials.results(directory) if not exceeded(row, args)], args.log_error)
    if not finished:
        parser.exit(130, f"\nInterrupted. Go on with: {parser.prog} --resume {directory}\n")
    if runner.failed:
        again = f"--resume {directory} tries them again"
        parser.exit(1, f"{parser.prog}: trials that failed: {len(runner.failed)}; {again}\n")
    return directory


def images(args, side):
    """(shape (H, W, C), number of classes) of the data set, after a check of what the trials will ask of it."""
    splits = common.load_images(args, side)
    splits.batches("train", args.batch_size, augment=True, cutout=args.cutout, drop_remainder=True)
    return splits.input_shape, splits.num_classes


def exceeded(costs, args):
    """The first limit that the costs of a network exceed, in words; nothing where it is within all."""
    for flag, (cost, _) in LIMITS.items():
        limit = getattr(args, flag)
        if limit is not None and costs[cost] > limit:
            return f"{costs[cost]:,} {cost.replace('_', ' ')}, more than {limit:,}"
    return ""


def report(directory, rows, log_error):
    """Prints a table of the networks that were trained, draws them, and says where the files are."""
    if not rows:
        print("No trial is done yet.")
        return
    kp.runs.atomic_write(directory / "results.csv", tables.table(rows, "csv") + "\n")
    print(f"\n{tables.table(averages(rows))}")
    named = [{**row, "genotype": series(row, rows)} for row in rows]
    for cost in ("layers", "params", "macs"):
        kp.analysis.accuracy_plot(named, directory / f"accuracy_{cost}.png", cost, log_error)
    common.summary("The sweep's directory holds:", directory, FILES)


def averages(rows):
    """A row a network: the mean accuracy of its seeds, and by which costs it is on the Pareto front."""
    networks = dict.fromkeys(row["network"] for row in rows)
    groups = [[row for row in rows if row["network"] == network] for network in networks]
    means = [statistics.mean(row["accuracy"] for row in group) for group in groups]
    fronts = {
        cost: kp.analysis.pareto_front([(group[0][cost], mean) for group, mean in zip(groups, means, strict=True)])
        for cost in trials.COSTS
    }
    return [
        {name: group[0][name] for name in ("genotype", "kernel", "layers", "channels", "side", *trials.COSTS)}
        | {"seeds": len(group), "accuracy (%)": f"{mean:.2f}"}
        | {"Pareto front of": ", ".join(cost for cost, front in fronts.items() if number in front)}
        for number, (group, mean) in enumerate(zip(groups, means, strict=True))
    ]


def series(row, rows):
    """The name of a row's line in a picture: the genotype, and what else differs besides the layers."""
    parts = {"kernel": "kernel", "channels": "C", "side": "side"}
    differing = [name for name in parts if len({str(each[name]) for each in rows}) > 1]
    return ", ".join([row["genotype"], *(f"{parts[name]} {row[name]}" for name in differing)])


FILES = {
    "accuracy_layers.png": "accuracy against layers, with the Pareto front",
    "accuracy_params.png": "the same against parameters",
    "accuracy_macs.png": "the same against MACs",
    "results.csv": "a line a trial",
    "trials": "a directory a trial: its result, its log, and the run directory of train with the model",
    "config.json": "the command's arguments, for --resume",
}
