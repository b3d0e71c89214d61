"""Search a cell: train a supernet on the two halves of a training split, and read off its genotype."""

import keras
import numpy as np

import keras_pibnas as kp
from apps import common

PRESETS = {
    "paper": {
        "dataset": "cifar10",
        "side": 32,
        "layers": 8,
        "channels": 16,
        "batch_size": 64,
        "epochs": 50,
        "learning_rate": 0.0025,
    }
}


def build_parser():
    return common.Parser(
        "search",
        __doc__,
        space="pibconv",
        dataset="digits",
        data_dir=None,
        side=16,
        layers=4,
        channels=8,
        nodes=4,
        order=2,
        hvp="exact",
        stem="conv3x3",
        batch_size=64,
        epochs=10,
        learning_rate=0.025,
        alpha_learning_rate=3e-4,
        seed=0,
        out=None,
        preset=None,
    )


def main(argv=None):
    parser = build_parser()
    args = common.parse(parser, argv, PRESETS)
    with common.user_errors(parser):
        keras.utils.set_random_seed(args.seed)
        splits = kp.data.load(args.dataset, args.side, args.data_dir).halves(seed=args.seed)
        pairs, valid = batches(splits, args)
        supernet = build(splits, len(pairs), args)
        directory = common.claim(args.out, "search", vars(args))
    weights = sum(int(keras.ops.size(weight)) for weight in supernet.network.trainable_variables)
    print(f"Searching {args.space} on {args.dataset}: {weights:,} weights, {directory}")
    supernet.fit(
        pairs,
        validation_data=valid,
        epochs=args.epochs,
        shuffle=False,  # the pairs are
        verbose=common.verbosity(),
        callbacks=[kp.callbacks.SearchRecorder(directory), *common.watchers(directory)],
    )
    kp.callbacks.save_model(supernet, directory / "supernet.keras")
    draw(directory)
    print(f"\n{supernet.genotype()}")
    common.summary("The run directory holds:", directory, FILES)
    return directory


def batches(splits, args):
    """What a search trains on, pairs from both halves, and the second half for validation."""
    train, valid = (
        splits.batches(half, args.batch_size, augment=True, seed=args.seed, drop_remainder=True)
        for half in ("train", "valid")
    )
    return kp.data.bilevel(train, valid), splits.batches("valid", args.batch_size, shuffle=False)


def build(splits, steps, args):
    """The compiled supernet; `steps` is the number of batches an epoch."""
    supernet = kp.Supernet(
        args.space, splits.input_shape, splits.num_classes, args.channels, args.layers, args.nodes, args.stem,
        args.order, args.hvp, args.seed,
    )  # fmt: skip
    schedule = common.cosine(args.learning_rate, args.epochs * steps, last=0.001)
    supernet.compile(kp.optimizers.SGD(schedule), kp.optimizers.Adam(args.alpha_learning_rate))
    return supernet


def draw(directory):
    """Draws what the search recorded: the cells, the mixing weights and the losses over the epochs."""
    genotype = common.resolve_genotype(str(directory))
    with np.load(directory / "alphas.npz") as arrays:
        primitives = arrays["primitives"].tolist()
        history = {cell: arrays[cell] for cell in ("normal", "reduce")}
    last = {cell: alphas[-1] for cell, alphas in history.items()}
    weights = kp.analysis.genotype_weights(genotype, last, primitives)
    kp.analysis.plot_genotype(genotype, directory, weights)
    kp.analysis.alpha_curves(history["normal"], primitives, directory / "alphas_normal.png")
    kp.analysis.alpha_curves(history["reduce"], primitives, directory / "alphas_reduction.png")
    kp.analysis.training_curves(directory / "history.csv", directory / "curves.png")


FILES = {
    "genotype.json": "the genotype found: apps.train takes it, or this directory, as --genotype",
    "normal.png": "its normal cell, with the weights of the ops",
    "reduction.png": "its reduction cell",
    "alphas_normal.png": "weights of the ops over the epochs, normal cell",
    "alphas_reduction.png": "the same, reduction cell",
    "curves.png": "losses and accuracies over the epochs",
    "history.csv": "the same as numbers",
    "genotypes.jsonl": "the genotype of every epoch, one a line",
    "alphas.npz": "the alphas of every epoch",
    "supernet.keras": "the supernet, for keras.saving.load_model after import keras_pibnas",
    "config.json": "the command's arguments",
    "tensorboard": "logs: tensorboard --logdir",
}


if __name__ == "__main__":
    main()
