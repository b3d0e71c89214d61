"""What exact second order costs with each method: seconds and memory of a search step over those of its first order.

Both contenders are this library's and step in turn. Methods that have no second order, as alphas and weights move
together or no alphas are learned, are left out.
"""

import sys

import keras_pibnas as kp

from . import harness


def parser():
    parser = harness.parser(__doc__, peers=False)
    parser.add_argument("--method", nargs="+", default=with_second_order())
    parser.add_argument("--space", default="darts")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--nodes", type=int, default=4)
    return parser


def with_second_order():
    """The names of the methods whose alphas move on a batch of their own; stages are searches of one of these."""
    found = {name: kp.methods.get(name) for name in kp.methods.names()}
    return [
        name
        for name, method in found.items()
        if method.update != "single" and not method.stages and not isinstance(method.relaxation, kp.methods.Uniform)
    ]


def contenders(options, method):
    """One process for first order, and one for exact second order."""
    fixed = {key: getattr(options, key) for key in ("space", "layers", "nodes", "batch", "threads")}
    fixed |= {"job": "search", "hvp": "exact", "side": options.image_side, "method": method}
    fixed["channels"] = channels_for(method, options.channels)
    return [harness.Contender("ours", sys.executable, fixed | {"order": order}) for order in (1, 2)]


def channels_for(method, channels):
    """The channels asked for, or as many more as the method's partial channels divide."""
    unit = 2 * kp.methods.get(method).partial
    return -(-channels // unit) * unit


def with_order_ratios(rows):
    """Adds to the row of second order how many times the time and memory of first order, the row before, it took."""
    first, second = rows
    second["times_first_order"] = harness.times(second, first)
    return rows


def main(argv=None):
    options = harness.parse(parser(), argv)
    rows = []
    for method in options.method:
        rows += with_order_ratios(harness.measure(f"search step, {method}", contenders(options, method), options.steps))
        harness.write("methods", rows, options)  # each time: what is measured stays if the next one fails
    for row in rows[1::2]:
        time, cpu, memory = row["times_first_order"].values()
        ratios = f"{time:.2f} times the time of first order ({cpu:.2f} of its CPU time), {memory:.2f} times its memory"
        print(f"{row['configuration']['method']}: {ratios}")


if __name__ == "__main__":
    main()
