"""What the commands share: flags, one line for a user's mistake, run directories, genotypes by any name."""

import argparse
import contextlib
import os
import re
import sys
from pathlib import Path

import keras

import keras_pibnas as kp


def positive(text):
    """A whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def rate(text):
    """A number above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError
    return value


def seed(text):
    """A whole number that seeds NumPy, Python and TensorFlow."""
    value = int(text)
    if not 0 <= value < 2**32:
        raise ValueError
    return value


UNITS = {
    "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "kB": 10**3, "MB": 10**6, "GB": 10**9,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30,
}  # fmt: skip


def amount(text):
    """A whole number of at least 1, from "5000", "1.5M", "100KiB"."""
    match = re.fullmatch(r"(\d+\.?\d*)\s*([A-Za-z]*)", text)
    value = int(float(match[1]) * UNITS.get(match[2], 0)) if match else 0
    if value < 1:
        raise ValueError
    return value


# As argparse's errors print them.
positive.__name__, rate.__name__, seed.__name__, amount.__name__ = (
    "whole number (1 or more)",
    "number above 0",
    "seed (0 to 2^32 - 1)",
    "amount (such as 5000, 1.5M or 100KiB)",
)

# The same flag means the same in every command; a command chooses its flags and their defaults.
FLAGS = {
    "space": {"help": "search space: one of kp.spaces.names()"},
    "genotype": {"help": "a published name, a genotype file, a run directory, or the printed text"},
    "dataset": {"help": "digits, cifar10, cifar100, a folder of images by class, or an .npz of arrays"},
    "data_dir": {"help": "folder of prepared tensorflow-datasets"},
    "side": {"type": positive, "help": "side of the square images, in pixels"},
    "layers": {"type": positive, "help": "number of cells, at least 2"},
    "channels": {"type": positive, "help": "channels of the first cell"},
    "nodes": {"type": positive, "help": "nodes of a cell, 1 to 8"},
    "order": {"type": int, "choices": (1, 2), "help": "order of the alpha gradient"},
    "hvp": {"choices": ("exact", "finite_difference"), "help": "Hessian-vector product of the second order"},
    "remat": {"action": "store_true", "help": "half the memory, a quarter more time: gradients compute ops again"},
    "stem": {"choices": ("conv3x3", "patchify"), "help": "first layer"},
    "batch_size": {"type": positive, "help": "images a step"},
    "epochs": {"type": positive, "help": "passes over the training images"},
    "learning_rate": {"type": rate, "help": "learning rate of the weights at the first step"},
    "alpha_learning_rate": {"type": rate, "help": "learning rate of the alphas"},
    "cutout": {"type": int, "help": "side in pixels of the square cut out of training images; 0: none"},
    "drop_path": {"type": float, "help": "drop path rate that the last epoch approaches; 0: none"},
    "auxiliary": {"type": float, "help": "weight of the auxiliary head's loss; 0: no head"},
    "seed": {"type": seed, "help": "seed of weights, data order, halves and augmentation"},
    "out": {"metavar": "DIR", "help": "run directory to make; None: the first free one under runs/"},
    "preset": {"choices": ("paper",), "help": "defaults of the paper instead of small ones; flags still win"},
    "devices": {"type": positive, "help": "devices of this machine that share a batch; with TF_CONFIG: all of all"},
    "precision": {
        "choices": ("float32", "mixed_bfloat16", "mixed_float16"),
        "help": "floats of what layers compute; weights, alphas, statistics and losses are float32",
    },
    "resume": {"metavar": "DIR", "help": "run directory to go on in, with its own settings"},
    "checkpoint_minutes": {"type": rate, "help": "minutes between checkpoints within an epoch; each epoch has one"},
    "checkpoint_steps": {"type": positive, "help": "steps between checkpoints within an epoch; None: by time alone"},
    "not_finite": {
        "choices": ("stop", "halve"),
        "help": "where the loss is not finite: stop, or go on from the last checkpoint at half the learning rate",
    },
    "deterministic": {
        "action": "store_true",
        "help": "TensorFlow's deterministic kernels, for the same result to the bit on a GPU too; slower",
    },
    "skip_limit": {"type": positive, "help": "skip connections in the normal cell that end the search; DARTS+: 2"},
    "at_skip_limit": {
        "choices": ("stop", "restore"),
        "help": "at --skip-limit: keep the alphas, or take those of the best epoch below the limit",
    },
    "stable_epochs": {"type": positive, "help": "epochs of unchanged alpha ranking that end the search; DARTS+: 10"},
    "at_least": {"type": positive, "help": "epochs before which --skip-limit and --stable-epochs do not count"},
}


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, exit status 2, and whose help shows the defaults."""

    def __init__(self, command, description, **defaults):
        super().__init__(
            prog=f"python -m apps.{command}",
            description=description,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
            allow_abbrev=False,
        )
        for name, default in defaults.items():
            self.add_argument(f"--{name.replace('_', '-')}", default=default, **FLAGS[name])

    def error(self, message):
        self.exit(2, f"{self.prog}: {one_line(message)} (--help lists the flags)\n")


def parse(parser, argv, presets=None):
    """Arguments of a command; `presets` maps a --preset to the defaults that it sets."""
    if presets:
        parser.set_defaults(**presets.get(parser.parse_known_args(argv)[0].preset, {}))
    return parser.parse_args(argv)


@contextlib.contextmanager
def user_errors(parser):
    """Turns what the library's checks raise inside the block into one line and exit status 2.

    Only reading and checking belongs inside: an error of the training that follows keeps its traceback.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {one_line(error)}\n")


def one_line(message):
    return " ".join(str(message).split())


def resolve_genotype(text):
    """The genotype of a published name, a genotype file, a run directory, or printed text.

    Raises:
        ValueError: it is none of these; the message says what was tried.
    """
    if os.path.isdir(text):
        path = Path(text, "genotype.json")
        if not path.is_file():
            raise ValueError(f"Not a run directory: it holds no genotype.json. Received: {text}")
        return kp.Genotype.load(path)
    if os.path.isfile(text):
        return kp.Genotype.load(text)
    if "(" in text or "{" in text:
        return kp.Genotype.parse(text)
    try:
        return kp.genotypes.get(text)
    except ValueError as error:
        raise ValueError(f"{error}; no file or directory of that name either") from None


def claim(out, kind, config):
    """Makes the run directory and writes `config.json`.

    Args:
        out: a directory that is empty or does not exist; None: runs/<kind>, or runs/<kind>-2, -3, ...
        kind: the command's name.
        config: the command's arguments, as a dictionary that JSON can hold.

    Returns:
        Path of the directory.

    Raises:
        ValueError: the directory holds something.
    """
    directory = free(Path("runs", kind)) if out is None else Path(out)
    if directory.is_dir() and any(directory.iterdir()):
        raise ValueError(f"The directory holds another run: choose a new one with --out. Received: {out}")
    directory.mkdir(parents=True, exist_ok=True)
    kp.callbacks.write_json(directory / "config.json", {"command": kind, **config})
    return directory


def free(path):
    """The path, or the first of path-2, path-3, ... that does not exist."""
    number, candidate = 2, path
    while candidate.exists():
        candidate, number = path.with_name(f"{path.name}-{number}"), number + 1
    return candidate


def cosine(learning_rate, steps, last=0.0):
    """A cosine from `learning_rate` at the first step to `last` after all of them."""
    return keras.optimizers.schedules.CosineDecay(learning_rate, steps, alpha=min(1.0, last / learning_rate))


def cross_entropy():
    """Cross-entropy of logits and integer labels."""
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def watchers(directory, batch_size, pictures=None):
    """Callbacks of every long run: time left, what apps.watch reads, TensorBoard logs; of several machines on one."""
    if not kp.callbacks.is_chief():
        return []
    logs = directory / "tensorboard"
    return [
        kp.callbacks.TimeLeft(),
        kp.callbacks.Progress(directory),
        keras.callbacks.TensorBoard(logs, write_graph=False),
        kp.callbacks.Board(logs, batch_size, pictures),
    ]


def verbosity():
    """Keras's progress bar on a terminal, a line an epoch elsewhere; of several machines on one."""
    if not kp.callbacks.is_chief():
        return 0
    return 1 if sys.stdout.isatty() else 2


def summary(title, directory, files):
    """Prints a title and one line a file of a run directory: its path and what it is."""
    print(f"\n{title}")
    width = max(map(len, files))
    for name, what in files.items():
        print(f"  {directory / name!s:{len(str(directory)) + 1 + width}}  {what}")
