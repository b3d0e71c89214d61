"""A search in stages: a supernet after the other, each with a run directory of its own inside that of the search."""

from dataclasses import replace

import keras_pibnas as kp
from keras_pibnas.cli.flags import switch


def staged(args):
    """Whether the method of a search has stages."""
    return bool(kp.methods.get(args.method).stages)


def check(args, given):
    """Raises ValueError where flags do not go together. Args: given: names of the flags in the command line."""
    flags = [name for name in ("stage_layers", "stage_ops") if getattr(args, name) is not None]
    if flags and not staged(args):
        raise ValueError(f"{switch(flags[0])} belongs to a method in stages, such as p_darts. Received: {args.method}")
    if not staged(args):
        return
    if "layers" in given:
        raise ValueError(
            f"--method {args.method} has layers for each of its stages: see --stage-layers. "
            f"Received: --layers={args.layers}"
        )
    if args.select != "alphas":
        raise ValueError(f"--method {args.method} selects by alphas. Received: --select={args.select}")
    of(args, kp.methods.get(args.method))


def of(args, method):
    """The method, with stages as the flags say. Raises ValueError: not a number for each stage."""
    stages = method.stages
    for flag, field in (("stage_layers", "layers"), ("stage_ops", "ops")):
        values = getattr(args, flag)
        if values is not None and len(values) != len(stages):
            numbers = " ".join(map(str, values))
            raise ValueError(f"{switch(flag)} takes {len(stages)} numbers, one a stage. Received: {numbers}")
        stages = [replace(s, **{field: v}) for s, v in zip(stages, values, strict=True)] if values else stages
    return replace(method, stages=tuple(stages))


def first(method):
    """(Number of cells, Method) of the first stage's supernet."""
    return method.stages[0].layers, method.stages[0].method(method)


def search(method, first, build, fit, directory):
    """Searches stage by stage, and returns the last supernet.

    Args: method: with stages; first: a list of the first one's supernet, which is taken out, so that it need not stay;
    build: (layers, Method) -> a supernet; fit: (supernet, directory) -> trains it; directory: of the search, which
    gets stage_1, stage_2, ...
    """

    def make(number, stage, own):
        return build(stage.layers, own) if number else first.pop()

    def train(number, supernet):
        place = directory / f"stage_{number + 1}"
        if kp.runs.is_chief():
            place.mkdir(exist_ok=True)
        ops = max(int(cell.allowed.sum(axis=1).max()) for cell in supernet.relaxed.narrow)
        cells = supernet.settings["layers"]
        print(f"Stage {number + 1} of {len(method.stages)}: {cells} cells, {ops} ops an edge: {place}")
        fit(supernet, place)

    return kp.methods.search_stages(method, make, train)


def files(args):
    """What the run directory holds beside its results: {name: what it is}."""
    count = len(kp.methods.get(args.method).stages)
    return {f"stage_{number + 1}": f"what stage {number + 1} recorded, as a search does" for number in range(count)}
