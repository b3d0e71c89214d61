"""The trials of a sweep: a grid of networks and seeds, what each costs, and where its files are."""

import contextlib
import hashlib
import itertools
import json
import re
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import keras

import keras_pibnas as kp
from apps import common, processes
from keras_pibnas import topology

COSTS = ("params", "macs", "activation_memory")


@dataclass(frozen=True)
class Network:
    """A point of the grid without its seed.

    Attributes:
        label: what tables and pictures call the genotype.
        genotype: with kernels of the trial's size.
        kernel: that size, or "own".
        layers, channels, side: as in apps.train.
    """

    label: str
    genotype: kp.Genotype
    kernel: str
    layers: int
    channels: int
    side: int

    @property
    def name(self):
        """Letters, digits and dashes, different for different networks."""
        digest = hashlib.sha256(self.genotype.to_json().encode()).hexdigest()[:6]
        kernel = "" if self.kernel == "own" else f"-k{self.kernel}"
        label = re.sub(r"[^A-Za-z0-9_.]+", "-", self.label)
        return f"{label}-{digest}{kernel}-l{self.layers}-c{self.channels}-s{self.side}"

    def costs(self, input_shape, num_classes, stem, bytes_per_value):
        """{params, macs, activation_memory}: trainable parameters, MACs and bytes, for one image.

        Raises:
            ValueError: the network cannot be built or counted.
        """
        keras.backend.clear_session()
        model = kp.build_network(self.genotype, input_shape, num_classes, self.channels, self.layers, stem)
        count = kp.analysis.complexity(model)
        memory = kp.analysis.peak_activation_memory(model, bytes_per_value=bytes_per_value)
        return {"params": count.params, "macs": count.macs, "activation_memory": memory}


def grid(args):
    """The networks of a sweep, the shallow ones first.

    Raises:
        ValueError: a genotype is none, has no ops of a kernel size, or layers or channels are no network's.
    """
    genotypes = {label(text, number): common.resolve_genotype(text) for number, text in enumerate(args.genotype)}
    axes = itertools.product(sorted(args.layers), args.side, args.channels, args.kernel, genotypes.items())
    networks = [
        Network(name, variant(genotype, kernel), kernel, layers, channels, side)
        for layers, side, channels, kernel, (name, genotype) in axes
    ]
    for network in networks:
        topology.plan(network.layers, network.channels)
    return list(dict.fromkeys(networks))


def label(text, number):
    """A short name of what --genotype was given: its name, its path, or its number."""
    if text in kp.genotypes.names():
        return text
    return f"genotype {number + 1}" if "(" in text or "{" in text else text.removesuffix("/genotype.json")


def variant(genotype, kernel):
    return genotype if kernel == "own" else kp.analysis.with_kernel_size(genotype, int(kernel))


@dataclass(frozen=True)
class Trial:
    """A network trained from one seed, in a directory of its own."""

    network: Network
    seed: int
    sweep: Path

    @property
    def name(self):
        return f"{self.network.name}-seed{self.seed}"

    @property
    def directory(self):
        return self.sweep / "trials" / self.name

    @property
    def done(self):
        return (self.directory / "result.json").is_file()

    def command(self, python, settings):
        """The words that train it, and the path of its log. What an interrupted training left is cleared away.

        Args:
            python: the interpreter.
            settings: {flag of apps.train: value}, the same for all trials.
        """
        shutil.rmtree(self.directory / "run", ignore_errors=True)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.network.genotype.save(self.directory / "genotype.json")
        flags = {
            **settings, "genotype": self.directory / "genotype.json", "layers": self.network.layers,
            "channels": self.network.channels, "side": self.network.side, "seed": self.seed,
            "out": self.directory / "run",
        }  # fmt: skip
        words = [f"--{name.replace('_', '-')}={value}" for name, value in flags.items() if value is not None]
        return [python, "-m", "apps.train", *words], self.directory / "log.txt"

    def finish(self, costs):
        """Writes the trial's result, whole or not at all: from then on it counts as done.

        Raises:
            OSError: the training left no result.
        """
        trained = json.loads((self.directory / "run" / "result.json").read_text(encoding="utf-8"))
        network = {name: getattr(self.network, name) for name in ("kernel", "layers", "channels", "side")}
        row = {"network": self.network.name, "genotype": self.network.label, **network, "seed": self.seed, **costs}
        row |= {"accuracy": 100 * trained["test_accuracy"], "training_seconds": trained["training_seconds"]}
        kp.callbacks.write_json(self.directory / "result.json", row)
        return row

    def last_line(self):
        """The last line of the log, or nothing."""
        path = self.directory / "log.txt"
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        lines = [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
        return lines[-1] if lines else "no output"


def results(sweep):
    """The rows of all trials that are done, shallow networks first."""
    paths = sorted(Path(sweep).glob("trials/*/result.json"))
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return sorted(rows, key=lambda row: (row["layers"], row["channels"], row["side"]))


class Runner:
    """Counts networks, trains their trials side by side, and tells how far it is.

    Args:
        sweep: the directory.
        settings: {flag of apps.train: value}, the same for all trials.
        jobs: trainings at a time.
    """

    def __init__(self, sweep, settings, jobs):
        self.sweep, self.settings, self.jobs = sweep, settings, jobs
        self.costs, self.trials, self.failed, self.ended = {}, {}, [], 0

    def count(self, networks, shapes, bytes_per_value):
        """Yields (network, its costs); one that cannot be counted is reported as failed."""
        known = {row["network"]: {cost: row[cost] for cost in COSTS} for row in results(self.sweep)}
        for network in networks:
            try:
                yield (
                    network,
                    known.get(network.name)
                    or network.costs(*shapes[network.side], self.settings["stem"], bytes_per_value),
                )
            except ValueError as error:
                self._fail(network.name, common.one_line(error))

    def add(self, network, costs, seeds):
        """Adds the trials of a network, one a seed, that are not done."""
        for trial in [Trial(network, seed, self.sweep) for seed in dict.fromkeys(seeds)]:
            if trial.done:
                print(f"done before: {trial.name}")
            else:
                self.costs[trial.name], self.trials[trial.name] = costs, trial

    def run(self):
        """Trains. Returns whether all trials were tried: False after an interruption."""
        self.started = time.monotonic()
        commands = {name: trial.command(sys.executable, self.settings) for name, trial in self.trials.items()}
        print(f"Trials to train: {len(commands)}, {self.jobs} at a time: {self.sweep}", flush=True)
        return processes.run_side_by_side(commands, self.jobs, self._ended, self._waiting)

    def _ended(self, name, status):
        trial, self.ended = self.trials[name], self.ended + 1
        try:
            if status:
                raise OSError(f"exit status {status}: {trial.last_line()}")
            row = trial.finish(self.costs[name])
        except OSError as error:
            self._fail(name, f"{common.one_line(error)} ({trial.directory / 'log.txt'})")
        else:
            self._tell(f"{name}: {row['accuracy']:.2f}% in {kp.callbacks.duration(row['training_seconds'])}")

    def _fail(self, name, why):
        self.failed.append(name)
        self._tell(f"FAILED {name}: {why}")

    def _tell(self, what):
        todo = len(self.trials) - self.ended
        left = (time.monotonic() - self.started) / self.ended * todo if self.ended else 0
        more = f", about {kp.callbacks.duration(left)} left" if left else ""
        print(f"[{self.ended} of {len(self.trials)}{more}] {what}", flush=True)

    def _waiting(self, names):
        for name in names:
            print(f"training {name}: {self.trials[name].last_line()}", flush=True)


def leave_devices():
    """Leaves accelerators to the trainings: counting needs none, and TensorFlow would take all of their memory."""
    import tensorflow as tf

    with contextlib.suppress(RuntimeError):  # they are in use already
        tf.config.set_visible_devices([], "GPU")
