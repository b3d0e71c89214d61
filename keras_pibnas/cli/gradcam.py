"""Draw where networks look: Grad-CAM heat maps over test images, images down, networks across, enlarged to 224."""

from pathlib import Path

import numpy as np

import keras_pibnas as kp
from keras_pibnas.cli import common, export, flags, tables


def build_parser():
    parser = flags.Parser("gradcam", __doc__, dataset="digits", data_dir=None)
    parser.add_argument(
        "models", metavar="MODEL", nargs="+",
        help="run directories of train or .keras files; NAME=PATH says what to write above the column",
    )  # fmt: skip
    parser.add_argument(
        "--images", type=int, nargs="+", metavar="N",
        help="numbers of test images, from 0; None: the first of each of the first four classes",
    )  # fmt: skip
    parser.add_argument(
        "--class", dest="which", metavar="CLASS", default="predicted",
        help="the class that the maps speak for: predicted (by each network), true, or a class's name",
    )  # fmt: skip
    parser.add_argument("--layer", help="name of a layer; None: the last cell. A wrong one lists the layers")
    parser.add_argument("--out", metavar="DIR", default="pictures", help="where the picture, gradcam.png, goes")
    return parser


def main(argv=None):
    parser = build_parser()
    args = flags.parse(parser, argv)
    with common.user_errors(parser):
        models = named(args.models)
        splits = {name: data(args, model, name) for name, model in models.items()}
        first = max(splits.values(), key=lambda each: each.input_shape[0])
        chosen = choose(first, args.images)
        images = {name: prepared(model, splits[name], chosen) for name, model in models.items()}
        pictures, labels = (array[chosen] for array in first.arrays["test"])
        classes = class_index(args.which, labels, first.class_names)
        path = Path(args.out, "gradcam.png")
        kp.analysis.gradcam_figure(
            models, images, path, [first.class_names[label] for label in labels], pictures, classes, args.layer
        )
    print(tables.table(predictions(models, images, chosen, labels, first.class_names)))
    common.summary(f"Grad-CAM for the {args.which} class:", path.parent, {path.name: "images down, networks across"})
    return path


def named(texts):
    """{what stands above the column: model}."""
    models = {}
    for text in texts:
        name, _, path = text.rpartition("=") if not Path(text).exists() else ("", "", text)
        name = name or short(Path(path))
        if name in models:
            raise ValueError(f"Two models of one name; write NAME=PATH. Received: {name}")
        models[name] = export.load(path)[1]
    return models


def short(path):
    """The directory that a model is in, or the trial of a sweep."""
    directory = path if path.is_dir() else path.parent if path.name == "model.keras" else path.with_suffix("")
    return (directory.parent if directory.name == "run" else directory).resolve().name


def data(args, model, name):
    """The data set, at the side of the model's images."""
    shape, classes = tuple(model.inputs[0].shape[1:]), model.outputs[0].shape[-1]
    splits = kp.data.load(args.dataset, shape[0], args.data_dir)
    if (splits.input_shape, splits.num_classes) != (shape, classes):
        raise ValueError(
            f"{name} takes images {shape} of {classes} classes. Received: --dataset {args.dataset}, images "
            f"{splits.input_shape} of {splits.num_classes} classes"
        )
    return splits


def choose(splits, numbers):
    """Numbers of test images: those asked for, or the first of each of the first four classes."""
    labels = splits.arrays["test"][1]
    if numbers is None:
        return [int(np.flatnonzero(labels == label)[0]) for label in np.unique(labels)[:4]]
    for number in numbers:
        if not 0 <= number < len(labels):
            raise ValueError(f"Test images are 0 to {len(labels) - 1}. Received: --images {number}")
    return numbers


def prepared(model, splits, chosen):
    """Test images as the model takes them, (B, H, W, C): with the normalization that it carries, or the data set's."""
    mean, std = (np.asarray(part) for part in getattr(model, "normalization", None) or (splits.mean, splits.std))
    return ((splits.arrays["test"][0][chosen] / 255 - mean) / std).astype("float32")


def class_index(which, labels, names):
    """What `grad_cam` takes: None for the predicted class, one class an image, or one class."""
    if which == "predicted":
        return None
    if which == "true":
        return [int(label) for label in labels]
    if which not in names:
        raise ValueError(f"Unknown class. Known: predicted, true, {', '.join(names)}. Received: --class {which}")
    return names.index(which)


def predictions(models, images, chosen, labels, names):
    """A row an image: its class, and what each network says of it, with the probability."""
    logits = {name: model.predict(images[name], verbose=0).astype("float64") for name, model in models.items()}
    weights = {name: np.exp(values - values.max(1, keepdims=True)) for name, values in logits.items()}
    shares = {name: values / values.sum(1, keepdims=True) for name, values in weights.items()}
    return [
        {"image": number, "class": names[label]}
        | {name: f"{names[share[row].argmax()]} ({share[row].max():.1%})" for name, share in shares.items()}
        for row, (number, label) in enumerate(zip(chosen, labels, strict=True))
    ]
