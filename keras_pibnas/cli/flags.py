"""Flags of the commands, and the parser that reads them."""

import argparse
import os
import re
import sys
from pathlib import Path

from keras_pibnas.data import RESIZES, TASKS, parse_side
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


def weight(text):
    """A number of at least 0."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError
    return value


def part(text):
    """A number above 0 and at most 1."""
    value = rate(text)
    if value > 1:
        raise ValueError
    return value


def side(text):
    """Pixels of a square image as a number, "64x48" of any other as text, which JSON and file names can hold."""
    sides = parse_side(text)
    if isinstance(sides, int):
        return sides
    return sides[0] if sides[0] == sides[1] else f"{sides[0]}x{sides[1]}"


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


def share(text):
    """A number of at least 0 and below 1."""
    value = float(text)
    if not 0 <= value < 1:
        raise ValueError
    return value


def seconds(text):
    """Seconds above 0, from "0.005", "5ms", "300us"."""
    match = re.fullmatch(r"([\d.]+(?:e-?\d+)?)\s*(s|ms|us|)", text)
    return rate(match[1]) * {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}[match[2]] if match else rate("0")


# As argparse's errors print them.
for convert, name in {
    positive: "whole number (1 or more)",
    rate: "number above 0",
    weight: "number (0 or more)",
    part: "number (above 0, at most 1)",
    share: "number (0 or more, below 1)",
    seconds: "time above 0 (such as 5ms or 0.005)",
    seed: "seed (0 to 2^32 - 1)",
    amount: "amount (such as 5000, 1.5M or 100KiB)",
    side: "side (64, or height x width as 64x48)",
}.items():
    convert.__name__ = name
home = os.path.expanduser  # which a shell leaves undone in --out=~/run

# The same flag means the same in every command; a command chooses its flags of these, and their defaults.
FLAGS = {
    "space": {"help": "search space: one of kp.spaces.names(), or a JSON file of one's own"},
    "genotype": {"type": home, "help": "a published name, a genotype file, a run directory, or the printed text"},
    "dataset": {
        "type": home,
        "help": "digits, a folder of images, an .npz of arrays, or what tensorflow-datasets prepared, as cifar10",
    },
    "data_dir": {"type": home, "help": "folder of prepared tensorflow-datasets"},
    "side": {"type": side, "help": "side of the images, in pixels; height x width of others than square: 64x48"},
    "layers": {"type": positive, "help": "number of cells, at least 2"},
    "channels": {"type": positive, "help": "channels of the first cell"},
    "nodes": {"type": positive, "help": "nodes of a cell, 1 to 8; None: the space's own, 4 in those of DARTS"},
    "order": {"type": int, "choices": (1, 2), "help": "order of the alpha gradient"},
    "hvp": {"choices": ("exact", "finite_difference"), "help": "Hessian-vector product of the second order"},
    "remat": {"action": "store_true", "help": "half the memory, a quarter more time: gradients compute ops again"},
    "stem": {"choices": ("conv3x3", "patchify", "imagenet"), "help": "first layers; imagenet: from 64 pixels up"},
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
    "out": {"type": home, "metavar": "DIR", "help": "run directory to make; None: the first free one under runs/"},
    "preset": {"choices": ("paper",), "help": "defaults of the paper instead of small ones; flags still win"},
}
# Flags of every command that reads images, with their defaults.
IMAGE_FLAGS = {
    "resize": {
        "default": None,
        "choices": RESIZES,
        "help": "what images of other proportions than --side get: their middle, a border of zeros, or other "
        "proportions; None: they are refused",
    },
    "stream": {
        "default": False,
        "action": "store_true",
        "help": "leave images on disk and read them for each batch; without it, where they would fill half the memory",
    },
}
# The same of those that are about what images mean.
TASK_FLAGS = {
    "task": {
        "default": TASKS[0],
        "choices": TASKS,
        "help": "a class, several labels or numbers an image: of labels.csv beside a folder, or y in an .npz",
    },
}
# The same of those that train.
AUGMENT_FLAGS = {
    "augment": {
        "default": "crop",
        "choices": ("crop", "imagenet", "none"),
        "help": "of training images: crop out of a border and flip; imagenet: resized crop, flip and colour jitter",
    },
    "color_distortion": {
        "default": 0.0,
        "type": float,
        "help": "strength of a colour jitter after --augment, at most 1; 0: none; PIBConv on pathology images: 0.3",
    },
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
    "callbacks": {
        "default": None,
        "nargs": "+",
        "metavar": "MODULE:FACTORY",
        "help": "callbacks of your own: FACTORY(directory, settings) gives one Keras callback or a list",
    },
    "resume": {
        "default": None,
        "type": home,
        "metavar": "DIR",
        "help": "run directory to go on in, with its own settings",
    },
}
# The same of the weights' optimizer.
SGD_FLAGS = {
    "momentum": {"default": 0.9, "type": share, "help": "momentum of the weights"},
    "l2": {
        "default": 3e-4,
        "type": weight,
        "help": "L2 term of the weights, in their gradient: what PyTorch's SGD calls weight decay",
    },
    "clipnorm": {"default": 5.0, "type": weight, "help": "largest norm of the weights' gradient; 0: any"},
}
# What search and train share: their groups of flags, and the defaults of others.
RUN_GROUPS = (IMAGE_FLAGS, TASK_FLAGS, AUGMENT_FLAGS, SGD_FLAGS, RUN_FLAGS)
RUN_DEFAULTS = {
    "dataset": "digits", "data_dir": None, "side": 16, "layers": 4, "channels": 8, "stem": "conv3x3", "batch_size": 64,
    "learning_rate": 0.025, "seed": 0, "out": None,
}  # fmt: skip
# The same as RUN_FLAGS, of a training alone.
TRAIN_FLAGS = {
    "decay": {
        "default": None,
        "type": part,
        "help": "factor of the learning rate from epoch to epoch; None: a cosine to 0",
    },
    "label_smoothing": {"default": 0.0, "type": float, "help": "part of each target that is spread over all classes"},
}
# The same, of a search alone.
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
# Of a search, what its optimizers have: by default DARTS's (arXiv:1806.09055, appendix A.1.1).
OPTIMIZER_FLAGS = {
    "learning_rate_min": {
        "default": 0.001,
        "type": weight,
        "help": "learning rate of the weights after the last step, where its cosine ends",
    },
    "alpha_beta_1": {"default": None, "type": share, "help": "decay of the alphas' first moment; None: 0.5"},
    "alpha_beta_2": {"default": None, "type": share, "help": "decay of the alphas' second moment; None: 0.999"},
    "alpha_l2": {"default": None, "type": weight, "help": "L2 term of the alphas; None: 0.001"},
    "alpha_clipnorm": {
        "default": None,
        "type": weight,
        "help": "largest norm of the alphas' gradient; None and 0: any",
    },
}
# Of a search, the limits on what it finds.
TARGET_FLAGS = {
    "target_macs": {"default": None, "type": amount, "help": "MACs that the network found should have, such as 300M"},
    "target_params": {"default": None, "type": amount, "help": "the same in trainable parameters, such as 2M"},
    "target_latency": {"default": None, "type": seconds, "help": "the same in seconds of its ops, such as 5ms"},
    "latencies": {
        "default": None,
        "metavar": "FILE",
        "help": "table of measured seconds for --target-latency, as profile --table writes it",
    },
    "target_channels": {"default": None, "type": positive, "help": "channels of that network; None: 36"},
    "target_layers": {"default": None, "type": positive, "help": "cells of that network; None: 20"},
    "target_weight": {"default": None, "type": rate, "help": "weight of the penalty of each target; None: 1"},
    "target_form": {
        "default": None,
        "choices": ("hinge", "linear", "log"),
        "help": "of the penalty, for an expected cost E and a target T: max(0, E/T - 1), E/T - 1, log E/T; None: hinge",
    },
}
# Of a search, the curvature of its validation loss.
CURVATURE_FLAGS = {
    "eigenvalues": {
        "default": None,
        "type": positive,
        "metavar": "N",
        "help": "every N epochs, measure the largest eigenvalue of the Hessian of the validation loss by the alphas",
    },
    "eigenvalue_stop": {
        "default": False,
        "action": "store_true",
        "help": "end where that eigenvalue grows, and go back to the alphas from before; RobustDARTS: every 2 epochs",
    },
}
SEARCH_FLAGS |= OPTIMIZER_FLAGS | TARGET_FLAGS | CURVATURE_FLAGS

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
    "stage_layers": {
        "default": None,
        "type": positive,
        "nargs": "+",
        "metavar": "N",
        "help": "cells of each stage of a method in stages, such as p_darts; None: as published",
    },
    "stage_ops": {
        "default": None,
        "type": positive,
        "nargs": "+",
        "metavar": "N",
        "help": "ops of an edge in each stage, all of the space's in the first; None: as published",
    },
    "repeats": {
        "default": None,
        "type": positive,
        "help": "searches from so many seeds side by side, of which one is kept; DARTS: 4",
    },
    "select_by": {
        "default": None,
        "choices": ("short", "search"),
        "help": "of --repeats: keep what is best after a short training from scratch, or as a supernet; None: short",
    },
    "short_epochs": {
        "default": None,
        "type": positive,
        "help": "epochs of the short trainings of --repeats; None: as many as of the search; DARTS: 100",
    },
}
# Of a training, what is measured.
MEASURE_FLAGS = {
    "measure_on": {
        "default": "test",
        "choices": ("test", "valid"),
        "help": "images for the accuracy: of the test, or the half of the others on which a search validates",
    },
}


# Where trials run that are independent of each other.
CLUSTER_FLAGS = {
    "jobs": {
        "default": None,
        "type": positive,
        "help": "trials (of search: --repeats) side by side; None: 2, with --cluster as many as it has room for",
    },
    "cluster": {"default": None, "choices": ("ray",), "help": "run trials on all machines of the Ray cluster"},
    "cpus_per_trial": {"default": 1.0, "type": rate, "help": "cores of a trial with --cluster"},
    "gpus_per_trial": {"default": 0.0, "type": weight, "help": "GPUs of a trial with --cluster; 0.5: two share one"},
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
        *groups: IMAGE_FLAGS, RUN_FLAGS, SEARCH_FLAGS, ...: all of their flags.
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
    """Arguments of a command; `presets` maps a --preset to the defaults that it sets, or to a function of arguments."""
    if presets:
        first = parser.parse_known_args(argv)[0]
        found = presets.get(first.preset, {})
        parser.set_defaults(**found(first) if callable(found) else found)
    return parser.parse_args(argv)
