"""Seconds and memory of a search step with partial channels against all channels, side by side: ratios to `darts`.

All contenders are this library's, at first order; `pc_darts` computes its ops on a quarter of the channels.
"""

import sys

from . import harness


def parser():
    parser = harness.parser(__doc__, peers=False)
    parser.add_argument("--method", nargs="+", default=["pc_darts"], help="compared with darts")
    parser.add_argument("--space", default="darts")
    parser.add_argument("--batch", nargs="+", type=int, default=[64])
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--nodes", type=int, default=4)
    return parser


def contenders(options, batch):
    """One process for darts, and one for each method."""
    fixed = {key: getattr(options, key) for key in ("space", "channels", "layers", "nodes", "threads")}
    fixed |= {"job": "search", "order": 1, "hvp": "exact", "batch": batch, "side": options.image_side}
    methods = ["darts", *options.method]
    return [harness.Contender("ours", sys.executable, fixed | {"method": method}) for method in methods]


def with_darts_ratios(rows):
    """Adds to each row how many times the time and memory of darts, the first row, it took; names rows by method."""
    for row in rows:
        row["name"] = f"{row['name'].removesuffix(': ours')}: {row['configuration']['method']}"
        row["times_darts"] = harness.times(row, rows[0])
    return rows


def main(argv=None):
    options = harness.parse(parser(), argv)
    if options.quick:
        options.channels = 8  # a quarter of them is even
    rows = []
    for batch in options.batch:
        measured = harness.measure(f"search step, batch {batch}", contenders(options, batch), options.steps)
        rows += with_darts_ratios(measured)
    harness.write("partial", rows, options)
    for row in rows:
        time, cpu, memory = row["times_darts"].values()
        ratios = f"{time:.2f} times the time of darts ({cpu:.2f} of its CPU time), {memory:.2f} times its memory"
        print(f"{row['name']}: {ratios}")


if __name__ == "__main__":
    main()
