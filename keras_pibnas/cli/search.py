"""Search a cell: train a supernet on the two halves of a training split, and read off its genotype."""

import keras

import keras_pibnas as kp
from keras_pibnas.cli import common, flags, long_runs, selection, targets, user_callbacks
from keras_pibnas.training import tasks

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


# Flags of the alphas' Adam -> its arguments.
ADAM = {
    "alpha_learning_rate": "learning_rate",
    "alpha_beta_1": "beta_1",
    "alpha_beta_2": "beta_2",
    "alpha_l2": "l2",
    "alpha_clipnorm": "global_clipnorm",
}


def published(args):
    """The defaults of --preset paper: with `darts` the PIBConv paper's, else the method's own as `kp.methods` has them.

    Raises:
        ValueError: an unknown method.
    """
    method = kp.methods.get(args.method)
    return PRESETS["paper"] | ({} if args.method == "darts" else method.settings)


def build_parser():
    return flags.Parser(
        "search",
        __doc__,
        *flags.RUN_GROUPS,
        flags.SEARCH_FLAGS,
        flags.SELECTION_FLAGS,
        space="pibconv",
        nodes=4,
        order=2,
        hvp="exact",
        remat=False,
        alpha_learning_rate=None,
        epochs=10,
        preset=None,
        **flags.RUN_DEFAULTS,
    )


def main(argv=None):
    parser = build_parser()
    with common.user_errors(parser):
        args = long_runs.resolve_arguments(parser, argv, {"paper": published}, "search")
        selection.check(args)
        strategy = long_runs.strategy_of(args)
        long_runs.seeded(args)
        factories = user_callbacks.load(args.callbacks)
        splits = common.load_images(args).halves(seed=args.seed)
        pairs, valid = batches(splits, args)
        with long_runs.made_for(strategy, args):
            supernet = build(splits, len(pairs), args)
        directory = long_runs.directory_of(args, "search")
        own = user_callbacks.make(factories, directory, args)
    weights = sum(int(keras.ops.size(weight)) for weight in supernet.network.trainable_variables)
    print(f"Searching {args.space} on {args.dataset}: {weights:,} weights, {directory}")
    fit(supernet, pairs, valid, directory, parser.prog, args, own)
    genotype = selection.select(supernet, pairs, valid, directory, parser.prog, args, configure)
    if not kp.runs.is_chief():
        return directory
    genotype.save(directory / "genotype.json")
    kp.runs.save_model(supernet, directory / "supernet.keras")
    draw(directory, supernet, genotype, args)
    print(f"\n{genotype}")
    common.summary("The run directory holds:", directory, files(args))
    return directory


def fit(supernet, pairs, valid, directory, prog, args, own):
    """Trains a supernet and records what it finds, from where the directory's last checkpoint stands.

    Args: own: callbacks of the user's.
    """
    measured, limits = measurements(args, valid), early_ends(args)
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
            callbacks=[*measured, *limits, recorder(directory), *progress, *own, saved],
        )

    long_runs.run_with_exit_status(run, saved, directory, prog, args)


def measurements(args, valid):
    """Callbacks for what a search measures once in a while, before those that look at it."""
    every = args.eigenvalues or (2 if args.eigenvalue_stop else None)
    return [kp.callbacks.Eigenvalues(valid, every)] if every else []


def early_ends(args):
    """Callbacks for what ends a search before its last epoch, before those that record what it found."""
    task, ends = tasks.get(args.task), []
    if args.skip_limit:
        restore = args.at_skip_limit == "restore"
        ends.append(
            kp.callbacks.SkipLimit(args.skip_limit, restore, f"val_{task.monitor}", args.at_least, mode=task.mode)
        )
    if args.stable_epochs:
        ends.append(kp.callbacks.StableRanking(args.stable_epochs, args.at_least))
    if args.eigenvalue_stop:
        ends.append(kp.callbacks.EigenvalueStop())
    return ends


def batches(splits, args):
    """The data of a search: pairs from both halves, and the second half for validation."""
    train, valid = (
        splits.batches(
            half, args.batch_size, seed=args.seed, drop_remainder=True, **common.augmentation(args, splits)
        )
        for half in ("train", "valid")
    )
    return kp.data.bilevel(train, valid), splits.batches("valid", args.batch_size, shuffle=False)


def build(splits, steps, args):
    """The compiled supernet; `steps` is the number of batches an epoch."""
    supernet = kp.Supernet(
        args.space, splits.input_shape, splits.num_classes, args.channels, args.layers, args.nodes, args.stem,
        args.order, args.hvp, args.seed, args.remat, method_of(args), args.synchronized,
    )  # fmt: skip
    configure(supernet, args.learning_rate, args.epochs * steps, args)
    return supernet


def configure(supernet, learning_rate, steps, args):
    """Compiles a supernet for so many steps, whose learning rate goes down a cosine."""
    task, outputs = tasks.get(args.task), supernet.settings["num_classes"]
    optimizer = weight_optimizer(learning_rate, steps, args)
    supernet.compile(optimizer, alpha_optimizer(args), task.loss(), task.metrics(outputs), engine=args.engine)


def weight_optimizer(learning_rate, steps, args):
    """SGD down a cosine of so many steps."""
    schedule = common.cosine(learning_rate, steps, last=args.learning_rate_min)
    return kp.optimizers.SGD(schedule, args.momentum, args.l2, args.clipnorm or None)


def method_of(args):
    """The method's name, or the method with the penalties of what it should cost.

    Raises:
        ValueError: an unknown method, or flags that do not go together.
    """
    method = kp.methods.get(args.method)
    return targets.limited(method, args) if targets.units(args) else args.method


def alpha_optimizer(args):
    """The one that the method needs, or DARTS's Adam, with what is asked for.

    Raises:
        ValueError: what is asked for is Adam's, and the method needs another one.
    """
    own = kp.methods.get(args.method).relaxation.optimizer()
    given = {theirs: getattr(args, ours) for ours, theirs in ADAM.items() if getattr(args, ours) is not None}
    if own is None:
        return kp.optimizers.Adam(**given | {"global_clipnorm": given.get("global_clipnorm") or None})
    own.learning_rate = given.pop("learning_rate", own.learning_rate)
    if given:
        wrong = [ours for ours, theirs in ADAM.items() if theirs in given]
        raise ValueError(
            f"The alphas of {args.method} have an optimizer of their own, with a learning rate alone. "
            f"Received: {long_runs.flags(wrong)}"
        )
    return own


def draw(directory, supernet, genotype, args):
    """Draws what the search found and recorded: the cells, the mixing weights and the losses over the epochs."""
    draw_cells(supernet, directory, genotype, selection.by_alphas(args))
    kp.analysis.training_curves(directory / "history.csv", directory / "curves.png")
    if selection.by_sharing(args):
        return
    history, primitives = kp.analysis.read_alphas(directory / "alphas.npz")
    kp.analysis.alpha_curves(history["normal"], primitives, directory / "alphas_normal.png")
    kp.analysis.alpha_curves(history["reduce"], primitives, directory / "alphas_reduction.png")


def draw_cells(supernet, directory, genotype=None, weighted=True):
    """Draws the cells of a genotype, or of the present one, with the weights of their ops if asked."""
    alphas = dict(zip(("normal", "reduce"), map(keras.ops.convert_to_numpy, supernet.alphas), strict=True))
    genotype = supernet.genotype() if genotype is None else genotype
    weights = kp.analysis.genotype_weights(genotype, alphas, supernet.space.primitives) if weighted else None
    kp.analysis.plot_genotype(genotype, directory, weights)


def pictures(supernet, directory):
    """For TensorBoard: the cells, and the weights of all ops as tables."""
    draw_cells(supernet, directory)
    for name, alpha in zip(("normal", "reduction"), supernet.alphas, strict=True):
        values = keras.ops.convert_to_numpy(alpha)
        kp.analysis.alpha_heatmap(values, supernet.space.primitives, directory / f"heatmap_{name}.png")


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
    return {name: what for name, what in FILES.items() if name not in left_out} | selection.files(args)
