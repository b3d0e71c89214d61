"""Parts that the commands share: one line for a user's mistake, genotypes by any name, callbacks and texts of a run."""

import contextlib
import os
import sys
from pathlib import Path

import keras

import keras_pibnas as kp
from keras_pibnas.cli import flags


@contextlib.contextmanager
def user_errors(parser):
    """Turns what the library's checks raise inside the block into one line and exit status 2.

    Only reading and checking belongs inside: an error of the training that follows keeps its traceback.
    """
    try:
        yield
    except BrokenPipeError:  # the reader of standard output has gone: no mistake, and `cli.run` knows what to do
        raise
    except (ValueError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {kp.runs.one_line(error)}\n")


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


def load_images(args, side=None):
    """The data set that the flags name, at --side or another one."""
    sides = kp.data.parse_side(str(args.side if side is None else side))
    task = getattr(args, "task", kp.data.TASKS[0])
    return kp.data.load(args.dataset, sides, args.data_dir, args.resize, task, args.stream or None)


def image_shape(args):
    """(height, width, channels) that --side and --image-channels stand for."""
    sides = kp.data.parse_side(str(args.side))
    return (*((sides, sides) if isinstance(sides, int) else sides), args.image_channels)


def augmentation(args, splits):
    """What --augment and --color-distortion stand for, as `Splits.batches` takes it."""
    augment = args.augment == "crop"
    if args.augment == "imagenet":
        augment = kp.data.imagenet_augmentation(flip=splits.flip, channels=splits.input_shape[-1])
    return {"augment": augment, "color_distortion": args.color_distortion}


def weight_optimizer(schedule, args):
    """SGD of the weights, with what flags.SGD_FLAGS say."""
    return kp.optimizers.SGD(schedule, args.momentum, args.l2, args.clipnorm or None)


def places(args):
    """(Trials side by side, where they are started) of flags.CLUSTER_FLAGS, as `trials.Runner` takes them.

    Raises:
        ValueError: there is no cluster, or flags that say something about one without --cluster.
    """
    if args.cluster is None:
        default = {name: row["default"] for name, row in flags.CLUSTER_FLAGS.items()}
        for name in ("cpus_per_trial", "gpus_per_trial"):
            if getattr(args, name) != default[name]:
                value = getattr(args, name)
                raise ValueError(f"{flags.switch(name)} goes with --cluster. Received: {flags.switch(name)}={value}")
        return args.jobs or 2, None
    from keras_pibnas.runs.ray_cluster import RayCluster

    return args.jobs or sys.maxsize, RayCluster(args.cpus_per_trial, args.gpus_per_trial)


def progress_callbacks(directory, batch_size, pictures=None):
    """Callbacks of every long run: time left, what `watch` reads, TensorBoard logs; of several machines on one."""
    if not kp.runs.is_chief():
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
    if not kp.runs.is_chief():
        return 0
    return 1 if sys.stdout.isatty() else 2


def summary(title, directory, files):
    """Prints a title and one line a file of a run directory: its path and what it is."""
    print(f"\n{title}")
    width = max(map(len, files))
    for name, what in files.items():
        print(f"  {directory / name!s:{len(str(directory)) + 1 + width}}  {what}")
