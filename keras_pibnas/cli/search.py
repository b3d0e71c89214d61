"""Search a cell: train a supernet on the two halves of a training split, and read off its genotype."""

import keras

import keras_pibnas as kp
from keras_pibnas.cli import common, flags, long_runs, repeats, selection, stages, targets, user_callbacks
from keras_pibnas.schedules import cosine
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
        flags.CLUSTER_FLAGS,
        space="pibconv",
        nodes=None,
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
        places = repeats.check(args)
        stages.check(args, long_runs.flags_given(parser, argv))
        strategy = long_runs.strategy_of(args)
        long_runs.seeded(args)
        factories = user_callbacks.load(args.callbacks)
        splits = common.load_images(args).halves(seed=args.seed)
        pairs, valid = batches(splits, args)
        staged = stages.of(args, kp.methods.get(method_of(args))) if stages.staged(args) else None

        def built(layers=None, method=None):
            with long_runs.made_for(strategy, args):
                return build(splits, len(pairs), args, layers, method)

        supernet = built(*stages.first(staged)) if staged else built()
        if staged:
            staged.stages[0].check(supernet.relaxed.cells)
        directory = long_runs.directory_of(args, "search")
        own = user_callbacks.make(factories, directory, args)
    if args.repeats:
        return repeats.main(build_parser(), args, directory, *places)
    weights = sum(int(keras.ops.size(weight)) for weight in supernet.network.trainable_variables)
    print(f"Searching {args.space} on {args.dataset}: {weights:,} weights, {directory}")
    if staged:
        supernet = in_stages(staged, [supernet], built, pairs, valid, directory, parser.prog, args, own)
    else:
        fit(supernet, pairs, valid, directory, directory, parser.prog, args, own)
    genotype = selection.select(supernet, pairs, valid, directory, parser.prog, args, configure)
    if not kp.runs.is_chief():
        return directory
    genotype.save(directory / "genotype.json")
    kp.runs.save_model(supernet, directory / "supernet.keras")
    draw_cells(supernet, directory, genotype, selection.by_alphas(args))
    if not staged:
        draw(directory, supernet, not selection.by_sharing(args))
    print(f"\n{genotype}")
    common.summary("The run directory holds:", directory, files(args))
    return directory


def in_stages(method, first, built, pairs, valid, directory, prog, args, own):
    """The last supernet of a search in stages. Args: first: as of `stages.search`; built: (layers, Method)."""

    def build_anew(layers, method):
        long_runs.seeded(args)  # a search that goes on in this stage starts it from the same weights
        return built(layers, method)

    def train(supernet, place):
        fit(supernet, pairs, valid, place, directory, prog, args, own)
        if kp.runs.is_chief():
            draw_cells(supernet, place)
            draw(place, supernet)

    return stages.search(method, first, build_anew, train, directory)


def fit(supernet, pairs, valid, directory, run_directory, prog, args, own):
    """Trains a supernet and records what it finds, from where the directory's last checkpoint stands.

    Args: run_directory: of the whole search, with which --resume goes on; own: callbacks of the user's.
    """
    measured, limits = measurements(args, valid), early_ends(args)
    saved = long_runs.checkpoint(directory, "search", pairs, args, limits, run_directory)
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
    return [*ends, *([kp.callbacks.EigenvalueStop()] if args.eigenvalue_stop else [])]


def batches(splits, args):
    """The data of a search: pairs from both halves, and the second half for validation."""
    train, valid = (
        splits.batches(half, args.batch_size, seed=args.seed, drop_remainder=True, **common.augmentation(args, splits))
        for half in ("train", "valid")
    )
    return kp.data.bilevel(train, valid), splits.batches("valid", args.batch_size, shuffle=False)


def build(splits, steps, args, layers=None, method=None):
    """The compiled supernet; `steps` is the number of batches an epoch. layers, method: None for what args say."""
    supernet = kp.Supernet(
        args.space, splits.input_shape, splits.num_classes, args.channels, layers or args.layers, args.nodes,
        args.stem, args.order, args.hvp, args.seed, args.remat, method or method_of(args), args.synchronized,
        args.learnable_bn,
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
    return common.weight_optimizer(cosine(learning_rate, steps, last=args.learning_rate_min), args)


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


def draw(directory, supernet, by_alphas=True):
    """Draws what a search recorded: the losses over the epochs, and of one by alphas the weights of all ops."""
    kp.analysis.training_curves(directory / "history.csv", directory / "curves.png")
    if not by_alphas:
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


RESULTS = ("genotype.json", "normal.png", "reduction.png", "supernet.keras", "config.json")
OF_ALPHAS = ("genotypes.jsonl", "alphas.npz", "alphas_normal.png", "alphas_reduction.png")


def files(args):
    """What the run directory holds: {name: what it is}."""
    if stages.staged(args):
        return {name: FILES[name] for name in RESULTS} | stages.files(args)
    left_out = OF_ALPHAS if selection.by_sharing(args) else ()
    if "reduce" not in kp.spaces.get(args.space).topology.kinds:
        left_out += ("reduction.png", "alphas_reduction.png")
    return {name: what for name, what in FILES.items() if name not in left_out} | selection.files(args)
