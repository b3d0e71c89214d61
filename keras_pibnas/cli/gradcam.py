"""Draw where networks look: Grad-CAM heat maps over test images, images down, networks across, enlarged to 224."""

from math import prod
from pathlib import Path

import numpy as np

import keras_pibnas as kp
from keras_pibnas.cli import common, flags, tables, trained
from keras_pibnas.training import tasks


def build_parser():
    parser = flags.Parser("gradcam", __doc__, *trained.GROUPS, dataset=None, data_dir=None)
    parser.add_argument(
        "models", metavar="MODEL", nargs="+",
        help="run directories of train or .keras files; NAME=PATH says what to write above the column",
    )  # fmt: skip
    parser.add_argument(
        "--images", type=int, nargs="+", metavar="N",
        help="numbers of test images, from 0; None: the first of each of the first four classes or labels",
    )  # fmt: skip
    parser.add_argument(
        "--class", dest="which", metavar="CLASS",
        help="the class or label that the maps speak for, by its name; or predicted (by each network), or true (of a "
        "class); None: predicted, of a regression its first label",
    )  # fmt: skip
    parser.add_argument("--layer", help="name of a layer; None: the last cell. A wrong one lists the layers")
    parser.add_argument(
        "--out", type=flags.home, metavar="DIR", default="pictures", help="where the picture, gradcam.png, goes"
    )
    return parser


def main(argv=None):
    parser = build_parser()
    args = flags.parse(parser, argv)
    with common.user_errors(parser):
        found = named(args.models)
        splits = {name: trained.images(args, *each, name) for name, each in found.items()}
        models = {name: model for name, (_, model) in found.items()}
        first = max(splits.values(), key=lambda each: prod(each.input_shape))
        chosen = choose(first, args.images)
        images = {name: prepared(model, splits[name], chosen) for name, model in models.items()}
        pictures, labels = (array[chosen] for array in first.arrays["test"])
        path = Path(args.out, "gradcam.png")
        kp.analysis.gradcam_figure(
            models, images, path, [SAYS[first.task](label, first.label_names) for label in labels], pictures,
            class_index(args.which, labels, first), args.layer,
        )  # fmt: skip
    print(tables.table(predictions(models, images, chosen, labels, first)))
    which = args.which or ("predicted" if first.task != "regression" else first.label_names[0])
    title = f"Grad-CAM for {which if which in first.label_names else f'the {which} class'}:"
    common.summary(title, path.parent, {path.name: "images down, networks across"})
    return path


def named(texts):
    """{what stands above the column: (path, model)}."""
    models = {}
    for text in texts:
        name, _, path = text.rpartition("=") if not Path(text).exists() else ("", "", text)
        name = name or short(Path(path))
        if name in models:
            raise ValueError(f"Two models of one name; write NAME=PATH. Received: {name}")
        models[name] = trained.load(flags.home(path))
    return models


def short(path):
    """The directory that a model is in, or the trial of a sweep."""
    directory = path if path.is_dir() else path.parent if path.name == "model.keras" else path.with_suffix("")
    return (directory.parent if directory.name == "run" else directory).resolve().name


def choose(splits, numbers):
    """Numbers of test images: those asked for, or the first of each of the first four classes or labels."""
    labels = splits.arrays["test"][1]
    if numbers is None:
        if splits.task == "regression":
            return list(range(min(4, len(labels))))
        has = labels > 0 if splits.task == "multilabel" else labels[:, None] == np.unique(labels)
        return list(dict.fromkeys(int(np.argmax(column)) for column in has.T if column.any()))[:4] or [0]
    for number in numbers:
        if not 0 <= number < len(labels):
            raise ValueError(f"Test images are 0 to {len(labels) - 1}. Received: --images {number}")
    return numbers


def prepared(model, splits, chosen):
    """Test images as the model takes them, (B, H, W, C): with the normalization that it carries, or the data set's."""
    mean, std = (np.asarray(part) for part in getattr(model, "normalization", None) or (splits.mean, splits.std))
    return ((splits.arrays["test"][0][chosen] / 255 - mean) / std).astype("float32")


def class_index(which, labels, splits):
    """What `grad_cam` takes: None for the predicted class or label, one class an image, or one class or label."""
    names = splits.label_names
    ways = {"multiclass": ("predicted", "true"), "multilabel": ("predicted",), "regression": ()}[splits.task]
    if which is None and splits.task == "regression":
        return 0
    if which in names and which not in ways:
        return names.index(which)
    if which is not None and which not in ways:
        raise ValueError(f"Unknown class. Known: {', '.join((*ways, *names))}. Received: --class {which}")
    return [int(label) for label in labels] if which == "true" else None


def predictions(models, images, chosen, labels, splits):
    """A row an image: its class or labels, and what each network says of it."""
    names, task = splits.label_names, tasks.get(splits.task)
    said = {
        name: np.asarray(task.activate(model.predict(images[name], verbose=0).astype("float64")))
        for name, model in models.items()
    }
    head = "class" if splits.task == "multiclass" else "labels"
    return [
        {"image": number, head: SAYS[splits.task](label, names)}
        | {name: PREDICTS[splits.task](values[row], names) for name, values in said.items()}
        for row, (number, label) in enumerate(zip(chosen, labels, strict=True))
    ]


def likely(probabilities, names, least):
    """The names whose probability is at least that, or the likeliest one, with their probabilities."""
    found = np.flatnonzero(probabilities >= min(least, probabilities.max()))
    return ", ".join(f"{names[number]} ({probabilities[number]:.1%})" for number in found)


def values(numbers, names):
    return ", ".join(f"{name} {number:.4g}" for name, number in zip(names, numbers, strict=True))


# Task -> words for what an image is labelled, and for what a network says of it.
SAYS = {
    "multiclass": lambda label, names: names[label],
    "multilabel": lambda label, names: ", ".join(names[number] for number in np.flatnonzero(label)) or "none",
    "regression": values,
}
PREDICTS = {
    "multiclass": lambda shares, names: likely(shares, names, 1.0),
    "multilabel": lambda shares, names: likely(shares, names, 0.5),
    "regression": values,
}
