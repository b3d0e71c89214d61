"""How a search takes a genotype from a trained supernet: by its alphas, by perturbation, or by shared weights."""

import contextlib
import json

import keras_pibnas as kp
from keras_pibnas.cli import common, long_runs
from keras_pibnas.cli.flags import called, switch
from keras_pibnas.runs.files import write_table
from keras_pibnas.runs.trouble import Signals
from keras_pibnas.training import tasks

BATCHES = 10  # of validation data, on which sampled genotypes are compared; as published


def by_sharing(args):
    """Whether genotypes are drawn and compared by shared weights, as nothing else is learned."""
    return isinstance(kp.methods.get(args.method).relaxation, kp.methods.Uniform)


def by_alphas(args):
    return args.select == "alphas" and not by_sharing(args)


def check(args):
    """Raises ValueError where flags do not go together: none is taken and ignored."""
    alone = {
        "projection_epochs": ("--select perturbation", args.select == "perturbation"),
        "samples": ("--method random_sharing", by_sharing(args)),
    }
    for name, (what, there) in alone.items():
        if getattr(args, name) is not None and not there:
            raise ValueError(f"{switch(name)} belongs to {what}. Received: {switch(name)}={getattr(args, name)}")
    if by_sharing(args):
        alphas = ("skip_limit", "stable_epochs", "eigenvalues")
        wrong = [name for name in alphas if getattr(args, name) is not None]
        wrong += ["eigenvalue_stop"] if args.eigenvalue_stop else []
        wrong += ["select"] if args.select != "alphas" else []
        if wrong:
            raise ValueError(
                f"--method {args.method} learns no alphas: it draws genotypes, see --samples. "
                f"Received: {long_runs.flags(wrong)}"
            )


def select(supernet, pairs, valid, directory, prog, args, configure):
    """The genotype that a trained supernet is searched for. Args: configure: as `search.configure`."""
    if by_sharing(args):
        return ranked(supernet, valid, directory, prog, args)
    if args.select == "perturbation":
        return projected(supernet, pairs, valid, directory / "projection", prog, args, configure)
    return supernet.genotype()


def projected(supernet, pairs, valid, directory, prog, args, configure):
    """By perturbation: decisions with training between, from a tenth of the learning rate on; it goes on, too."""
    if kp.runs.is_chief():
        directory.mkdir(exist_ok=True)
    saved = long_runs.checkpoint(directory, "search", pairs, args, run_directory=directory.parent)
    projection = kp.methods.Projection(
        supernet, valid, args.projection_epochs or 10, seed=args.seed, callbacks=[saved], **measure(args)
    )
    configure(supernet, args.learning_rate / 10, projection.epochs * len(pairs), args)
    print(f"Deciding edges in {len(projection.rounds)} rounds, with {projection.epochs} epochs: {directory}")
    recorders = [kp.callbacks.HistoryRecorder(directory), *common.progress_callbacks(directory, args.batch_size)]

    def run():
        return projection.run(
            pairs, [*recorders, saved], validation_data=valid, shuffle=False, verbose=common.verbosity()
        )

    genotype = long_runs.run_with_exit_status(run, saved, directory, prog, args)
    if kp.runs.is_chief():
        rows = [dict(zip(("cell", "edge", "op"), triple, strict=True)) for triple in projection.fixed]
        kp.runs.write_json(directory / "decisions.json", rows)
    return genotype


def measure(args):
    """The metric of --task by which edges are decided and genotypes ranked."""
    task = tasks.get(args.task)
    return {"monitor": task.monitor, "mode": task.mode}


def ranked(supernet, valid, directory, prog, args):
    """By shared weights: the best of random genotypes. What was compared before a kill is not compared again."""
    go_on = f"{called('search')} --resume {directory}"
    samples = args.samples or 1000
    print(f"Comparing {samples} genotypes by the shared weights: {directory / 'ranking.jsonl'}", flush=True)
    try:
        with contextlib.closing(Known(directory / "ranking.jsonl", go_on)) as known:
            part = valid.take(BATCHES).cache()
            found = kp.methods.rank_genotypes(
                supernet, part, valid, samples, seed=args.seed, known=known, **measure(args)
            )
    except kp.runs.Interrupted as stop:
        long_runs.leave(directory, prog, stop, 128 + stop.number)
    if kp.runs.is_chief():
        metric = tasks.get(args.task).monitor
        names = f"{metric}_of_all", f"{metric}_of_part", "sample", "genotype"
        rows = [(each.whole, each.part, each.number, each.genotype) for each in found]
        write_table(directory / "ranking.csv", [dict(zip(names, row, strict=True)) for row in rows])
    return found[0].genotype


class Known(dict):
    """Numbers by name that are also lines of a file: those of a run before are there. Signals end it between two.

    Args: path; go_on: how to go on, for the text of `Interrupted`.
    """

    def __init__(self, path, go_on):
        rows = whole_lines(path)
        super().__init__((row["name"], row["value"]) for row in rows)
        self.file, self.go_on, self.signals = None, go_on, Signals()
        if kp.runs.is_chief():
            kp.runs.atomic_write(path, "".join(json.dumps(row) + "\n" for row in rows))  # a torn last line is gone
            self.file = open(path, "a", encoding="utf-8")
        self.signals.watch()

    def __setitem__(self, name, value):
        super().__setitem__(name, value)
        if self.file is not None:
            self.file.write(json.dumps({"name": name, "value": value}) + "\n")
            self.file.flush()
        if self.signals.received:
            raise kp.runs.Interrupted(
                f"Stopped after {len(self)} comparisons; everything is saved. To go on: {self.go_on}",
                self.signals.received,
            )

    def close(self):
        self.signals.release()
        if self.file is not None:
            self.file.close()


def whole_lines(path):
    """The JSON objects of a .jsonl file up to the first line that a killed process left unfinished."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else ():
        if not line.endswith("\n"):
            break
        rows.append(json.loads(line))
    return rows


def files(args):
    """What the run directory holds because of the selection: {name: what it is}."""
    if by_sharing(args):
        return {
            "ranking.csv": "the genotypes that were drawn, the best first, with what they reach by the shared weights",
            "ranking.jsonl": "the same comparisons in their order, where --resume goes on",
        }
    if args.select == "perturbation":
        return {"projection": "the selection by perturbation: decisions.json, history.csv and checkpoints"}
    return {}
