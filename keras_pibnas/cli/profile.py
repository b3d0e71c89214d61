"""Measure networks on this machine: parameters, MACs, peak activation memory, latency in all and layer by layer."""

import sys
from dataclasses import asdict, replace
from pathlib import Path

import keras

import keras_pibnas as kp
from keras_pibnas.cli import common, flags, tables
from keras_pibnas.runs.files import write_table


def build_parser():
    parser = flags.Parser("profile", __doc__, layers=8, channels=16, side=32, stem="conv3x3", out=None)
    parser.add_argument(
        "model", nargs="*", help="a .keras file or run directory of train, or a genotype to build untrained"
    )
    parser.add_argument(
        "--table", metavar="FILE", help="in place of models: measure each op at each place, for search --target-latency"
    )
    parser.add_argument("--space", default="pibconv", help="search space whose ops --table measures")
    parser.add_argument("--image-channels", type=flags.positive, default=3, help="channels of a genotype's input")
    parser.add_argument("--classes", type=flags.positive, default=10, help="classes of a genotype's network")
    parser.add_argument("--batch-size", type=flags.positive, default=1, help="images at a time")
    parser.add_argument("--repeats", type=flags.positive, default=30, help="runs that a median is of")
    parser.add_argument("--breakdown", type=int, default=10, help="rows of the slowest layers; 0: none, -1: all")
    parser.add_argument("--format", choices=tables.STYLES, default="text", help="of the tables")
    return parser


def main(argv=None):
    parser = build_parser()
    args = flags.parse(parser, argv)
    if args.table:
        return measure_table(parser, args)
    with common.user_errors(parser):
        if not args.model:
            raise ValueError("Models to measure are missing, or --table FILE")
        models = [resolve(text, args) for text in args.model]
        directory = kp.runs.create_run_directory(args.out, "profile", vars(args))
    profiles = []
    for name, model in models:
        with common.user_errors(parser):  # a layer that cannot be counted
            found = kp.analysis.profile(model, args.batch_size, args.repeats, progress(name))
        profiles.append(replace(found, name=name))
    roofs = kp.analysis.machine_roofs()
    write(directory, profiles, roofs)
    report(directory, profiles, roofs, args)
    return directory


def measure_table(parser, args):
    """Measures the ops of a space wherever they can stand in a network of that size, and writes the table."""
    with common.user_errors(parser):
        if args.model or args.out:
            raise ValueError(f"--table measures the ops of --space alone. Received: {args.model or args.out}")
        shape = (args.side, args.side, args.image_channels)
        places = kp.methods.places(args.space, shape, args.channels, args.layers, stem=args.stem)
        table = kp.analysis.latencies(places, args.batch_size, args.repeats, progress(args.space))
        rows = kp.methods.latency_rows(table)
        write_table(args.table, rows)
    slowest = sorted(rows, key=lambda row: -float(row["seconds"]))
    shown = slowest if args.breakdown < 0 else slowest[: args.breakdown]
    if shown:
        print(f"\n{len(shown)} of {len(rows)} ops at their places, the slowest first, batches of {args.batch_size}")
        print(tables.table(shown, args.format))
    print(f"\nwritten: {args.table}")
    return Path(args.table)


def resolve(text, args):
    """(name, model): from a file, a run directory, or built from a genotype."""
    path = Path(text, "model.keras") if Path(text, "model.keras").is_file() else Path(text)
    if path.suffix == ".keras":
        if not path.is_file():
            raise ValueError(f"There is no such file. Received: {text}")
        return str(path), keras.saving.load_model(path, compile=False)
    genotype = common.resolve_genotype(text)
    model = kp.build_network(genotype, common.image_shape(args), args.classes, args.channels, args.layers, args.stem)
    return text if len(text) < 40 else "genotype", model


def progress(name):
    """Says how far a model is: on a terminal on one line that moves, elsewhere in ten lines at most."""

    def show(done, total):
        if sys.stdout.isatty():
            print(f"\r{name}: layer {done} of {total}", end="\n" if done == total else "", flush=True)
        elif done == total or done % max(1, -(-total // 10)) == 0:
            print(f"{name}: layer {done} of {total}", flush=True)

    return show


def write(directory, profiles, roofs):
    found = {"operations_per_second": roofs[0], "bytes_per_second": roofs[1], "models": [asdict(p) for p in profiles]}
    kp.runs.write_json(directory / "profile.json", found)
    kp.analysis.roofline_plot(profiles, roofs, directory / "roofline.png")


def report(directory, profiles, roofs, args):
    print()
    print(tables.table([whole(profile) for profile in profiles], args.format))
    for profile in profiles if args.breakdown else ():
        slowest = sorted(profile.layers, key=lambda layer: -layer.seconds)
        shown = slowest if args.breakdown < 0 else slowest[: args.breakdown]
        print(f"\n{profile.name}: {len(shown)} of {len(slowest)} layers, the slowest first")
        print(tables.table([row(layer, profile) for layer in shown], args.format))
    files = {"profile.json": "all numbers", "roofline.png": "which layers wait for arithmetic, which for memory"}
    speed = f"{roofs[0] / 1e9:.1f} G operations/s, {roofs[1] / 1e9:.1f} GB/s"
    common.summary(f"Batches of {args.batch_size}; this machine reaches {speed}.", directory, files)


def whole(profile):
    low, high = profile.quartiles
    return {
        "model": profile.name,
        "parameters": profile.params,
        "MACs": profile.macs,
        "peak activations (KiB)": round(profile.peak_memory / 1024, 1),
        "ms": round(profile.seconds * 1e3, 3),
        "quartiles (ms)": f"{low * 1e3:.3f}-{high * 1e3:.3f}",
        "layers' sum (ms)": round(sum(layer.seconds for layer in profile.layers) * 1e3, 3),
    }


def row(layer, profile):
    share = layer.seconds / max(sum(other.seconds for other in profile.layers), 1e-12)
    return {
        "layer": layer.name,
        "kind": layer.kind,
        "parameters": layer.params,
        "MACs": layer.macs,
        "ms": round(layer.seconds * 1e3, 3),
        "share": f"{share:.1%}",
    }
