"""What the input pipeline takes of a search step: both batches of it, with crop, flip and cutout.

The pipeline runs beside the step, so its share is the most that it can cost.
"""

from . import harness, search_step


def parser():
    parser = search_step.parser()
    parser.description = __doc__
    parser.set_defaults(order=[1], only="ours")
    parser.add_argument("--pairs", type=int, default=200, help="pairs of batches a measurement")
    parser.add_argument("--images", type=int, default=50_000, help="in both halves; as in CIFAR-10")
    return parser


def rows_of(config, options):
    (search,) = harness.contenders(options, config)
    config = {**search.config, "job": "pipeline", "pairs": options.pairs, "images": options.images}
    pipeline = harness.Contender("ours", search.python, config)
    step, pair = harness.measure(search_step.label(config), [search, pipeline], options.steps)
    step["name"] = f"search step, {search_step.label(config)}"
    pair["name"] = f"its two batches alone, {search_step.label(config)}"
    pair["share_of_step"] = pair["median"] / step["median"]
    return [step, pair]


def main(argv=None):
    options = harness.parse(parser(), argv)
    rows = [row for config in search_step.configurations(options) for row in rows_of(config, options)]
    harness.write("pipeline", rows, options)
    for row in rows:
        if "share_of_step" in row:
            print(f"{row['name']}: {row['share_of_step']:.2%} of the step")


if __name__ == "__main__":
    main()
