"""Fit a network of a genotype into a file size, MACs and memory; train it, export it in int8, and check the file.

The deepest network that keeps the limits is taken, as wide as they let it be. Sizes are those of LiteRT files that are
written on the way.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

import keras_pibnas as kp
from keras_pibnas.analysis import Limits
from keras_pibnas.cli import common, flags, stderr, tables, train, trained

TRAINING = (
    "genotype", "dataset", "data_dir", "side", "resize", "stream", "stem", "batch_size", "epochs", "learning_rate",
    "cutout", "drop_path", "seed",
)  # fmt: skip


MARGIN = 0.01  # of the file size: names and ranges in the trained network's file took half a percent more


def build_parser():
    parser = flags.Parser(
        "tiny", __doc__, flags.IMAGE_FLAGS, genotype="DARTS_V2", dataset="digits", data_dir=None, side=16,
        stem="conv3x3", batch_size=64, epochs=20, learning_rate=0.025, cutout=0, drop_path=0.0, seed=0, out=None,
    )  # fmt: skip
    amount = {"type": flags.amount, "metavar": "AMOUNT"}
    parser.add_argument("--max-file-size", **amount, default=100 * 1024, help="bytes of the int8 file, such as 100KiB")
    parser.add_argument("--max-macs", **amount, help="MACs of an image, such as 1.5M")
    parser.add_argument(
        "--max-activation-memory", **amount, help="bytes of int8 activations at one moment, such as 64KiB"
    )
    parser.add_argument("--max-layers", type=flags.positive, default=20, help="number of cells to stop at")
    parser.add_argument("--min-channels", type=flags.positive, default=8, help="fewest channels of the first cell")
    return parser


def main(argv=None):
    parser = build_parser()
    args = flags.parse(parser, argv)
    limits = Limits(args.max_file_size, args.max_macs, args.max_activation_memory)
    with common.user_errors(parser):
        kp.interop.check_format("litert_int8")
        genotype = common.resolve_genotype(args.genotype)
        splits = common.load_images(args)
        splits.batches("train", args.batch_size, augment=True, cutout=args.cutout, drop_remainder=True)
        found = fit(genotype, splits, replace(limits, file_size=int(args.max_file_size * (1 - MARGIN))), args)
        directory = kp.runs.create_run_directory(args.out, "tiny", vars(args))
    print(f"\nThe deepest and then widest: {found.layers} layers, {found.channels} channels")
    settings = {name: getattr(args, name) for name in TRAINING}
    size = {"layers": found.layers, "channels": found.channels, "out": directory / "train"}
    run = train.main(kp.runs.words(settings | size))
    fits = finish(run, splits, found, limits, directory)
    if not fits:
        parser.exit(1, f"{parser.prog}: the trained file is larger than the limit; ask for a little less\n")
    return directory


def fit(genotype, splits, limits, args):
    """The network, with a line about each that was tried."""
    print("Trying depths, then widths:", flush=True)
    return kp.analysis.fit_network(
        genotype, limits, splits.input_shape, splits.num_classes, args.stem, args.max_layers, args.min_channels,
        file_size=lambda model: file_size(model, splits), tried=lambda each: tell(each, limits),
    )  # fmt: skip


def file_size(model, splits):
    """Bytes of the int8 file of a network that is not trained.

    They do not depend on the weights, but zeros, such as the means of a new batch normalization, would be left out.
    """
    generator = np.random.default_rng(0)
    model.set_weights([generator.uniform(0.1, 1, weight.shape) for weight in model.get_weights()])
    model.normalization = (splits.mean, splits.std)
    with tempfile.TemporaryDirectory() as folder, stderr.without_notes():
        path = kp.interop.export(
            model, Path(folder, "model.tflite"), "litert_int8", representative=trained.few(splits, 4)
        )
        return path.stat().st_size


def tell(each, limits):
    size = "" if each.file_size is None else f", file of {each.file_size:,} bytes"
    too_large = each.exceeds(limits)
    verdict = f"too large ({', '.join(too_large)})" if too_large else "fits"
    print(
        f"  {each.layers} layers, {each.channels} channels: {each.params:,} parameters, {each.macs:,} MACs, "
        f"{each.activation_memory:,} bytes of activations{size}: {verdict}",
        flush=True,
    )


def finish(run, splits, found, limits, directory):
    """Exports the trained network, runs the file, and tells. Returns whether the file keeps its limit."""
    _, model = trained.load(str(run))
    model.normalization = model.normalization or (splits.mean, splits.std)
    images, labels = map(np.asarray, splits.arrays["test"])
    print("Writing and running the int8 file ...", flush=True)
    with stderr.without_notes():
        path = kp.interop.export(
            model, directory / "model_int8.tflite", "litert_int8", representative=trained.few(splits, 200)
        )
    reference = kp.interop.reference_logits(model, images)
    row = kp.interop.compare_export(path, "litert_int8", images, reference, labels)
    result = {
        "layers": found.layers, "channels": found.channels, "params": found.params, "macs": found.macs,
        "activation_memory": found.activation_memory, "file_size": row["bytes"],
        "float_accuracy": float(np.mean(reference.argmax(-1) == labels)), "int8_accuracy": row["accuracy"],
        "latency_ms": row["latency_ms"],
    }  # fmt: skip
    kp.runs.write_json(directory / "tiny.json", {**result, "limits": vars(limits)})
    print("\n" + tables.table(against(result, limits)))
    title = f"Test accuracy {result['int8_accuracy']:.2%} in int8 ({result['float_accuracy']:.2%} in float32)."
    common.summary(title, directory, FILES)
    return row["bytes"] <= limits.file_size


def against(result, limits):
    """What the network costs, beside its limits."""
    units = {"file_size": "bytes", "macs": "MACs of an image", "activation_memory": "bytes of int8 activations"}
    return [
        {"limit on": name.replace("_", " "), "limit": "none" if limit is None else f"{limit:,}"}
        | {"found": f"{result[name]:,}", "unit": units[name]}
        for name, limit in vars(limits).items()
    ]


FILES = {
    "model_int8.tflite": "the network in int8, for LiteRT: uint8 images in, int8 logits out",
    "tiny.json": "what it costs and how well it does, beside the limits",
    "train": "the run directory of train, with the float32 model",
    "config.json": "the command's arguments",
}
