"""Train the discrete network of a genotype, and save it for inference."""

from pathlib import Path

import keras

import keras_pibnas as kp
from keras_pibnas.cli import common, flags, long_runs

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
    }
}


def build_parser():
    return flags.Parser(
        "train",
        __doc__,
        flags.RUN_FLAGS,
        genotype="PIBCONV",
        dataset="digits",
        data_dir=None,
        side=16,
        layers=4,
        channels=8,
        stem="conv3x3",
        batch_size=64,
        epochs=20,
        learning_rate=0.025,
        cutout=0,
        drop_path=0.0,
        auxiliary=0.0,
        seed=0,
        out=None,
        preset=None,
    )


def main(argv=None):
    parser = build_parser()
    with common.user_errors(parser):
        args = long_runs.resolve_arguments(parser, argv, PRESETS, "train")
        strategy = long_runs.strategy_of(args)
        long_runs.seeded(args)
        genotype = genotype_of(args)
        splits = kp.data.load(args.dataset, args.side, args.data_dir)
        train, test = batches(splits, args)
        with long_runs.made_for(strategy, args):
            model = build(genotype, splits, len(train), args)
        directory = long_runs.directory_of(args, "train")
        if kp.runs.is_chief():
            genotype.save(directory / "genotype.json")
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
                callbacks=[*callbacks(directory, args), saved],
            )

    long_runs.run_with_exit_status(fit, saved, directory, parser.prog, args)
    if kp.runs.is_chief():
        finish(model, genotype, test, directory, saved.seconds)
    return directory


def genotype_of(args):
    """What --genotype says; of a run that goes on, the one that it keeps, wherever that came from."""
    kept = args.resume and Path(args.resume, "genotype.json")
    return common.resolve_genotype(str(kept) if kept and kept.is_file() else args.genotype)


def batches(splits, args):
    """Augmented training batches, and those of the test split."""
    train = splits.batches(
        "train", args.batch_size, augment=True, cutout=args.cutout, seed=args.seed, drop_remainder=True
    )
    return train, splits.batches("test", args.batch_size)


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
    optimizer = kp.optimizers.SGD(common.cosine(args.learning_rate, args.epochs * steps))
    if args.auxiliary:
        weights = {"logits": 1.0, "auxiliary": args.auxiliary}
        losses = {name: common.cross_entropy() for name in weights}
        model.compile(optimizer, losses, loss_weights=weights, metrics={"logits": ["accuracy"]})
    else:
        model.compile(optimizer, common.cross_entropy(), metrics=["accuracy"])
    return model


def callbacks(directory, args):
    schedule = [kp.callbacks.DropPathSchedule(args.drop_path, args.epochs)] if args.drop_path else []
    return [*schedule, kp.callbacks.HistoryRecorder(directory), *common.progress_callbacks(directory, args.batch_size)]


def finish(model, genotype, test, directory, seconds):
    """Saves the model for inference, its pictures and its result, and says where they are."""
    plain = kp.network.inference_model(model)
    kp.runs.save_model(plain, directory / "model.keras")
    plain.compile(loss=common.cross_entropy(), metrics=["accuracy"])
    measured = plain.evaluate(test, verbose=0, return_dict=True)
    result = {
        "test_accuracy": measured["accuracy"],
        "test_loss": measured["loss"],
        "parameters": sum(int(keras.ops.size(weight)) for weight in plain.trainable_variables),
        "training_seconds": round(seconds, 1),
    }
    kp.runs.write_json(directory / "result.json", result)
    kp.analysis.plot_genotype(genotype, directory)
    kp.analysis.training_curves(directory / "history.csv", directory / "curves.png")
    title = f"Test accuracy {result['test_accuracy']:.2%} with {result['parameters']:,} parameters."
    common.summary(title, directory, FILES)


FILES = {
    "model.keras": "the network, for keras.saving.load_model after import keras_pibnas",
    "result.json": "test accuracy and loss, parameters, seconds",
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
