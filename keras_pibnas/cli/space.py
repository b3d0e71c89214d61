"""Print how many architectures a search space holds."""

from decimal import Decimal

import keras_pibnas as kp
from keras_pibnas.cli import common, flags, tables

EVERY = "all"
DIGITS = 4000
# Flags of the three kinds of space: name -> (default, help).
OPERATIONS = (None, "operations to choose from, none not counted; None: the space's own, 5 for nasnet")
CELLS = {"nodes": (None, "nodes of a cell; None: the space's own, 4 in most"), "operations": OPERATIONS}
NASNET = {
    "operations": OPERATIONS,
    "combinations": (2, "ways to combine two results, N"),
    "blocks": (5, "blocks of a cell, B"),
}
NETWORK = {
    "depths": ((2, 3, 4), "layers that a unit may have"),
    "widths": ((3, 4, 6), "widths, or expansion ratios, of a layer"),
    "kernels": ((3, 5, 7), "kernel sizes of a layer"),
    "resolutions": ((224,), "sides of the input, in pixels"),
    "units": (5, "units, which choose their depth apart"),
    "topologies": (1, "ways to connect them"),
}
PATHS = {
    "layers": (12, "layers, the first at the finest resolution"),
    "levels": (4, "resolutions, each half of the one before"),
}
KINDS = {"cells": CELLS, "nasnet": NASNET, "network": NETWORK, "paths": PATHS}
FLAGS = CELLS | NASNET | NETWORK | PATHS


def build_parser():
    parser = flags.Parser("space", __doc__)
    parser.add_argument(
        "--space",
        default=EVERY,
        help="one of kp.spaces.names() or a JSON file of one (cells), nasnet (the lecture notes' formula), network "
        "(depth, width, kernel size, resolution, topology; together and each alone), paths (through the resolutions), "
        f"or {EVERY}",
    )
    for name, (default, text) in FLAGS.items():
        kinds = ", ".join(kind for kind, flags in KINDS.items() if name in flags)
        many = {"nargs": "+"} if isinstance(default, tuple) else {}
        help = f"{kinds}: {text}"
        parser.add_argument(f"--{name}", type=flags.positive, default=default, help=help, **many)
    parser.add_argument("--format", choices=tables.STYLES, default="text", help="of the table")
    return parser


def main(argv=None):
    parser = build_parser()
    args = flags.parse(parser, argv)
    with common.user_errors(parser):
        names = (*every(args), "nasnet", "network", "paths") if args.space == EVERY else (args.space,)
        rows = [row for name in names for row in sizes(name, args)]
        refuse_unused(names, args, parser)
    print(tables.table(rows, args.format))


def every(args):
    """The names of all spaces; where cells of other sizes are asked for, of those whose edges are all alike."""
    own = args.nodes is None and args.operations is None
    found = {name: kp.spaces.get(name) for name in kp.spaces.names()}
    return [name for name, space in found.items() if own or (space.edges is None and space.topology.keep is not None)]


def sizes(name, args):
    """Rows of the table about one space."""
    choices = {flag: getattr(args, flag) for flag in flags_of(name) if getattr(args, flag) is not None}
    counted = kp.analysis.space_size(name, **choices)
    if name == "network":
        alone = kp.analysis.network_dimensions(**choices)
        counted |= {f"networks, {dimension} alone": number for dimension, number in alone.items()}
    return [
        {"space": name, "counted": what, "about": about(number), "architectures": number}
        for what, number in counted.items()
    ]


def about(number):
    """Two digits and an exponent, also of numbers that no float holds."""
    digits = Decimal(number).adjusted() + 1
    if digits > DIGITS:
        raise ValueError(f"Numbers of up to {DIGITS} digits are printed. Received: choices that give one of {digits}")
    return f"{Decimal(number):.1e}"


def flags_of(name):
    return KINDS.get(name, CELLS)


def refuse_unused(names, args, parser):
    """A flag that says nothing about any of the spaces is a mistake."""
    used = {flag for name in names for flag in flags_of(name)}
    for flag in FLAGS:
        if flag not in used and getattr(args, flag) != parser.get_default(flag):
            raise ValueError(f"--{flag} is of no use to the space {args.space}. Received: {getattr(args, flag)}")
