"""A search on two logical devices against one, with the same global batch: first step, memory, step.

Logical CPU devices share the cores, so that no step can be faster on them: what is measured is the cost of replicas.
"""

from . import harness, search_step


def parser():
    parser = search_step.parser()
    parser.description = __doc__
    parser.set_defaults(space=["darts"], steps=3, only="ours")
    parser.add_argument("--devices", type=int, default=2, help="logical devices")
    parser.add_argument("--synchronized", action="store_true", help="batch statistics of the global batch")
    return parser


def rows_of(config, options):
    """Rows of one device and of several, which step in turn; the latter with their ratios to the former."""
    config = {**config, "synchronized": options.synchronized}
    counts = 1, options.devices
    contenders = [harness.contenders(options, {**config, "devices": count})[0] for count in counts]
    label = f"{search_step.label(config)}, {config['layers']} cells of {config['channels']} channels"
    one, several = harness.measure(label, contenders, options.steps)
    for row, count in zip((one, several), counts, strict=True):
        row["name"] = f"{label}: {count} device{'s' if count > 1 else ''}"
    several["times_one_device"] = {key: several[key] / one[key] for key in ("first_step", "peak_memory", "median")}
    return [one, several]


def main(argv=None):
    options = harness.parse(parser(), argv)
    rows = [row for config in search_step.configurations(options) for row in rows_of(config, options)]
    harness.write("replicas", rows, options)
    for row in rows:
        if ratios := row.get("times_one_device"):
            first, memory, step = ratios.values()
            print(f"{row['name']}: first step {first:.2f}, memory {memory:.2f}, step {step:.2f} times one device's")


if __name__ == "__main__":
    main()
