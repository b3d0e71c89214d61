"""Seconds and memory of a search step: ours against the peer.

Second order is the exact Hessian-vector product for ours (or what --hvp says), the published finite
difference for the peer.
"""

from . import harness


def parser():
    parser = harness.parser(__doc__)
    parser.add_argument("--space", nargs="+", default=["darts", "pibconv"])
    parser.add_argument("--batch", nargs="+", type=int, default=[16])
    parser.add_argument("--order", nargs="+", type=int, choices=[1, 2], default=[1, 2])
    parser.add_argument("--hvp", choices=["exact", "finite_difference"], default="exact", help="ours")
    parser.add_argument("--remat", action="store_true", help="ours computes ops again in gradients")
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--nodes", type=int, default=4)
    return parser


def configurations(options):
    fixed = {key: getattr(options, key) for key in ("hvp", "remat", "channels", "layers", "nodes")}
    for space in options.space:
        for batch in options.batch:
            for order in options.order:
                yield {"job": "search", **fixed, "space": space, "batch": batch, "order": order}


def label(config):
    remat = ", remat" if config.get("remat") else ""
    return f"{config['space']}, batch {config['batch']}, order {config['order']}{remat}"


def with_order_ratios(rows):
    """Adds to our second order how many times the time and memory of our first order it took."""
    ours = [row for row in rows if row["contender"] == "ours"]
    first = {label(row["configuration"]): row for row in ours if row["configuration"]["order"] == 1}
    for row in ours:
        config = row["configuration"]
        base = first.get(label({**config, "order": 1}))
        if config["order"] == 2 and base:
            row["times_first_order"] = {key: row[key] / base[key] for key in ("median", "peak_memory")}
    return rows


def print_order_ratios(rows):
    for row in rows:
        if ratios := row.get("times_first_order"):
            time, memory = ratios["median"], ratios["peak_memory"]
            print(f"{row['name']}: {time:.2f} times the time of first order, {memory:.2f} times its memory")


def main(argv=None):
    options = harness.parse(parser(), argv)
    rows = []
    for config in configurations(options):
        contenders = harness.contenders(options, config)
        rows += harness.measure(f"search step, {label(config)}", contenders, options.steps)
    harness.write("search_step", with_order_ratios(rows), options)
    print_order_ratios(rows)


if __name__ == "__main__":
    main()
