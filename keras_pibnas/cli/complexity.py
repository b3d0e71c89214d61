"""Count parameters and multiply-adds of networks: Table 1 of the PIBConv paper, or any genotype, for one image."""

import sys
from dataclasses import replace
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

import keras_pibnas as kp
from keras_pibnas.cli import common, flags, tables

# Table 1 of the paper as printed: layers -> (parameters in millions, GMAC).
PAPER = {
    "DARTS_V2": {
        20: ("3.30", "0.547"), 15: ("2.28", "0.408"), 10: ("1.6", "0.265"), 8: ("1.15", "0.207"), 7: ("1.05", "0.180"),
        6: ("0.635", "0.153"), 5: ("0.605", "0.121"), 4: ("0.487", "0.090"),
        3: ("0.116", "0.067"), 2: ("0.082", "0.035"),
    },
    "PIBCONV": {
        20: ("6.06", "0.969"), 15: ("4.21", "0.724"), 10: ("3.02", "0.470"), 8: ("2.26", "0.369"), 7: ("2.07", "0.320"),
        6: ("1.36", "0.275"), 5: ("1.30", "0.218"), 4: ("1.10", "0.166"), 3: ("0.443", "0.123"), 2: ("0.385", "0.067"),
    },
}  # fmt: skip
DEPTHS = (20, 15, 10, 8, 7, 6, 5, 4, 3, 2)
TABLE_BLOCK = "PIBCONV, the table's block"
NOTE = """\
"meets" says which of the paper's two figures the counts give, rounded or cut to as many digits (its GMAC: table MACs).
DARTS_V2 meets all but the parameters at 20 layers. The PIBCONV rows count the block of the published code, which meets
the parameters at 4 layers only. The paper's PIBConv rows fit an earlier block, counted in the rows "the table's
block": it meets all ten GMAC figures, and the parameters of 20 to 4 layers. The parameters printed for 3 and 2 layers
are met by neither block."""
EQUATIONS = """\
Equation (1), ConvNeXt block: 2 F C^2 + K^2 C. Equation (2), PIBConv: (F + 1) C^2 + 2 K^2 C; the block of the published
code has (F + 1) K^2 C in place of 2 K^2 C, for its second convolution reads F channels a group. The paper's
"approximately 0.63 times" is the share in C^2 at F = 4 in both; with F = 2, as in its Fig. 2, that share is 0.375."""


def build_parser():
    parser = flags.Parser("complexity", __doc__, stem="conv3x3", side=32)
    parser.add_argument("--genotype", nargs="+", help="names, files, run directories or texts; default: Table 1")
    parser.add_argument("--layers", type=flags.positive, nargs="+", default=DEPTHS, help="numbers of cells")
    parser.add_argument("--channels", type=flags.positive, default=36, help="channels of a node in the first cell")
    parser.add_argument("--image-channels", type=flags.positive, default=3, help="channels of the input")
    parser.add_argument("--classes", type=flags.positive, default=10, help="number of classes")
    parser.add_argument("--auxiliary", action="store_true", help="with the auxiliary head, as in training")
    parser.add_argument("--breakdown", action="store_true", help="a row for every layer that costs anything")
    parser.add_argument(
        "--equations", action="store_true", help="equations (1) and (2) of the paper beside counted blocks instead"
    )
    parser.add_argument("--format", choices=tables.STYLES, default="text", help="of the table")
    return parser


def main(argv=None):
    parser = build_parser()
    args = flags.parse(parser, argv)
    if args.equations:
        if vars(args) != vars(parser.parse_args(["--equations", f"--format={args.format}"])):
            parser.error("--equations goes with --format only")
        show(kp.analysis.compare_blocks(), args.format, EQUATIONS)
        return
    with common.user_errors(parser):
        genotypes = chosen(args.genotype)
        networks = [(name, genotype, layers) for name, genotype in genotypes for layers in args.layers]
        rows = [row for network in shown(networks) for row in count(*network, args)]
    compared = args.genotype is None and not args.breakdown and published(args)
    show(rows, args.format, NOTE if compared else None)


def shown(networks):
    """The networks one by one; a terminal sees how many are left."""
    for number, network in enumerate(networks, 1):
        if sys.stderr.isatty():
            print(f"\rcounting {number} of {len(networks)} ", end="", file=sys.stderr, flush=True)
        yield network
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def show(rows, style, note):
    print(tables.table(rows, style))
    if note and style != "csv":
        print(f"\n{note}")


def chosen(texts):
    """(name, genotype) pairs: those of Table 1 and the block that it counts, or the ones asked for."""
    if texts is not None:
        return [(short(text, number), common.resolve_genotype(text)) for number, text in enumerate(texts, 1)]
    pibconv = kp.genotypes.get("PIBCONV")
    block = tuple((f"pib_conv_{k}x{k}", f"pib_conv_table_{k}x{k}") for k in (3, 5))
    return [
        ("DARTS_V2", kp.genotypes.get("DARTS_V2")),
        ("PIBCONV", pibconv),
        (TABLE_BLOCK, replace(pibconv, meanings=block)),
    ]


def short(text, number):
    """What a row calls a genotype: its name or path, or its number where its text was given."""
    return f"genotype {number}" if "(" in text or "{" in text else text


def count(name, genotype, layers, args):
    """The table's rows for one network: one, or with --breakdown one a layer."""
    model = kp.build_network(
        genotype, common.image_shape(args), args.classes, args.channels, layers, args.stem, auxiliary=args.auxiliary
    )
    found = kp.analysis.complexity(model)
    head = {"genotype": name, "layers": layers}
    if args.breakdown:
        parts = [(part, cost) for part, cost in found.layers if cost.params or cost.ptflops_macs]
        return [head | {"layer": part} | figures(cost) for part, cost in parts]
    printed = PAPER.get(name.split(",")[0], {}).get(layers) if published(args) else None
    return [head | figures(found) | beside(found, *(printed or ("", "")))]


def figures(cost):
    return {"parameters": cost.params, "conv+linear MACs": cost.macs, "table MACs": cost.ptflops_macs}


def beside(found, params, gmac):
    """The paper's printed figures, and which of them the counts give."""
    met = [
        what
        for what, value, text in (("parameters", found.params / 1e6, params), ("GMAC", found.ptflops_macs / 1e9, gmac))
        if text and gives(value, text)
    ]
    meets = ("both" if len(met) == 2 else "".join(met) or "neither") if params else ""
    return {"paper's params (M)": params, "paper's GMAC": gmac, "meets": meets}


def gives(value, text):
    """Whether a value rounded, or cut, to the digits of a printed one is that: 0.08718 gives "0.087"."""
    unit = Decimal(text).as_tuple().exponent
    exact = Decimal(repr(value))
    return Decimal(text) in [exact.quantize(Decimal(1).scaleb(unit), how) for how in (ROUND_HALF_UP, ROUND_DOWN)]


def published(args):
    """Whether the settings are those of the paper's table."""
    settings = (args.channels, args.side, args.image_channels, args.classes, args.stem, args.auxiliary)
    return settings == (36, 32, 3, 10, "conv3x3", False)
