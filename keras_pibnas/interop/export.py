"""Networks as files for other runtimes: SavedModel, LiteRT, ONNX. Every file takes raw uint8 images, in float32."""

import importlib.util
import os
import re
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from keras import ops

from keras_pibnas.engine.kernels import portable
from keras_pibnas.interop import export_runtimes as runtimes
from keras_pibnas.keras_private import all_layers

# Format -> what must be importable to write and to run it, beyond the package's own requirements.
NEEDS = {
    "saved_model": (),
    "litert": ("ai_edge_litert",),
    "litert_float16": ("ai_edge_litert",),
    "litert_dynamic": ("ai_edge_litert",),
    "litert_int8": ("ai_edge_litert",),
    "onnx": ("tf2onnx", "onnxruntime"),
}
FORMATS = tuple(NEEDS)


def export(
    model: keras.Model,
    path: str | Path,
    format: str = "saved_model",
    normalization: tuple[Sequence[float], Sequence[float]] | None = None,
    representative: np.ndarray | None = None,
) -> Path:
    """Writes a model for another runtime, with the normalization of its images.

    The input "images" is uint8 (B, H, W, C), raw pixels; the output "logits" is float32 (B, num_classes). Only the
    output of `litert_int8` is int8, with its scale and zero point in the file.

    Args:
        model: of `build_network` without auxiliary head (see `inference_model`), or loaded from a .keras file.
        path: of the file; for `saved_model` of the folder, which must not exist.
        format: "saved_model"; "litert" (float32), "litert_float16" (weights in float16), "litert_dynamic" (weights in
            int8, activations quantized as they come), "litert_int8" (all integers; its eight bits are too few for the
            variances of layer normalization: look at `compare_export`); "onnx".
        normalization: (mean, std) of pixels scaled to [0, 1], each a float a channel, as `Splits.mean` and `.std`;
            None: what the model carries.
        representative: uint8 images (N, H, W, C) of the training set, for the ranges of `litert_int8`; a hundred do.

    Returns:
        Path of what was written.

    Raises:
        ValueError: an unknown format, a model of several outputs, a missing or misshapen argument, a missing package;
            or a layer that the format cannot express, by name.
        OSError: the file cannot be written.

    Example:
        >>> genotype = kp.genotypes.random(("skip_connect",), nodes=1)
        >>> model = kp.build_network(genotype, (8, 8, 1), 2, channels=2, layers=2)
        >>> kp.interop.export(model, "model", "saved_model", normalization=((0.5,), (0.25,))).name
        'model'
    """
    path = Path(path)
    check_format(format)
    normalization = check_normalization(model, normalization)
    samples = check_representative(model, representative) if format == "litert_int8" else None
    if path.is_dir():
        raise ValueError(f"There is a folder already; choose another path. Received: path={str(path)!r}")
    there = next(parent for parent in path.absolute().parents if parent.exists())
    with tempfile.TemporaryDirectory(dir=there, prefix=".export-") as aside:
        try:
            _write(format, serving_model(model, normalization, format), Path(aside, path.name), samples)
        except Exception as error:
            raise _explained(error, in_float32(model), format) from error
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(Path(aside, path.name), path)
    return path


def check_format(format: str) -> None:
    """Raises ValueError where a format is unknown, or a package that it needs is not installed.

    Example:
        >>> kp.interop.check_format("saved_model")
    """
    if format not in NEEDS:
        raise ValueError(f"Unknown format. Known: {', '.join(FORMATS)}. Received: format={format!r}")
    missing = [name for name in NEEDS[format] if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(f"Format {format} needs {', '.join(missing)}: pip install 'keras_pibnas[export]'")


def check_normalization(model, normalization):
    """(mean, std) as two arrays (C,), the argument or what the model carries."""
    if len(model.outputs) != 1 or len(model.inputs) != 1:
        raise ValueError(
            "export takes a model of one input and one output; kp.network.inference_model takes the auxiliary head "
            f"off. Received: {len(model.inputs)} inputs, {len(model.outputs)} outputs"
        )
    given = normalization if normalization is not None else getattr(model, "normalization", None)
    if given is None:
        raise ValueError(
            "The model carries no normalization. Pass normalization=(mean, std) of pixels scaled to [0, 1], as "
            "kp.data.load(...).mean and .std. Received: normalization=None"
        )
    channels = model.inputs[0].shape[-1]
    arrays = [np.asarray(part, "float64") for part in given]
    if [array.shape for array in arrays] != [(channels,)] * 2 or not (arrays[1] > 0).all():
        raise ValueError(
            f"normalization must be (mean, std), each {channels} numbers, std above 0. Received: {given!r}"
        )
    return arrays


def check_representative(model, images):
    """[image] lists, float32; the first one gets the darkest and brightest pixel, so uint8 pixels enter as they are."""
    shape = tuple(model.inputs[0].shape[1:])
    images = None if images is None else np.asarray(images)
    if images is None or images.dtype != np.uint8 or images.shape[1:] != shape or not len(images):
        found = None if images is None else f"{images.dtype} {images.shape}"
        raise ValueError(
            f"litert_int8 needs representative=, uint8 images {('N', *shape)} of the training set. Received: {found}"
        )
    images = images.astype("float32")
    images[0].flat[:2] = 0, 255
    return [[image[None]] for image in images]


def in_float32(model: keras.Model) -> keras.Model:
    """The model in float32 with the same weights, whatever precision it was trained in; itself where that is float32.

    Runtimes have no bfloat16, and what is trained in low precision has float32 weights.

    Args:
        model: functional, of `build_network` or loaded from a .keras file.

    Example:
        >>> model = kp.build_network("PIBCONV", (8, 8, 1), num_classes=2, channels=2, layers=2)
        >>> kp.interop.in_float32(model) is model
        True
    """
    if all(layer.dtype_policy.name == "float32" for layer in all_layers(model)):
        return model
    copy = type(model).from_config(_with_float32(model.get_config()))
    copy.set_weights([ops.convert_to_numpy(ops.cast(weight, "float32")) for weight in model.weights])
    return copy


def _with_float32(config):
    """A configuration whose dtypes and policies are float32, where they were others of floats."""
    if isinstance(config, list | tuple):
        return type(config)(map(_with_float32, config))
    if not isinstance(config, dict):
        return config
    return {name: _as_float32(value) if name == "dtype" else _with_float32(value) for name, value in config.items()}


def _as_float32(dtype):
    floats = dtype is not None and "float" in keras.dtype_policies.get(dtype).compute_dtype
    return "float32" if floats else dtype


def serving_model(model, normalization, format="saved_model"):
    """The model from raw pixels to {"logits": ...}, in float32; for the converter to integers the pixels, too."""
    model = in_float32(model)
    dtype = "float32" if format == "litert_int8" else "uint8"
    images = keras.Input(model.inputs[0].shape[1:], dtype=dtype, name="images")
    mean, std = normalization
    scaled = keras.layers.Rescaling(
        (1 / (255 * std)).tolist(), (-mean / std).tolist(), dtype="float32", name="normalization"
    )
    return keras.Model(images, {"logits": model(scaled(images), training=False)}, name="serving")


def _write(format, model, path, samples):
    """samples: for litert_int8, lists of one array an input, (1, ...)."""
    with portable(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of converters, about their own use of NumPy and TensorFlow
        if format == "saved_model":
            model.export(path, format="tf_saved_model", verbose=False)
        elif format == "onnx":
            model.export(path, format="onnx", verbose=False, input_signature=_signature(model))
            runtimes.onnx(path)  # the converter leaves ops that it does not know as they are
        else:
            path.write_bytes(_lite(format, model, samples))


def _signature(model):
    """The inputs as Keras 3 wants them for a model that has not been called."""
    specs = [keras.InputSpec(x.dtype, x.shape, name=x.name) for x in model.inputs]
    return specs if len(specs) == 1 else [specs]


def _lite(format, model, samples):
    """The bytes of a LiteRT file. Built-in ops only: an interpreter alone runs it."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, format="tf_saved_model", verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if format != "litert":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if format == "litert_float16":
            converter.target_spec.supported_types = [tf.float16]
        if format == "litert_int8":
            converter.representative_dataset = lambda: iter(samples)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type, converter.inference_output_type = tf.uint8, tf.int8
        return converter.convert()


def _explained(error, model, format):
    """An error that names the layers which cannot be written, by trying each alone; or the error itself."""
    if isinstance(error, OSError):
        return error
    failed = {}
    for layer in model.layers:
        reason = None if isinstance(layer, keras.layers.InputLayer) else _failure(layer, format)
        if reason:
            failed[f"{layer.name} ({type(layer).__name__})"] = reason
    if not failed:
        return error
    some = "; ".join(f"{name}: {reason}" for name, reason in list(failed.items())[:3])
    more = f"; and {len(failed) - 3} more" if len(failed) > 3 else ""
    return ValueError(f"Format {format} cannot express {len(failed)} layers of {model.name}: {some}{more}")


def _failure(layer, format):
    """Why a layer alone cannot be written, in one line, or None. A copy is tried: the layer stays as it is."""
    inputs = keras.tree.map_structure(lambda x: keras.Input(x.shape[1:], dtype=x.dtype), layer.input)
    copy = type(layer).from_config(layer.get_config())
    samples = [[np.ones((1, *x.shape[1:]), "float32") for x in keras.tree.flatten(inputs)]] * 2
    with tempfile.TemporaryDirectory() as folder:
        try:
            _write(format, keras.Model(inputs, copy(inputs)), Path(folder, "layer"), samples)
        except Exception as error:
            return _short(error)
    return None


def _short(error):
    """The ops that a converter or runtime lacks, or the first line of its error."""
    found = re.findall(r"'tf\.(\w+)' op|No Op registered for (\w+)|(\w+) is not a registered function", str(error))
    if found:
        return f"it has no op {', '.join(sorted({''.join(names) for names in found}))}"
    return next((line.strip()[:200] for line in str(error).splitlines() if line.strip()), type(error).__name__)
