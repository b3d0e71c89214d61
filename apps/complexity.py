"""Print parameters and multiply-adds of networks: Table 1 of the PIBConv paper, or any genotype."""

from dataclasses import replace

import keras_pibnas as kp
from apps import common, tables

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
NOTE = """The PIBCONV rows count the block of the published code. The paper's printed PIBConv rows fit an earlier block,
counted in the rows "the table's block": it meets all ten GMAC figures and the parameters of 20 to 4 layers; the
parameters printed for 3 and 2 layers are met by neither block."""


def build_parser():
    parser = common.Parser("complexity", __doc__)
    parser.add_argument("--genotype", nargs="+", help="names, files, run directories or texts; default: Table 1")
    parser.add_argument("--layers", type=common.positive, nargs="+", default=DEPTHS, help="numbers of cells")
    parser.add_argument("--channels", type=common.positive, default=36, help="channels of a node in the first cell")
    parser.add_argument("--side", type=common.positive, default=32, help="side of the input, pixels")
    parser.add_argument("--image-channels", type=common.positive, default=3, help="channels of the input")
    parser.add_argument("--classes", type=common.positive, default=10, help="number of classes")
    parser.add_argument("--breakdown", action="store_true", help="a row for every layer that costs anything")
    parser.add_argument("--format", choices=tables.STYLES, default="text", help="of the table")
    return parser


def main(argv=None):
    parser = build_parser()
    args = common.parse(parser, argv)
    with common.user_errors(parser):
        genotypes = chosen(args.genotype)
        networks = [(name, genotype, layers) for name, genotype in genotypes for layers in args.layers]
        rows = [row for network in networks for row in count(*network, args)]
    print(tables.table(rows, args.format))
    if args.genotype is None and args.format != "csv":
        print(f"\n{NOTE}")


def chosen(texts):
    """(name, genotype) pairs: those of Table 1 and the block that it counts, or the ones asked for."""
    if texts is not None:
        return [(text if len(text) < 30 else "genotype", common.resolve_genotype(text)) for text in texts]
    pibconv = kp.genotypes.get("PIBCONV")
    block = tuple((f"pib_conv_{k}x{k}", f"pib_conv_table_{k}x{k}") for k in (3, 5))
    return [
        ("DARTS_V2", kp.genotypes.get("DARTS_V2")),
        ("PIBCONV", pibconv),
        (TABLE_BLOCK, replace(pibconv, meanings=block)),
    ]


def count(name, genotype, layers, args):
    """The table's rows for one network: one, or with --breakdown one a layer."""
    shape = (args.side, args.side, args.image_channels)
    model = kp.build_network(genotype, shape, args.classes, args.channels, layers)
    found = kp.analysis.complexity(model)
    head = {"genotype": name, "layers": layers}
    if args.breakdown:
        parts = [(part, cost) for part, cost in found.layers if cost.params or cost.ptflops_macs]
        return [head | {"layer": part} | figures(cost) for part, cost in parts]
    params, gmac = PAPER.get(name.split(",")[0], {}).get(layers, ("", "")) if published(args) else ("", "")
    return [head | figures(found) | {"paper's params (M)": params, "paper's GMAC": gmac}]


def figures(cost):
    return {"parameters": cost.params, "conv+linear MACs": cost.macs, "table MACs": cost.ptflops_macs}


def published(args):
    """Whether the settings are those of the paper's table."""
    return (args.channels, args.side, args.image_channels, args.classes) == (36, 32, 3, 10)


if __name__ == "__main__":
    main()
