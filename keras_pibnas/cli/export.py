"""Write a trained network for other runtimes, run each file there, and compare it with the Keras model."""

import shutil

import keras_pibnas as kp
from keras_pibnas.cli import common, flags, stderr, tables, trained

NAMES = {
    "saved_model": "saved_model",
    "litert": "model.tflite",
    "litert_float16": "model_float16.tflite",
    "litert_dynamic": "model_dynamic.tflite",
    "litert_int8": "model_int8.tflite",
    "onnx": "model.onnx",
}
WHAT = {
    "saved_model": "folder for TensorFlow and TensorFlow Serving",
    "litert": "LiteRT, float32",
    "litert_float16": "LiteRT, weights in float16",
    "litert_dynamic": "LiteRT, weights in int8, activations quantized as they come",
    "litert_int8": "LiteRT, all integers",
    "onnx": "ONNX, float32",
}


def build_parser():
    parser = flags.Parser("export", __doc__, *trained.GROUPS, dataset=None, data_dir=None, out=None)
    parser.add_argument("model", type=flags.home, help="run directory of train, or a .keras file")
    parser.add_argument(
        "--format", nargs="+", choices=kp.interop.FORMATS, default=list(kp.interop.FORMATS), help="what to write"
    )
    parser.add_argument("--images", type=flags.positive, default=1000, help="test images to compare on, at most")
    parser.add_argument(
        "--representative", type=flags.positive, default=200, help="training images for the ranges of litert_int8"
    )
    parser.add_argument("--repeats", type=flags.positive, default=200, help="runs of one image to time")
    return parser


def main(argv=None):
    parser = build_parser()
    args = flags.parse(parser, argv)
    with common.user_errors(parser):
        for format in args.format:
            kp.interop.check_format(format)
        source, model = trained.load(args.model)
        model = kp.interop.in_float32(model)  # as files for other runtimes are
        splits = trained.images(args, source, model)
        normalization = model.normalization or (splits.mean, splits.std)
        images, labels = (array[: args.images] for array in splits.arrays["test"])
        reference = kp.interop.reference_logits(model, images, normalization)
        directory = kp.runs.create_run_directory(args.out, "export", vars(args))
    model.normalization = normalization
    try:
        rows = write(parser, args, directory, model, splits, images, labels, reference)
    except BaseException:
        shutil.rmtree(directory)  # nothing half written
        raise
    kp.runs.write_json(directory / "export.json", {"model": str(source), "threads": 1, "exports": rows})
    report(directory, rows)
    return directory


def write(parser, args, directory, model, splits, images, labels, reference):
    """Writes the files into the directory, and returns what each gives beside the Keras model."""
    kp.runs.save_model(model, directory / "model.keras")
    rows = [compared(directory / "model.keras", "keras", images, labels, reference, splits.task, args)]
    representative = trained.few(splits, args.representative)
    for format in dict.fromkeys(args.format):
        print(f"Writing and running {NAMES[format]} ...", flush=True)
        with common.user_errors(parser):  # what a format cannot express is the user's to know
            with stderr.without_notes():
                path = kp.interop.export(model, directory / NAMES[format], format, representative=representative)
            rows.append(compared(path, format, images, labels, reference, splits.task, args))
    return rows


def compared(path, format, images, labels, reference, task, args):
    row = kp.interop.compare_export(path, format, images, reference, labels, args.repeats, task)
    return row | {"file": path.name}


def report(directory, rows):
    """The table, and the files."""
    print(f"\nOn {rows[0]['images']} test images, one at a time, on one thread, each file under its own runtime:\n")
    print(tables.table([figures(row) for row in rows]))
    files = {NAMES[row["format"]]: WHAT[row["format"]] for row in rows[1:]}
    common.summary(
        "Every file takes uint8 images (B, H, W, C), raw pixels, and gives logits (B, classes).",
        directory,
        {**files, "model.keras": "the Keras model", "export.json": "the table as numbers"},
    )


def figures(row):
    low, high = row["latency_quartiles_ms"]
    return {
        "file": row["file"],
        "KiB": f"{row['bytes'] / 1024:.1f}",
        "max difference": f"{row['max_difference']:.1e}",
        "mean difference": f"{row['mean_difference']:.1e}",
        **{name: f"{row[name]:.2%}" for name in ("agreement", "accuracy") if name in row},
        **({"mean absolute error": f"{row['mae']:.4g}"} if "mae" in row else {}),
        "ms (quartiles)": f"{row['latency_ms']:.3f} ({low:.3f}-{high:.3f})",
    }
