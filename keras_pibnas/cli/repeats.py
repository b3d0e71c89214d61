"""Searches from several seeds side by side, of which the best result is kept. DARTS (arXiv:1806.09055), section 3.1."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import keras_pibnas as kp
from keras_pibnas.cli import common, grid, stages, tables, train
from keras_pibnas.cli.flags import CLUSTER_FLAGS, switch
from keras_pibnas.runs.processes import last_line, run_side_by_side
from keras_pibnas.training import tasks

OWN = ("repeats", "select_by", "short_epochs", *CLUSTER_FLAGS)
MOVED = ("dataset", "data_dir")  # what a run that goes on may find at another place


def check(args):
    """(Processes at a time, where they are started) as `common.places` has them; a ValueError if flags disagree."""
    default = {name: row["default"] for name, row in CLUSTER_FLAGS.items()}
    given = [name for name in OWN[1:] if getattr(args, name) != default.get(name)]
    if given and args.repeats is None:
        raise ValueError(f"{switch(given[0])} belongs to --repeats. Received: {switch(given[0])} without it")
    if args.short_epochs is not None and args.select_by == "search":
        raise ValueError("--short-epochs belongs to --select-by short. Received: --select-by=search")
    if args.repeats is not None and kp.distribution.cluster()[0] > 1:
        raise ValueError(
            "Repeats start processes of their own, and TF_CONFIG makes this process one of several. "
            f"Received: TF_CONFIG, --repeats={args.repeats}"
        )
    return common.places(args)


@dataclass(frozen=True)
class Repeat:
    """A search from one seed, and the short training of what it found, in a directory of their own."""

    seed: int
    directory: Path
    task: tasks.Task

    def words(self, command, flags, moved):
        """The words that run or go on with "search" or "train", and the path of their log."""
        run = self.directory / command
        if (run / "config.json").is_file():
            flags = moved | {"resume": run}
        else:
            flags = flags | {"out": run}
        self.directory.mkdir(parents=True, exist_ok=True)
        return [sys.executable, "-m", "keras_pibnas", command, *kp.runs.words(flags)], self.directory / f"{command}.log"

    @property
    def genotype(self):
        return kp.Genotype.load(self.directory / "search" / "genotype.json")

    def result(self, command):
        """The task's metric on the validation half: of the supernet after "search", of the network after "train"."""
        run, metric = self.directory / command, self.task.monitor
        if command == "train":
            return json.loads((run / "result.json").read_text(encoding="utf-8"))[f"test_{metric}"]
        return float(kp.runs.read_table(last_stage(run) / "history.csv")[-1][f"val_{metric}"])

    def shown(self, command):
        """`result` in words: of what should be high, which is from 0 to 1, in percent."""
        return f"{self.result(command):.2%}" if self.task.mode == "max" else f"{self.result(command):.4g}"


def last_stage(run):
    """The directory that a search's last supernet has recorded in."""
    return max(run.glob("stage_*"), default=run, key=lambda path: int(path.name.rpartition("_")[2]))


def main(parser, args, directory, jobs, machine=None):
    """Searches, trains each result for a short time, keeps the best, and returns the directory.

    Args: parser: of the search, without a preset's defaults; directory: of all repeats; jobs, machine: of `check`.
    """
    grid.leave_devices()
    seeds, task = range(args.seed, args.seed + args.repeats), tasks.get(args.task)
    repeats = [Repeat(seed, directory / f"seed_{seed}", task) for seed in seeds]
    moved, by = {name: getattr(args, name) for name in MOVED}, "search" if args.select_by == "search" else "train"
    for command in ("search", "train")[: 1 + (by == "train")]:
        flags = {"search": of_search, "train": of_training}[command]
        todo = {repeat: repeat.words(command, flags(parser, args, repeat), moved) for repeat in repeats}
        finished, failed = run(directory, command, todo, jobs, machine)
        if not finished:
            parser.exit(130, f"\nInterrupted. Go on with: {parser.prog} --resume {directory}\n")
        if failed:
            again = f"--resume {directory} tries them again"
            parser.exit(1, f"{parser.prog}: {command} failed from {failed} of {len(repeats)} seeds; {again}\n")
    return report(directory, repeats, by)


def of_search(parser, args, repeat):
    """Flags of a repeat's search: those that are not as by default, whoever set them."""
    left_out = {*OWN, "out", "resume", "preset", "seed", *(["layers"] if stages.staged(args) else [])}
    own = {name: value for name, value in vars(args).items() if name not in left_out}
    return {name: value for name, value in own.items() if value != parser.get_default(name)} | {"seed": repeat.seed}


def of_training(parser, args, repeat):
    """Flags of a short training: all on the same halves of the images and from one seed; only the genotype differs."""
    trains = train.build_parser()
    left_out = {"out", "resume", "preset"}
    shared = {action.dest for action in trains._actions} & set(vars(args)) - left_out
    own = {name: getattr(args, name) for name in sorted(shared) if getattr(args, name) != trains.get_default(name)}
    genotype = repeat.directory / "search" / "genotype.json"
    epochs = args.short_epochs or args.epochs
    return own | {"epochs": epochs, "genotype": genotype, "measure_on": "valid", "seed": args.seed}


def run(directory, command, commands, jobs, machine=None):
    """Runs a command of each repeat where it has not ended well: (whether all were tried, how many failed).

    Args: commands: {Repeat: (words, path of the log)}; jobs: at a time; machine: where they run, None for here.
    """
    done, failed = Done(directory / "done.json"), []
    todo = {f"seed {r.seed}": (r, words) for r, words in commands.items() if not done.has(command, r)}
    logs = {name: log for name, (_, (_, log)) in todo.items()}

    def ended(name, status):
        repeat = todo[name][0]
        if status:
            failed.append(name)
            print(f"FAILED {command}, {name}: exit status {status}: {last_line(logs[name])} ({logs[name]})", flush=True)
            return
        done.add(command, repeat)
        print(f"{command}, {name}: {repeat.task.monitor} {repeat.shown(command)} on the validation half", flush=True)

    def waiting(names):
        for name in names:
            print(f"{command}, {name}: {last_line(logs[name])}", flush=True)

    at_once = min(jobs, max(1, len(todo)))
    print(f"{command}: {len(todo)} of {len(commands)} to do, {at_once} at a time: {directory}", flush=True)
    finished = run_side_by_side(
        {name: words for name, (_, words) in todo.items()}, jobs, ended, waiting, machine=machine
    )
    return finished, len(failed)


class Done:
    """Which commands have ended well, in a file: [[command, seed], ...]."""

    def __init__(self, path):
        self.path = path
        self.pairs = json.loads(path.read_text()) if path.is_file() else []

    def has(self, command, repeat):
        return [command, repeat.seed] in self.pairs

    def add(self, command, repeat):
        self.pairs.append([command, repeat.seed])
        kp.runs.write_json(self.path, self.pairs)


def report(directory, repeats, by):
    """Keeps the genotype of the best repeat, of equal ones the first, and shows all; returns the directory."""
    choose = max if repeats[0].task.mode == "max" else min
    best = choose(repeats, key=lambda repeat: repeat.result(by))
    rows = [row_of(repeat, by) | {"kept": "yes" if repeat is best else ""} for repeat in repeats]
    genotypes = [row | {"genotype": repeat.genotype} for row, repeat in zip(rows, repeats, strict=True)]
    kp.runs.atomic_write(directory / "repeats.csv", tables.table(genotypes, "csv") + "\n")
    best.genotype.save(directory / "genotype.json")
    kp.analysis.plot_genotype(best.genotype, directory)
    print(f"\n{tables.table(rows)}\n\n{best.genotype}")
    common.summary("The run directory holds:", directory, FILES | {repeat.directory.name: FILE for repeat in repeats})
    return directory


def row_of(repeat, by):
    """What the table shows of a repeat."""
    commands = {"supernet": "search"} | ({"short training": "train"} if by == "train" else {})
    return {"seed": repeat.seed, "skip connections": kp.runs.skip_connections(repeat.genotype)} | {
        f"{head} {repeat.task.monitor}": repeat.shown(command) for head, command in commands.items()
    }


FILE = "the search of a seed, and the short training of what it found, with their logs"
FILES = {
    "genotype.json": "the genotype kept: `train` takes it, or this directory, as --genotype",
    "normal.png": "its normal cell",
    "reduction.png": "its reduction cell",
    "repeats.csv": "metrics and genotypes of all seeds",
    "config.json": "the command's arguments",
    "done.json": "what has ended; --resume does the rest",
}
