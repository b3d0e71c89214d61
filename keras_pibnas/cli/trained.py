"""Networks that train has left: the model, and the data set that it is tried on."""

import json
from pathlib import Path

import keras
import numpy as np

import keras_pibnas as kp
from keras_pibnas.cli import flags

# Of the commands that take a trained network: what is not given is that of its run.
GROUPS = tuple(
    {name: row | {"default": None, "help": f"{row['help'].partition('; None')[0]}; None: that of the run"}}
    if name in ("resize", "task")
    else {name: row}
    for group in (flags.IMAGE_FLAGS, flags.TASK_FLAGS)
    for name, row in group.items()
)


def load(text):
    """Path and model of a run directory or a .keras file, without what only training needs.

    Raises:
        ValueError: it is neither, or no discrete network.
    """
    path = Path(text)
    path = path / "model.keras" if path.is_dir() else path
    if not path.is_file() or path.suffix != ".keras":
        raise ValueError(f"Not a run directory of train, nor a .keras file. Received: {text}")
    model = keras.saving.load_model(path, compile=False)
    if not isinstance(model, kp.network.DiscreteNetwork):
        raise ValueError(f"Not a discrete network of this package, but a {type(model).__name__}. Received: {text}")
    return path, kp.network.inference_model(model)


def images(args, path, model, name="The model"):
    """The data set that was asked for, or that of the model's run, at the model's side; digits where neither says.

    Args:
        args: with dataset, data_dir, resize, task and stream.
        path: of the model's file, beside which its run's config.json is.
        model: of `load`.
        name: of the model, in messages.

    Raises:
        ValueError: images or outputs are not those that the model has.
    """
    config = path.with_name("config.json")
    run = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
    dataset = args.dataset or run.get("dataset") or "digits"
    data_dir = args.data_dir or (None if args.dataset else run.get("data_dir"))
    resize, task = args.resize or run.get("resize"), args.task or run.get("task") or kp.data.TASKS[0]
    shape, outputs = tuple(model.inputs[0].shape[1:]), model.outputs[0].shape[-1]
    splits = kp.data.load(dataset, shape[:2], data_dir, resize, task, args.stream or None)
    if (splits.input_shape, splits.outputs) != (shape, outputs):
        what = "classes" if task == "multiclass" else "labels"
        raise ValueError(
            f"{name} takes images {shape} of {outputs} {what}; --dataset must be like those it was trained on. "
            f"Received: {dataset}, images {splits.input_shape} of {splits.outputs} {what}"
        )
    return splits


def few(splits, count):
    """So many training images, from all over the split, as an array."""
    stored = splits.arrays["train"][0]
    return stored[np.arange(0, len(stored), max(1, len(stored) // count))[:count]]
