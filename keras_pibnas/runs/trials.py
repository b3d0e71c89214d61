"""The trials of a sweep: networks and seeds, what each costs, and where its files are."""

import hashlib
import json
import re
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from keras_pibnas.genotypes import Genotype

from .files import write_json
from .processes import run_side_by_side
from .progress import duration, one_line, words

COSTS = ("params", "macs", "activation_memory")


@dataclass(frozen=True)
class Network:
    """A point of the grid without its seed.

    Attributes:
        label: what tables and pictures call the genotype.
        genotype: with kernels of the trial's size.
        kernel: that size, or "own".
        layers, channels, side: as in `keras-pibnas train`; the side is a number, or text as "64x48".
    """

    label: str
    genotype: Genotype
    kernel: str
    layers: int
    channels: int
    side: int | str

    @property
    def name(self):
        """Letters, digits and dashes, different for different networks."""
        digest = hashlib.sha256(self.genotype.to_json().encode()).hexdigest()[:6]
        kernel = "" if self.kernel == "own" else f"-k{self.kernel}"
        label = re.sub(r"[^A-Za-z0-9_.]+", "-", self.label)
        return f"{label}-{digest}{kernel}-l{self.layers}-c{self.channels}-s{self.side}"


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
            settings: {flag of `keras-pibnas train`: value}, the same for all trials.
        """
        shutil.rmtree(self.directory / "run", ignore_errors=True)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.network.genotype.save(self.directory / "genotype.json")
        flags = {
            **settings, "genotype": self.directory / "genotype.json", "layers": self.network.layers,
            "channels": self.network.channels, "side": self.network.side, "seed": self.seed,
            "out": self.directory / "run",
        }  # fmt: skip
        return [python, "-m", "keras_pibnas", "train", *words(flags)], self.directory / "log.txt"

    def finish(self, costs):
        """Writes the trial's result, whole or not at all: from then on it counts as done.

        Raises:
            OSError: the training left no result.
        """
        trained = json.loads((self.directory / "run" / "result.json").read_text(encoding="utf-8"))
        network = {name: getattr(self.network, name) for name in ("kernel", "layers", "channels", "side")}
        row = {"network": self.network.name, "genotype": self.network.label, **network, "seed": self.seed, **costs}
        row |= {"accuracy": 100 * trained["test_accuracy"], "training_seconds": trained["training_seconds"]}
        write_json(self.directory / "result.json", row)
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
    return sorted(rows, key=lambda row: (row["layers"], row["channels"], _sides(row["side"])))


def _sides(side):
    """(height, width) of 64 or "64x48", by which they are ordered."""
    sides = [int(pixels) for pixels in str(side).split("x")]
    return sides[0], sides[-1]


class Runner:
    """Counts networks, trains their trials side by side, and tells how far it is.

    Args:
        sweep: the directory.
        settings: {flag of `keras-pibnas train`: value}, the same for all trials.
        jobs: trainings at a time.
        machine: as of `processes.run_side_by_side`.
    """

    def __init__(self, sweep, settings, jobs, machine=None):
        self.sweep, self.settings, self.jobs, self.machine = sweep, settings, jobs, machine
        self.costs, self.trials, self.failed, self.ended = {}, {}, [], 0

    def count(self, networks, costs):
        """Yields (network, its costs); one that cannot be counted is reported as failed.

        Args:
            networks: of the grid.
            costs: called with a network, returns {cost: number}; ValueError: it cannot be counted.
        """
        known = {row["network"]: {cost: row[cost] for cost in COSTS} for row in results(self.sweep)}
        for network in networks:
            try:
                yield network, known.get(network.name) or costs(network)
            except ValueError as error:
                self._fail(network.name, one_line(error))

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
        at_once = min(self.jobs, max(1, len(commands)))
        print(f"Trials to train: {len(commands)}, {at_once} at a time: {self.sweep}", flush=True)
        return run_side_by_side(commands, self.jobs, self._ended, self._waiting, machine=self.machine)

    def _ended(self, name, status):
        trial, self.ended = self.trials[name], self.ended + 1
        try:
            if status:
                raise OSError(f"exit status {status}: {trial.last_line()}")
            row = trial.finish(self.costs[name])
        except OSError as error:
            self._fail(name, f"{one_line(error)} ({trial.directory / 'log.txt'})")
        else:
            self._tell(f"{name}: {row['accuracy']:.2f}% in {duration(row['training_seconds'])}")

    def _fail(self, name, why):
        self.failed.append(name)
        self._tell(f"FAILED {name}: {why}")

    def _tell(self, what):
        todo = len(self.trials) - self.ended
        left = (time.monotonic() - self.started) / self.ended * todo if self.ended else 0
        more = f", about {duration(left)} left" if left else ""
        print(f"[{self.ended} of {len(self.trials)}{more}] {what}", flush=True)

    def _waiting(self, names):
        for name in names:
            print(f"training {name}: {self.trials[name].last_line()}", flush=True)
