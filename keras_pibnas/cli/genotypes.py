"""List the published genotypes, with the figures printed of them and where they come from."""

import keras_pibnas as kp
from keras_pibnas.cli import common, flags, tables

SORTS = {
    "catalog": None,
    "name": lambda row: row["genotype"].lower(),
    "params": lambda row: number(row["params (M)"]),
    "macs": lambda row: number(row["MACs (M)"]),
    "error": lambda row: number(row["error (%)"]),
}
NOTE = """\
Parameters and MACs as printed by their source, of the network that it trains; "with head": the parameters count the
auxiliary head. keras-pibnas complexity --genotype NAME counts any of them."""


def build_parser():
    parser = flags.Parser("genotypes", __doc__)
    parser.add_argument("--search", metavar="TEXT", help="only those with this text in name, source, data set or ops")
    parser.add_argument(
        "--sort", choices=SORTS, default="catalog", help="order of the rows; what has no figure is last"
    )
    parser.add_argument("--reverse", action="store_true", help="the other way round")
    parser.add_argument("--format", choices=tables.STYLES, default="text", help="of the table")
    return parser


def main(argv=None):
    parser = build_parser()
    args = flags.parse(parser, argv)
    with common.user_errors(parser):
        rows = ordered([row(name) for name in kp.genotypes.names() if found(name, args.search)], args)
        if not rows:
            raise ValueError(f"No published genotype has that text. Received: --search {args.search}")
    print(tables.table(rows, args.format))
    if args.format != "csv":
        print(f"\n{NOTE}")


def row(name):
    """The table's row of a genotype."""
    entry = kp.genotypes.published(name)
    return {
        "genotype": name,
        "nodes": entry.genotype.nodes,
        "params (M)": entry.params or "",
        "with head": "yes" if entry.auxiliary else "",
        "MACs (M)": entry.macs or "",
        "error (%)": entry.error or "",
        "data set": entry.dataset or "",
        "source": entry.source,
    }


def found(name, text):
    """Whether a genotype's name, source, data set or ops hold the text, in capitals or not."""
    entry = kp.genotypes.published(name)
    ops = [op for cell in entry.genotype.cells for op, _ in entry.genotype.resolved().cell(cell).pairs]
    words = " ".join([name, entry.source, entry.dataset or "", *ops])
    return text is None or text.lower() in words.lower()


def ordered(rows, args):
    """Sorted as asked; rows without the figure stand last, whichever way round."""
    key = SORTS[args.sort]
    if key is None:
        return rows[::-1] if args.reverse else rows
    known, unknown = ([entry for entry in rows if (key(entry) is not None) == there] for there in (True, False))
    return sorted(known, key=key, reverse=args.reverse) + unknown


def number(text):
    """A figure as a number; None where there is none."""
    return float(text) if text else None
