"""Flags of the commands, and the parser that reads them."""

import argparse
import re
import sys
from pathlib import Path

from keras_pibnas.runs import one_line


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

# The same flag means the same in every command; a command chooses its flags of these, and their defaults.
FLAGS = {
    "space": {"help": "search space: one of kp.spaces.names(), or a JSON file of one's own"},
    "genotype": {"help": "a published name, a genotype file, a run directory, or the printed text"},
    "dataset": {"help": "digits, cifar10, cifar100, a folder of images by class, or an .npz of arrays"},
    "data_dir": {"help": "folder of prepared tensorflow-datasets"},
    "side": {"type": positive, "help": "side of the square images, in pixels"},
    "layers": {"type": positive, "help": "number of cells, at least 2"},
    "channels": {"type": positive, "help": "channels of the first cell"},
    "nodes": {"type": positive, "help": "nodes of a cell, 1 to 8; None: the space's own, 4 in those of DARTS"},
    "order": {"type": int, "choices": (1, 2), "help": "order of the alpha gradient"},
    "hvp": {"choices": ("exact", "finite_difference"), "help": "Hessian-vector product of the second order"},
    "remat": {"action": "store_true", "help": "half the memory, a quarter more time: gradients compute ops again"},
    "stem": {"choices": ("conv3x3", "patchify", "imagenet"), "help": "first layers; imagenet: sides from 64"},
    "batch_size": {"type": positive, "help": "images a step"},
    "epochs": {"type": positive, "help": "passes over the training images"},
    "learning_rate": {"type": rate, "help": "learning rate of the weights at the first step"},
    "alpha_learning_rate": {
        "type": rate,
        "help": "learning rate of the alphas; None: 3e-4, or that of an optimizer which the method needs",
    },
    "cutout": {"type": int, "help": "side in pixels of the square cut out of training images; 0: none"},
    "drop_path": {"type": float, "help": "drop path rate that the last epoch approaches; 0: none"},
    "auxiliary": {"type": float, "help": "weight of the auxiliary head's loss; 0: no head"},
    "seed": {"type": seed, "help": "seed of weights, data order, halves and augmentation"},
    "out": {"metavar": "DIR", "help": "run directory to make; None: the first free one under runs/"},
    "preset": {"choices": ("paper",), "help": "defaults of the paper instead of small ones; flags still win"},
}
# Flags of every long run, search and train, with their defaults: a new one is a row here.
RUN_FLAGS = {
    "devices": {
        "default": 1,
        "type": positive,
        "help": "devices of this machine that share a batch; with TF_CONFIG: all of all",
    },
    "precision": {
        "default": "float32",
        "choices": ("float32", "mixed_bfloat16", "mixed_float16"),
        "help": "floats of what layers compute; weights, alphas, statistics and losses are float32",
    },
    "engine": {
        "default": None,
        "choices": ("auto", "plain", "tensorflow"),
        "help": "what computes it; None: what KERAS_PIBNAS_ENGINE says, else the fastest that there is",
    },
    "synchronized": {
        "default": False,
        "action": "store_true",
        "help": "batch statistics of the global batch, as one device has, where several devices share it",
    },
    "deterministic": {
        "default": False,
        "action": "store_true",
        "help": "TensorFlow's deterministic kernels, for the same result to the bit on a GPU too; slower",
    },
    "checkpoint_minutes": {
        "default": 10.0,
        "type": rate,
        "help": "minutes between checkpoints within an epoch; each epoch has one",
    },
    "checkpoint_steps": {
        "default": None,
        "type": positive,
        "help": "steps between checkpoints within an epoch; None: by time alone",
    },
    "not_finite": {
        "default": "stop",
        "choices": ("stop", "halve"),
        "help": "where the loss is not finite: stop, or go on from the last checkpoint at half the learning rate",
    },
    "resume": {"default": None, "metavar": "DIR", "help": "run directory to go on in, with its own settings"},
}
# The same of a search alone.
SEARCH_FLAGS = {
    "learnable_bn": {
        "default": False,
        "action": "store_true",
        "help": "ops' batch normalizations learn gamma and beta in the search, too",
    },
    "method": {"default": "darts", "help": "how alphas become op weights, and more: one of kp.methods.names()"},
    "skip_limit": {
        "default": None,
        "type": positive,
        "help": "skip connections in the normal cell that end the search; DARTS+: 2",
    },
    "at_skip_limit": {
        "default": "stop",
        "choices": ("stop", "restore"),
        "help": "at --skip-limit: keep the alphas, or take those of the best epoch below the limit",
    },
    "stable_epochs": {
        "default": None,
        "type": positive,
        "help": "epochs of unchanged alpha ranking that end the search; DARTS+: 10",
    },
    "at_least": {
        "default": 1,
        "type": positive,
        "help": "epochs before which --skip-limit and --stable-epochs do not count",
    },
}

# Of a search, how a genotype is taken from trained supernets.
SELECTION_FLAGS = {
    "select": {
        "default": "alphas",
        "choices": ("alphas", "perturbation"),
        "help": "ops by their alphas, or by what the trained supernet loses without them (DARTS-PT)",
    },
    "projection_epochs": {
        "default": None,
        "type": positive,
        "help": "epochs of training between two decisions of --select perturbation; None: 10",
    },
    "samples": {
        "default": None,
        "type": positive,
        "help": "genotypes that --method random_sharing draws and compares; None: 1000",
    },
}


def called(command):
    """The words that start a command, as this process was started: "keras-pibnas search", "python -m apps.search"."""
    program = Path(sys.argv[0])
    if program.parent.name == "apps":
        return f"python -m apps.{command}"
    as_module = program.parts[-2:] == ("keras_pibnas", "__main__.py")
    return f"{'python -m keras_pibnas' if as_module else 'keras-pibnas'} {command}"


def switch(name):
    """The flag of an argument: --batch-size of batch_size."""
    return f"--{name.replace('_', '-')}"


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, exit status 2, and whose help shows the defaults.

    Args:
        command: name of the command.
        description: what it does.
        *groups: RUN_FLAGS, SEARCH_FLAGS: all of their flags.
        **defaults: name in FLAGS = default.
    """

    def __init__(self, command, description, *groups, **defaults):
        super().__init__(
            prog=called(command),
            description=description,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
            allow_abbrev=False,
        )
        for name, default in defaults.items():
            self.add_argument(switch(name), default=default, **FLAGS[name])
        for group in groups:
            for name, settings in group.items():
                self.add_argument(switch(name), **settings)

    def error(self, message):
        self.exit(2, f"{self.prog}: {one_line(message)} (--help lists the flags)\n")


def parse(parser, argv, presets=None):
    """Arguments of a command; `presets` maps a --preset to the defaults that it sets."""
    if presets:
        parser.set_defaults(**presets.get(parser.parse_known_args(argv)[0].preset, {}))
    return parser.parse_args(argv)
