"""Seconds from `Supernet(...)` to the end of the first step, each time in a new process."""

from statistics import median

from . import harness, search_step


def parser():
    parser = search_step.parser()
    parser.description = __doc__
    parser.set_defaults(steps=3)
    parser.add_argument("--times", type=int, default=3, help="new processes a contender")
    return parser


def rows_of(config, options):
    """The rows of `search_step`, with the time until the first step was done in place of the step's."""
    contenders = harness.contenders(options, config)
    name = f"first step, {search_step.label(config)}"
    runs = [harness.measure(name, contenders, options.steps) for _ in range(options.times)]
    rows = []
    for repeated in zip(*runs, strict=True):
        step = median(row["median"] for row in repeated)
        first = harness.spread([row["first_step"] for row in repeated])
        rows.append({**repeated[0], **first, "step": step, "steps_worth": first["median"] / step})
    return harness.with_ratios(rows)


def main(argv=None):
    options = harness.parse(parser(), argv)
    rows = [row for config in search_step.configurations(options) for row in rows_of(config, options)]
    harness.write("first_step", rows, options)
    for row in rows:
        print(f"{row['name']}: {row['steps_worth']:.1f} steps' worth, at {row['step']:.3f} s a step")


if __name__ == "__main__":
    main()
