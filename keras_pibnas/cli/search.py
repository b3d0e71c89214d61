"""Search a cell: train a supernet on the two halves of a training split, and read off its genotype."""

import keras

import keras_pibnas as kp
from keras_pibnas.cli import common, flags, long_runs, selection

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
    return flags.Parser(
        "search",
        __doc__,
        flags.RUN_FLAGS,
        flags.SEARCH_FLAGS,
        flags.SELECTION_FLAGS,
        space="pibconv",
        dataset="digits",
        data_dir=None,
        side=16,
        layers=4,
        channels=8,
        nodes=None,
        order=2,
        hvp="exact",
        remat=False,
        stem="conv3x3",
        batch_size=64,
        epochs=10,
        learning_rate=0.025,
        alpha_learning_rate=None,
        seed=0,
        out=None,
        preset=None,
    )


def main(argv=None):
    parser = build_parser()
    with common.user_errors(parser):
        args = long_runs.resolve_arguments(parser, argv, PRESETS, "search")
        selection.check(args)
        strategy = long_runs.strategy_of(args)
        long_runs.seeded(args)
        splits = kp.data.load(args.dataset, args.side, args.data_dir).halves(seed=args.seed)
        pairs, valid = batches(splits, args)
        with long_runs.made_for(strategy, args):
            supernet = build(splits, len(pairs), args)
        directory = long_runs.directory_of(args, "search")
    weights = sum(int(keras.ops.size(weight)) for weight in supernet.network.trainable_variables)
    print(f"Searching {args.space} on {args.dataset}: {weights:,} weights, {directory}")
    fit(supernet, pairs, valid, directory, parser.prog, args)
    genotype = selection.select(supernet, pairs, valid, directory, parser.prog, args, configure)
    if not kp.runs.is_chief():
        return directory
    genotype.save(directory / "genotype.json")
    kp.runs.save_model(supernet, directory / "supernet.keras")
    draw(directory, supernet, genotype, args)
    print(f"\n{genotype}")
    common.summary("The run directory holds:", directory, files(args))
    return directory


def fit(supernet, pairs, valid, directory, prog, args):
    """Trains a supernet and records what it finds, from where the directory's last checkpoint stands."""
    limits = early_ends(args)
    saved = long_runs.checkpoint(directory, "search", pairs, args, limits)
    decides = not selection.by_sharing(args)
    recorder = kp.callbacks.SearchRecorder if decides else kp.callbacks.HistoryRecorder
    progress = common.progress_callbacks(directory, args.batch_size, pictures if decides else None)

    def run():
        supernet.fit(
            pairs,
            validation_data=valid,
            epochs=args.epochs,
            shuffle=False,  # the pairs are
            verbose=common.verbosity(),
            callbacks=[*limits, recorder(directory), *progress, saved],
        )

    long_runs.run_with_exit_status(run, saved, directory, prog, args)


def early_ends(args):
    """Callbacks for what ends a search before its last epoch, before those that record what it found."""
    limit, stable = kp.callbacks.SkipLimit, kp.callbacks.StableRanking
    return [
        *([limit(args.skip_limit, args.at_skip_limit == "restore", at_least=args.at_least)] if args.skip_limit else []),
        *([stable(args.stable_epochs, args.at_least)] if args.stable_epochs else []),
    ]


def batches(splits, args):
    """The data of a search: pairs from both halves, and the second half for validation."""
    train, valid = (
        splits.batches(half, args.batch_size, augment=True, seed=args.seed, drop_remainder=True)
        for half in ("train", "valid")
    )
    return kp.data.bilevel(train, valid), splits.batches("valid", args.batch_size, shuffle=False)


def build(splits, steps, args):
    """The compiled supernet; `steps` is the number of batches an epoch."""
    supernet = kp.Supernet(
        args.space, splits.input_shape, splits.num_classes, args.channels, args.layers, args.nodes, args.stem,
        args.order, args.hvp, args.seed, args.remat, method_of(args), args.synchronized,
        args.learnable_bn,
    )  # fmt: skip
    configure(supernet, args.learning_rate, args.epochs * steps, args)
    return supernet


def configure(supernet, learning_rate, steps, args):
    """Compiles a supernet for so many steps, whose learning rate goes down a cosine."""
    schedule = common.cosine(learning_rate, steps, last=0.001)
    supernet.compile(kp.optimizers.SGD(schedule), alpha_optimizer(args), engine=args.engine)


def method_of(args):
    """The method's name. Raises ValueError: an unknown one."""
    kp.methods.get(args.method)
    return args.method


def alpha_optimizer(args):
    """The one that the method needs, or DARTS's, at the learning rate that is asked for."""
    own, rate = kp.methods.get(args.method).relaxation.optimizer(), args.alpha_learning_rate
    if own is None:
        return kp.optimizers.Adam(3e-4 if rate is None else rate)
    if rate is not None:
        own.learning_rate = rate
    return own


def draw(directory, supernet, genotype, args):
    """Draws what the search found and recorded: the cells, the mixing weights and the losses over the epochs."""
    draw_cells(supernet, directory, genotype, selection.by_alphas(args))
    kp.analysis.training_curves(directory / "history.csv", directory / "curves.png")
    if selection.by_sharing(args):
        return
    history, primitives = kp.analysis.read_alphas(directory / "alphas.npz")
    for kind, alphas in history.items():
        path = directory / f"alphas_{CELLS[kind]}.png"
        kp.analysis.alpha_curves(alphas, primitives, path, inputs=supernet.space.topology.inputs)


def draw_cells(supernet, directory, genotype=None, weighted=True):
    """Draws the cells of a genotype, or of the present one, with the weights of their ops if asked."""
    alphas = supernet.allowed_alphas()
    genotype = supernet.genotype() if genotype is None else genotype
    weights = kp.analysis.genotype_weights(genotype, alphas, supernet.space.primitives) if weighted else None
    kp.analysis.plot_genotype(genotype, directory, weights)


def pictures(supernet, directory):
    """For TensorBoard: the cells, and the weights of all ops as tables."""
    draw_cells(supernet, directory)
    for kind, alphas in supernet.allowed_alphas().items():
        path, inputs = directory / f"heatmap_{CELLS[kind]}.png", supernet.space.topology.inputs
        kp.analysis.alpha_heatmap(alphas, supernet.space.primitives, path, inputs)


CELLS = {"normal": "normal", "reduce": "reduction"}
FILES = {
    "genotype.json": "the genotype found: `train` takes it, or this directory, as --genotype",
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
    "checkpoints": "where --resume goes on",
    "progress.json": "how far the search is: `watch` shows it",
    "tensorboard": "logs: tensorboard --logdir",
}


def files(args):
    """What the run directory holds: {name: what it is}."""
    alphas = ("genotypes.jsonl", "alphas.npz", "alphas_normal.png", "alphas_reduction.png")
    left_out = alphas if selection.by_sharing(args) else ()
    if "reduce" not in kp.spaces.get(args.space).topology.kinds:
        left_out += ("reduction.png", "alphas_reduction.png")
    return {name: what for name, what in FILES.items() if name not in left_out} | selection.files(args)
