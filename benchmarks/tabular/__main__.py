"""Builds a table of all cells of a small space: `python -m benchmarks.tabular build --out DIR --to FILE.npz`."""

import argparse
from dataclasses import fields

from keras_pibnas import tabular
from keras_pibnas.tabular import OPS, CellSpace, Settings


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tabular", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="train all cells, in processes side by side; goes on after a kill")
    spread = commands.add_parser("spread", help="the spread over some cells and over their seeds, before a build")
    for command in (build, spread):
        add_settings(command)
    build.add_argument("--out", required=True, metavar="DIR", help="directory of what is trained")
    build.add_argument("--to", metavar="FILE.npz", help="where the table goes; None: DIR/table.npz")
    build.add_argument("--seeds", type=int, default=2, help="trainings of every cell")
    build.add_argument("--more-seeds", type=int, default=1, help="further trainings of every fifth cell")
    build.add_argument("--take", metavar="TABLE", help="take what this table, trained in the same way, knows already")
    build.add_argument("--jobs", type=int, default=2, help="processes")
    spread.add_argument("--cells", type=int, default=24, help="cells drawn at random")
    spread.add_argument("--seeds", type=int, default=3, help="trainings of each")
    check = commands.add_parser("check", help="train some cells of a table again: do they meet it?")
    check.add_argument("--table", default="digits", help="a table that is shipped, or a file")
    check.add_argument("--cells", type=int, default=3, help="cells drawn at random")
    worker = commands.add_parser("worker", help="what `build` starts")
    for name in ("out", "share", "shard"):
        worker.add_argument(f"--{name}", required=True)
    args = parser.parse_args(argv)
    try:
        return RUN[args.command](args)
    except ValueError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


def add_settings(parser):
    parser.add_argument("--ops", nargs="+", default=list(OPS), metavar="OP", help="what an edge chooses from")
    for field in fields(Settings):
        kind = field.type if isinstance(field.type, type) else str  # text or None
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default)


def settings_of(args):
    return Settings(**{field.name: getattr(args, field.name) for field in fields(Settings)}), CellSpace(args.ops)


def run_build(args):
    from benchmarks.tabular import build

    settings, space = settings_of(args)
    settings.splits()  # fails before the workers do
    build.begin(args.out, settings, space, args.seeds, args.more_seeds)
    if args.take:
        print(f"{build.take(args.out, tabular.load(args.take))} trainings taken from {args.take}")
    if not build.build(args.out, args.jobs):
        raise SystemExit(f"Not done. Go on with the same command: {len(build.left(args.out))} trainings are left")
    print(build.finish(args.out, args.to or f"{args.out}/table.npz"))


def run_spread(args):
    from benchmarks.tabular import build

    one_thread()
    build.spread(*settings_of(args), args.cells, args.seeds, lambda text: print(text, flush=True))


def run_check(args):
    from benchmarks.tabular import build

    one_thread()
    if not build.check(tabular.load(args.table), args.cells, lambda text: print(text, flush=True)):
        raise SystemExit("They do not meet the table.")


def run_worker(args):
    from benchmarks.tabular import build

    one_thread()
    build.work(args.out, args.share, args.shard)


def one_thread():
    """Small images: further threads wait for each other, and processes side by side have the cores."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


RUN = {"build": run_build, "spread": run_spread, "check": run_check, "worker": run_worker}

if __name__ == "__main__":
    main()
