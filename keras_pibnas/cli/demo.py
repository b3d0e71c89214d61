"""The whole way on real data: search a cell, train its network, and compare it with random cells."""

import json
import statistics

import keras

import keras_pibnas as kp
from keras_pibnas.cli import common, flags, search, train

SHARED = ("dataset", "side", "layers", "channels", "batch_size", "seed")
SEARCH = ("space", "nodes", "order")


def build_parser():
    parser = flags.Parser(
        "demo",
        __doc__,
        space="pibconv",
        dataset="digits",
        side=16,
        layers=3,
        channels=8,
        nodes=3,
        order=1,
        batch_size=32,
        seed=0,
        out=None,
    )
    epochs = {"type": flags.positive, "help": "passes over the training images"}
    parser.add_argument("--search-epochs", default=8, **epochs)
    parser.add_argument("--train-epochs", default=10, **epochs)
    parser.add_argument("--randoms", type=flags.positive, default=3, help="random genotypes to compare with")
    return parser


def main(argv=None):
    parser = build_parser()
    args = flags.parse(parser, argv)
    with common.user_errors(parser):
        directory = kp.runs.create_run_directory(args.out, "demo", vars(args))
    print(f"1. Search a cell ({args.search_epochs} epochs)")
    found = search.main(
        [*words(args, *SHARED, *SEARCH), "--alpha-learning-rate=3e-3", f"--epochs={args.search_epochs}",
         f"--out={directory / 'search'}"]
    )  # fmt: skip
    print(f"\n2. Train the discrete network of that cell ({args.train_epochs} epochs)")
    searched = trained(args, found, directory / "searched")
    randoms = []
    for number in range(1, args.randoms + 1):
        print(f"\n3. Random genotype {number} of {args.randoms}, trained the same way")
        randoms.append(trained(args, random_genotype(args, number), directory / f"random_{number}"))
    report(directory, searched, randoms)
    return directory


def words(args, *names):
    return [f"--{name.replace('_', '-')}={getattr(args, name)}" for name in names]


def random_genotype(args, number):
    """The JSON text of a random genotype of the space that was searched."""
    primitives = kp.spaces.get(args.space).primitives
    return kp.genotypes.random(primitives, args.nodes, seed=args.seed + number).to_json()


def trained(args, genotype, directory):
    """Test accuracy of the discrete network of a genotype."""
    keras.backend.clear_session()
    train.main(
        [
            *words(args, *SHARED),
            f"--genotype={genotype}",
            f"--epochs={args.train_epochs}",
            f"--out={directory}",
        ]
    )
    return json.loads((directory / "result.json").read_text())["test_accuracy"]


def report(directory, searched, randoms):
    """Writes and prints what came out, the comparison with random genotypes in plain words."""
    mean = statistics.mean(randoms)
    result = {"searched_test_accuracy": searched, "random_test_accuracies": randoms, "random_mean": mean}
    kp.runs.write_json(directory / "result.json", result)
    print(f"\nTest accuracy of the searched genotype: {searched:.2%}")
    print(
        f"Mean of {len(randoms)} random ones:           {mean:.2%} ({', '.join(f'{a:.2%}' for a in randoms)})"
    )
    print(verdict(searched, mean))
    common.summary(
        "Files:",
        directory,
        FILES | {f"random_{i + 1}": "a random genotype, trained the same way" for i in range(len(randoms))},
    )


def verdict(searched, mean):
    beats = "beats" if searched > mean else "does NOT beat"
    return (
        f"The searched genotype {beats} the mean of the random ones ({100 * (searched - mean):+.2f} points)."
    )


FILES = {
    "search/genotype.json": "the genotype found",
    "search/normal.png": "its normal cell",
    "search/reduction.png": "its reduction cell",
    "search/alphas_normal.png": "how the weights of the ops moved, normal cell",
    "search/alphas_reduction.png": "the same, reduction cell",
    "search/genotypes.jsonl": "the genotype of every epoch",
    "search/curves.png": "losses and accuracies of the search",
    "search/supernet.keras": "the supernet",
    "searched/model.keras": "the trained discrete network, for inference",
    "searched/curves.png": "losses and accuracies of its training",
    "searched/result.json": "its test accuracy and size",
    "result.json": "the comparison with random genotypes",
}
