"""Train the discrete network of a genotype, and save it for inference."""

from pathlib import Path

import keras

import keras_pibnas as kp
from keras_pibnas.cli import common, flags, long_runs, user_callbacks
from keras_pibnas.schedules import cosine
from keras_pibnas.training import tasks

PRESETS = {
    "paper": {
        "dataset": "cifar10",
        "side": 32,
        "layers": 20,
        "channels": 36,
        "batch_size": 96,
        "epochs": 600,
        "learning_rate": 0.0025,
        "cutout": 16,
        "drop_path": 0.2,
        "auxiliary": 0.4,
    },
    # As DARTS was trained on ImageNet: its paper, and its train_imagenet.py.
    "imagenet": {
        "dataset": "imagenet2012",
        "side": 224,
        "resize": "crop",
        "augment": "imagenet",
        "stem": "imagenet",
        "layers": 14,
        "channels": 48,
        "batch_size": 128,
        "epochs": 250,
        "learning_rate": 0.1,
        "decay": 0.97,
        "l2": 3e-5,
        "label_smoothing": 0.1,
        "auxiliary": 0.4,
    },
}


def build_parser():
    parser = flags.Parser(
        "train",
        __doc__,
        *flags.RUN_GROUPS,
        flags.TRAIN_FLAGS,
        flags.MEASURE_FLAGS,
        genotype="PIBCONV",
        epochs=20,
        cutout=0,
        drop_path=0.0,
        auxiliary=0.0,
        **flags.RUN_DEFAULTS,
    )
    flag = flags.FLAGS["preset"] | {"choices": tuple(PRESETS)}
    parser.add_argument("--preset", **flag | {"help": f"imagenet: those of DARTS on ImageNet; paper: {flag['help']}"})
    return parser


def main(argv=None):
    parser = build_parser()
    with common.user_errors(parser):
        args = long_runs.resolve_arguments(parser, argv, PRESETS, "train")
        strategy = long_runs.strategy_of(args)
        long_runs.seeded(args)
        genotype = genotype_of(args)
        factories = user_callbacks.load(args.callbacks)
        splits = common.load_images(args)
        train, test = batches(splits, args)
        with long_runs.made_for(strategy, args):
            model = build(genotype, splits, len(train), args)
        directory = long_runs.directory_of(args, "train")
        if kp.runs.is_chief():
            genotype.save(directory / "genotype.json")
        own = user_callbacks.make(factories, directory, args)
    print(f"Training {args.genotype} on {args.dataset}: {directory}")
    saved = long_runs.checkpoint(directory, "train", train, args)

    def fit():
        with kp.engine.use(args.engine):
            model.fit(
                train.map(for_both) if args.auxiliary else train,
                validation_data=test.map(for_both) if args.auxiliary else test,
                epochs=args.epochs,
                shuffle=False,  # the batches are
                verbose=common.verbosity(),
                callbacks=[*callbacks(directory, args), *own, saved],
            )

    long_runs.run_with_exit_status(fit, saved, directory, parser.prog, args)
    if kp.runs.is_chief():
        finish(model, genotype, splits, test, directory, saved.seconds)
    return directory


def genotype_of(args):
    """What --genotype says; of a run that goes on, the one that it keeps, wherever that came from."""
    kept = args.resume and Path(args.resume, "genotype.json")
    return common.resolve_genotype(str(kept) if kept and kept.is_file() else args.genotype)


def batches(splits, args):
    """Augmented training batches, and those that it is measured on."""
    splits = splits.halves(seed=args.seed) if args.measure_on == "valid" else splits
    train = splits.batches(
        "train", args.batch_size, cutout=args.cutout, seed=args.seed, drop_remainder=True,
        **common.augmentation(args, splits),
    )  # fmt: skip
    return train, splits.batches(args.measure_on, args.batch_size)


def for_both(images, labels):
    """The labels once for the logits, once for the auxiliary head."""
    return images, {"logits": labels, "auxiliary": labels}


def build(genotype, splits, steps, args):
    """The compiled training model; `steps` is the number of batches an epoch."""
    model = kp.build_network(
        genotype,
        splits.input_shape,
        splits.num_classes,
        args.channels,
        args.layers,
        args.stem,
        auxiliary=args.auxiliary > 0,
        drop_path=args.drop_path,
        synchronized=args.synchronized,
    )
    model.normalization = (splits.mean, splits.std)  # saved with it, for export
    optimizer = common.weight_optimizer(learning_rate(args, steps), args)
    task = tasks.get(splits.task)
    loss, metrics = task.loss(args.label_smoothing), task.metrics(splits.outputs)
    if args.auxiliary:
        weights = {"logits": 1.0, "auxiliary": args.auxiliary}
        losses = {"logits": loss, "auxiliary": task.loss(args.label_smoothing)}
        model.compile(optimizer, losses, loss_weights=weights, metrics={"logits": metrics})
    else:
        model.compile(optimizer, loss, metrics=metrics)
    return model


def learning_rate(args, steps):
    """A cosine over all epochs, or with --decay a factor from epoch to epoch; `steps` is the batches of one."""
    if args.decay is None:
        return cosine(args.learning_rate, args.epochs * steps)
    return keras.optimizers.schedules.ExponentialDecay(args.learning_rate, steps, args.decay, staircase=True)


def callbacks(directory, args):
    schedule = [kp.callbacks.DropPathSchedule(args.drop_path, args.epochs)] if args.drop_path else []
    return [*schedule, kp.callbacks.HistoryRecorder(directory), *common.progress_callbacks(directory, args.batch_size)]


def finish(model, genotype, splits, test, directory, seconds):
    """Saves the model for inference, its pictures and its result, and says where they are."""
    plain, task = kp.network.inference_model(model), tasks.get(splits.task)
    kp.runs.save_model(plain, directory / "model.keras")
    result = measured(plain, splits, test, task) | {
        "parameters": sum(int(keras.ops.size(weight)) for weight in plain.trainable_variables),
        "training_seconds": round(seconds, 1),
    }
    kp.runs.write_json(directory / "result.json", result)
    kp.analysis.plot_genotype(genotype, directory)
    kp.analysis.training_curves(directory / "history.csv", directory / "curves.png")
    common.summary(f"{score(result, task)} with {result['parameters']:,} parameters.", directory, FILES)


def measured(model, splits, test, task):
    """{"test_loss", "test_" and each metric of the task}, without label smoothing; "labels": the same of each label."""
    metrics = task.metrics(splits.outputs)
    model.compile(loss=task.loss(), metrics=metrics)
    values = model.evaluate(test, verbose=0, return_dict=True)
    result = {f"test_{name}": value for name, value in values.items()}
    if task.name == "multilabel":
        each = {metric.name: keras.ops.convert_to_numpy(metric.per_label()).tolist() for metric in metrics}
        result["labels"] = {
            label: {name: figures[number] for name, figures in each.items()}
            for number, label in enumerate(splits.label_names)
        }
    return result


def score(result, task):
    """How good the network is, in words."""
    value, name = result[f"test_{task.monitor}"], task.monitor.replace("_", " ")
    return f"Test {name} {value:.2%}" if task.mode == "max" else f"Test {name} {value:.4g}"


FILES = {
    "model.keras": "the network, for keras.saving.load_model after import keras_pibnas",
    "result.json": "metrics and loss of the test images, parameters, seconds",
    "genotype.json": "the genotype",
    "normal.png": "the normal cell",
    "reduction.png": "the reduction cell",
    "curves.png": "losses and accuracies over the epochs",
    "history.csv": "the same as numbers",
    "config.json": "the command's arguments",
    "checkpoints": "where --resume goes on",
    "progress.json": "how far the training is: `watch` shows it",
    "tensorboard": "logs: tensorboard --logdir",
}
