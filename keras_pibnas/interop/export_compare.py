"""Logits of an exported file, compared with those of the Keras model."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from keras_pibnas.interop import export_runtimes
from keras_pibnas.interop.export import check_normalization, serving_model


def reference_logits(
    model: keras.Model, images: np.ndarray, normalization: tuple[Sequence[float], Sequence[float]] | None = None
) -> np.ndarray:
    """Logits (N, classes) of the Keras model for uint8 images (N, H, W, C). normalization: as in `export`.

    Example:
        >>> images = keras.Input((8, 8, 1), name="images")
        >>> model = keras.Model(images, keras.layers.Dense(2, name="logits")(keras.layers.Flatten()(images)))
        >>> kp.interop.reference_logits(model, np.zeros((3, 8, 8, 1), "uint8"), ((0.5,), (0.25,))).shape
        (3, 2)
    """
    return serving_model(model, check_normalization(model, normalization)).predict(images, verbose=0)["logits"]


def compare_export(
    path: str | Path,
    format: str,
    images: np.ndarray,
    reference: np.ndarray,
    labels: np.ndarray | None = None,
    repeats: int = 100,
    task: str = "multiclass",
) -> dict:
    """Runs an exported file in a process of its own, on one thread, under its runtime, and compares its logits.

    Args:
        path: of the file (saved_model: the folder), or of a .keras file with format "keras".
        format: as in `export`.
        images: uint8 (N, H, W, C).
        reference: logits (N, classes) that the Keras model gives, as of `reference_logits`.
        labels: integers (N,), or for the other tasks numbers (N, outputs), or None.
        repeats: runs of one image that are timed.
        task: "multiclass", "multilabel" (a label is predicted where its logit is above 0) or "regression".

    Returns:
        A dictionary that JSON can hold: format, bytes (of all files), images, max_difference and mean_difference of the
        logits, agreement of the predictions (0 to 1), accuracy (0 to 1) where labels are given, of a regression
        instead mae (mean absolute error), latency_ms (median of one image) and latency_quartiles_ms.

    Raises:
        ValueError: the runtime cannot run the file; with the end of what it said.

    Example:
        >>> images = np.zeros((1, 8, 8, 1), "uint8")
        >>> try:
        ...     kp.interop.compare_export("missing.onnx", "onnx", images, np.zeros((1, 2)))
        ... except ValueError as error:
        ...     print("missing.onnx" in str(error))
        True
    """
    logits, seconds = _run(format, path, images, repeats)
    difference = np.abs(logits - reference)
    low, median, high = np.percentile(seconds * 1e3, (25, 50, 75))
    return {
        "format": format,
        "bytes": size(path),
        "images": len(images),
        "max_difference": float(difference.max()),
        "mean_difference": float(difference.mean()),
        **compared(logits, reference, labels, task),
        "latency_ms": float(median),
        "latency_quartiles_ms": [float(low), float(high)],
    }


def compared(logits, reference, labels, task):
    """How the predictions of (N, outputs) logits compare with those of the reference, and with the labels."""
    if task == "regression":
        return {} if labels is None else {"mae": float(np.abs(logits - labels).mean())}
    predicted, expected = (values.argmax(-1) if task == "multiclass" else values > 0 for values in (logits, reference))
    agreement = {"agreement": float(np.mean(predicted == expected))}
    return agreement if labels is None else agreement | {"accuracy": float(np.mean(predicted == labels))}


def _run(format, path, images, repeats):
    with tempfile.TemporaryDirectory() as folder:
        given, result = os.path.join(folder, "images.npy"), os.path.join(folder, "result.npz")
        np.save(given, images)
        done = subprocess.run(
            [sys.executable, "-P", export_runtimes.__file__, format, str(path), given, result, str(repeats)],
            capture_output=True,
            text=True,
            env={**os.environ, **_reachable(format)},
        )
        if done.returncode:
            raise ValueError(f"{path} does not run as {format}: {done.stderr[-500:].strip()}")
        with np.load(result) as arrays:
            return arrays["logits"], arrays["seconds"]


def _reachable(format):
    """Environment in which the Keras model finds this package, wherever it was imported from."""
    if format != "keras":
        return {}
    root = str(Path(__file__).parents[2])
    return {"PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))}


def size(path):
    """Bytes of a file, or of all files in a folder."""
    path = Path(path)
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
