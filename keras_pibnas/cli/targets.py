"""Limits on what a search finds, --target-macs and the like, as penalties of its method."""

from dataclasses import replace

import keras_pibnas as kp
from keras_pibnas.cli.long_runs import flags

UNITS = {"target_macs": "macs", "target_params": "params", "target_latency": "latencies"}
# Flags of the penalties -> arguments of ExpectedCost, and their defaults here.
SETTINGS = {"target_channels": ("channels", 36), "target_layers": ("layers", 20)}
SETTINGS |= {"target_weight": ("weight", 1.0), "target_form": ("form", "hinge")}


def units(args) -> dict:
    """{flag: what it is counted in} of the targets that are given.

    Raises:
        ValueError: flags that say something about a target that is not given.
    """
    found = {name: unit for name, unit in UNITS.items() if getattr(args, name) is not None}
    if found and isinstance(kp.methods.get(args.method).relaxation, kp.methods.Uniform):
        raise ValueError(f"--method {args.method} learns no alphas that a target could move. Received: {flags(found)}")
    given = [name for name in SETTINGS if getattr(args, name) is not None]
    if given and not found:
        raise ValueError(f"They are about a target, {flags(UNITS)}, and there is none. Received: {flags(given)}")
    if (args.target_latency is None) != (args.latencies is None):
        missing = "--latencies FILE, as profile --table writes it" if args.latencies is None else "--target-latency"
        raise ValueError(f"A target in seconds and a table of seconds go together. Missing: {missing}")
    return found


def limited(method, args):
    """The method with a penalty for each target; an expected cost that it has of its own gives way."""
    settings = {
        name: default if getattr(args, flag) is None else getattr(args, flag)
        for flag, (name, default) in SETTINGS.items()
    }
    costs = [
        kp.methods.ExpectedCost(
            kp.methods.read_latencies(args.latencies) if unit == "latencies" else unit, getattr(args, flag), **settings
        )
        for flag, unit in units(args).items()
    ]
    others = [penalty for penalty in method.penalties if not isinstance(penalty, kp.methods.ExpectedCost)]
    return replace(method, penalties=(*others, *costs))
