"""Long runs: their arguments, where they go on, what they save, with which exit status they end."""

import argparse
import contextlib
import json
import sys
from pathlib import Path

import keras

import keras_pibnas as kp
from keras_pibnas.cli.flags import called, parse, switch

# Flags that change nothing that a run computes, or say where its data lie now.
WITH_RESUME = (
    "callbacks", "checkpoint_minutes", "checkpoint_steps", "data_dir", "dataset", "devices", "not_finite",
)  # fmt: skip


def resolve_arguments(parser, argv, presets, command):
    """The arguments of a new run, or with --resume those of the run that goes on.

    Raises:
        ValueError: the directory holds no run of the command, or flags would change what the run computes.
    """
    args = parse(parser, argv, presets)
    if args.resume is None:
        return args
    given = flags_given(parser, argv)
    wrong = sorted(set(given) - {"resume", *WITH_RESUME})
    if wrong:
        raise ValueError(
            f"--resume keeps the settings of the run; with it go {flags(WITH_RESUME)}. Received: {flags(wrong)}"
        )
    return argparse.Namespace(**vars(args) | kp.runs.read_config(args.resume, command) | given)


def settings_again(parser, argv, args, command, fixed, free):
    """The arguments of a sweep or a roadmap that is gone on with.

    Args:
        parser: of the command.
        argv, args: what it was called with, and what the parser made of that.
        command: its name.
        fixed: names of the settings that all of its trainings share.
        free: names of those that may be given anew.

    Raises:
        ValueError: the directory holds none, or a fixed setting is another.
    """
    path = Path(args.resume, "config.json")
    config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if config.get("command") != command or args.out:
        what = f"--out names a new {command}, --resume an old one" if args.out else f"Not the directory of a {command}"
        raise ValueError(f"{what}. Received: --resume {args.resume}")
    parser.set_defaults(**{name: config[name] for name in (*fixed, *free) if name in config})
    args = parser.parse_args(argv)
    for name in fixed:
        kept = config.get(name, parser.get_default(name))
        if getattr(args, name) != kept:
            raise ValueError(
                f"All trainings of a {command} share {switch(name)}={kept}; start another {command} with --out. "
                f"Received: {switch(name)}={getattr(args, name)}"
            )
    return args


def flags_given(parser, argv):
    """{name: value} of the flags that stand in the command line."""
    missing = object()
    names = {action.dest for action in parser._actions}
    values = vars(parser.parse_args(argv, argparse.Namespace(**dict.fromkeys(names, missing))))
    return {name: value for name, value in values.items() if value is not missing}


def flags(names):
    return ", ".join(map(switch, names))


def seeded(args):
    """Seeds everything, and with --deterministic has TensorFlow choose kernels that repeat themselves."""
    # A second model of a process would have other names, by which TensorFlow orders sums (docs/determinism.md).
    keras.backend.clear_session()
    keras.utils.set_random_seed(args.seed)
    if args.deterministic:
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def strategy_of(args):
    """The strategy of a run's devices or machines; before anything else that TensorFlow does.

    Raises:
        ValueError: there are fewer devices, TF_CONFIG is wrong, or several machines are not told where to write.
    """
    if kp.distribution.cluster()[0] > 1 and not (args.out or args.resume):
        raise ValueError("Several machines need one run directory, which they share. Received: no --out, no --resume")
    return kp.distribution.strategy(args.devices)


@contextlib.contextmanager
def made_for(strategy, args):
    """Inside, models are made for the run's devices and in its precision."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(args.precision)
    try:
        with strategy.scope():
            yield
    finally:
        keras.config.set_dtype_policy(before)


def directory_of(args, command):
    """The directory of the run that goes on, or a new one; of several machines, the first makes it."""
    if args.resume is None and kp.runs.is_chief():
        return kp.runs.create_run_directory(args.out, command, vars(args))
    return Path(args.resume or args.out)


def checkpoint(directory, command, data, args, states=(), run_directory=None):
    """The callback that saves the run and goes on where it stood. run_directory: that of --resume; None: the same."""
    return kp.callbacks.Checkpoint(
        directory / "checkpoints",
        data,
        every_steps=args.checkpoint_steps,
        every_minutes=args.checkpoint_minutes,
        states=states,
        go_on=f"{called(command)} --resume {run_directory or directory}",
    )


def run_with_exit_status(fit, saved, directory, prog, args):
    """Calls `fit`; what ends it before its time becomes one line on standard error, and an exit status.

    128 and the signal's number after SIGTERM or Ctrl-C; 1 where the loss is not finite or the disk is full; 2 where
    no checkpoint can be used.

    Args:
        fit: without arguments.
        saved: the `Checkpoint` among its callbacks.
        directory: of the run.
        prog: the command's name.
        args: the command's arguments.
    """
    try:
        return kp.runs.halving(fit, saved) if args.not_finite == "halve" else fit()
    except kp.runs.Interrupted as stop:
        leave(directory, prog, stop, 128 + stop.number)
    except kp.runs.NotFinite as error:
        leave(directory, prog, f"{error}. At half the rate from there: {saved.go_on} --not-finite halve", 1)
    except kp.runs.CheckpointError as error:
        leave(directory, prog, error, 2)
    except kp.distribution.WorkerLost as error:
        leave(directory, prog, f"{error} To go on: {saved.go_on}", 1)
    except OSError as error:
        if not kp.runs.no_space(error):
            raise
        leave(directory, prog, error.strerror if saved.go_on in str(error.strerror) else full(error, saved), 1)


def full(error, saved):
    return f"The disk is full: {error}. The last good checkpoint is {saved.last}. Make room, then: {saved.go_on}"


def leave(directory, prog, why, status):
    line = f"{prog}: {kp.runs.one_line(why)}"
    try:
        kp.runs.mark(directory, kp.runs.one_line(why))  # the chief does
    except OSError:
        pass  # A full disk takes no more notes.
    print(line, file=sys.stderr)
    raise SystemExit(status)
