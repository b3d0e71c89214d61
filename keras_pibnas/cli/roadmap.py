"""Search and train every step of the paper's roadmap (Fig. 1), and draw accuracy and GMACs along it.

Each step is a search space; its cell is searched and trained in a directory of its own. After an interruption, --resume
goes on with what is not done; with other --steps it adds to what is there.
"""

import json
import shutil
import sys
import time
from argparse import Namespace
from pathlib import Path

import keras

import keras_pibnas as kp
from keras_pibnas.cli import common, flags, long_runs, search, tables, train

# Search space -> what the step changes, and whether the paper keeps the change.
STEPS = {
    "darts": ("DARTS: ReLU, BN", True),
    "darts_gelu": ("GELU for ReLU", True),
    "darts_layernorm": ("LayerNorm for BN", False),
    "convnext": ("ConvNeXt block", False),
    "pibconv": ("PIBConv block", True),
}
# Flags of search and train that all steps share, and those that stand here as --search-... and --train-...
SHARED = ("dataset", "data_dir", "side", "resize", "stream", "stem", "seed")
SEARCHED = ("nodes", "order", "hvp", "remat", "alpha_learning_rate")
STAGES = {
    "search": {"layers": 3, "channels": 8, "batch_size": 32, "epochs": 5, "learning_rate": 0.025},
    "train": {
        "layers": [3], "channels": 8, "batch_size": 32, "epochs": 10, "learning_rate": 0.025,
        "cutout": 0, "drop_path": 0.0, "auxiliary": 0.0,
    },
}  # fmt: skip
SETTINGS = (*SHARED, *SEARCHED, *(f"{stage}_{name}" for stage, names in STAGES.items() for name in names))
PRESETS = {
    "paper": {
        **{name: search.PRESETS["paper"][name] for name in ("dataset", "side")},
        **{"nodes": 4, "order": 2, "alpha_learning_rate": 3e-4},
        **{f"search_{name}": search.PRESETS["paper"][name] for name in STAGES["search"]},
        **{f"train_{name}": train.PRESETS["paper"][name] for name in STAGES["train"]},
        "train_layers": [train.PRESETS["paper"]["layers"]],
    }
}


def build_parser():
    parser = flags.Parser(
        "roadmap", __doc__, flags.IMAGE_FLAGS, dataset="digits", data_dir=None, side=8, stem="conv3x3", seed=0,
        nodes=2, order=1, hvp="exact", remat=False, alpha_learning_rate=3e-3, out=None, preset=None,
    )  # fmt: skip
    parser.add_argument(
        "--steps", nargs="+", default=list(STEPS), metavar="SPACE",
        help="search spaces along the road; pibconv_f3.5 is PIBConv with F = 3.5",
    )  # fmt: skip
    for stage, defaults in STAGES.items():
        for name, default in defaults.items():
            flag = flags.FLAGS[name] | {"help": f"{stage}: {flags.FLAGS[name]['help']}"}
            if isinstance(default, list):
                flag |= {"nargs": "+", "metavar": "N"}
                flag["help"] += "; of several, the most accurate network counts"
            parser.add_argument(f"--{stage}-{name.replace('_', '-')}", default=default, **flag)
    parser.add_argument(
        "--resume", type=flags.home, metavar="DIR", help="directory of a roadmap to go on with, with its settings"
    )
    return parser


def main(argv=None):
    parser = build_parser()
    args = flags.parse(parser, argv, PRESETS)
    with common.user_errors(parser):
        if args.resume:
            args = long_runs.settings_again(parser, argv, args, "roadmap", SETTINGS, ("steps", "preset"))
        check(args)
        directory = Path(args.resume) if args.resume else kp.runs.create_run_directory(args.out, "roadmap", vars(args))
    kp.runs.write_json(directory / "config.json", {"command": "roadmap", **vars(args)})
    try:
        walk(directory, args)
    except (KeyboardInterrupt, SystemExit) as stop:
        print(f"{parser.prog}: the whole roadmap goes on with --resume {directory}", file=sys.stderr)
        sys.exit(getattr(stop, "code", 130))
    return directory


def check(args):
    """Builds what the steps will need once, so that a wrong value is met before the first search.

    Raises:
        ValueError: a step, or a setting of search or training, is wrong.
    """
    searching, training = stage_args("search", args), stage_args("train", args)
    splits = common.load_images(args)
    search.batches(splits.halves(seed=args.seed), searching)
    train.batches(splits, training)
    for name in args.steps:
        for op in kp.spaces.get(name).primitives:
            for stage in (searching, training):
                kp.spaces.build_op(op, stage.channels)
    first = kp.spaces.get(args.steps[0])
    search.build(splits, 1, Namespace(**vars(searching) | {"space": first.name}))
    genotype = kp.genotypes.random(first.primitives, args.nodes)
    for layers in args.train_layers:
        train.build(genotype, splits, 1, Namespace(**vars(training) | {"layers": layers}))
    keras.backend.clear_session()


def stage_args(stage, args):
    """The flags of search or train, as that command would read them."""
    own = {name: getattr(args, f"{stage}_{name}") for name in STAGES[stage]}
    shared = SHARED + SEARCHED if stage == "search" else SHARED
    command = search if stage == "search" else train
    default = vars(command.build_parser().parse_args([]))
    return Namespace(**default | {name: getattr(args, name) for name in shared} | own)


def walk(directory, args):
    """Goes through the steps; after each, the table and the picture are those of all that are done."""
    started, walked = time.monotonic(), 0
    for number, space in enumerate(args.steps, 1):
        print(f"\nStep {number} of {len(args.steps)}: {space} ({label(space)})", flush=True)
        if (directory / space / "result.json").is_file():
            print("done before")
            continue
        take(space, directory / space, args)
        walked += 1
        left = (time.monotonic() - started) / walked * undone(directory, args.steps)
        report(directory, args.steps, f", about {kp.runs.duration(left)} left" if left else "")
    if not walked:
        report(directory, args.steps)
    common.summary("The roadmap's directory holds:", directory, FILES)


def undone(directory, steps):
    return sum(not (directory / space / "result.json").is_file() for space in steps)


def take(space, directory, args):
    """One step: searches a cell, trains its network at every depth, writes `result.json`."""
    genotype = run(search, stage_args("search", args), {"space": space}, directory / "search")
    found = []
    for layers in args.train_layers:
        more = {"layers": layers, "genotype": genotype}
        run(train, stage_args("train", args), more, directory / f"train_{layers}")
        found.append(measured(directory / f"train_{layers}") | {"layers": layers})
    best = max(found, key=lambda row: row["accuracy"])
    kp.runs.write_json(directory / "result.json", {"space": space, **best, "trained": found})


def run(command, settings, more, out):
    """Runs search or train into `out`, from where it stood, unless it came to its end. Returns `out`."""
    if all((out / name).exists() for name in command.FILES):
        return out
    keras.backend.clear_session()
    if (out / "config.json").is_file():
        command.main([f"--resume={out}"])
        return out
    shutil.rmtree(out, ignore_errors=True)
    command.main(kp.runs.words({**vars(settings), **more, "out": out}))
    return out


def measured(directory):
    """Test accuracy in percent, parameters and MACs of the network that a training left."""
    result = json.loads((directory / "result.json").read_text(encoding="utf-8"))
    count = kp.analysis.complexity(keras.saving.load_model(directory / "model.keras", compile=False))
    return {
        "accuracy": 100 * result["test_accuracy"],
        "params": count.params,
        "macs": count.macs,
        "gmacs": count.ptflops_macs / 1e9,
    }


def label(space):
    return STEPS.get(space, (space, True))[0]


def report(directory, steps, left=""):
    """Prints, writes and draws the steps that are done, in their order."""
    rows = []
    for space in steps:
        path = directory / space / "result.json"
        if path.is_file():
            result = json.loads(path.read_text(encoding="utf-8"))
            kept = STEPS.get(space, (space, True))[1]
            rows.append({"name": label(space), "kept": kept} | {key: result[key] for key in COLUMNS})
    kp.runs.atomic_write(directory / "roadmap.csv", tables.table(rows, "csv") + "\n")
    kp.analysis.roadmap_plot(rows, directory / "roadmap.png")
    print(f"\n{len(rows)} of {len(steps)} steps done{left}\n{tables.table(list(shown(rows)))}")


def shown(rows):
    """The rows of the terminal's table; "change" is that of the accuracy since the last step that was kept."""
    before = None
    for row in rows:
        change = "" if before is None else f"{row['accuracy'] - before:+.2f}"
        before = row["accuracy"] if row["kept"] or before is None else before
        yield {
            "step": row["name"],
            "space": row["space"],
            "layers": row["layers"],
            "accuracy (%)": f"{row['accuracy']:.2f}",
            "change": change,
            "parameters": row["params"],
            "conv+linear MACs": row["macs"],
            "GMAC (table)": f"{row['gmacs']:.3g}",
            "": "" if row["kept"] else "given up in the paper",
        }


COLUMNS = ("space", "layers", "accuracy", "params", "macs", "gmacs")
FILES = {
    "roadmap.png": "accuracy and MACs (in the paper's convention) along the road; hollow: given up in the paper",
    "roadmap.csv": "the same as numbers",
    "config.json": "the command's arguments, for --resume",
}
# Besides: a directory a step, with the run directories of search (search) and train (train_<layers>).
