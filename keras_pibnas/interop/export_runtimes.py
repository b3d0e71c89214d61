"""Runs exported files under their runtimes, each alone.

This file is also a program that needs nothing of this package, only NumPy and the runtime:

    python export_runtimes.py FORMAT FILE IMAGES.npy RESULT.npz [REPEATS [THREADS]]

runs the images, uint8 (N, H, W, C), and writes `logits` (N, classes), `seconds` of REPEATS runs of one image after a
tenth as many to warm up, and `modules`: which of the packages in HEAVY the process has imported.
"""

import itertools
import sys
import time

import numpy as np

HEAVY = ("ai_edge_litert", "keras", "keras_pibnas", "onnxruntime", "tensorflow")


def saved_model(path, threads=1):
    """A function from uint8 images (B, H, W, C) to logits (B, classes), as all of these; TensorFlow alone."""
    tf = _tensorflow(threads)
    loaded = tf.saved_model.load(str(path))
    serve = loaded.signatures["serving_default"]
    # The signature's variables live as long as what was loaded.
    return lambda images, _kept=loaded: serve(images=tf.constant(images))["logits"].numpy()


def keras_model(path, threads=1):
    """Keras and this package, for comparison; compiled to a graph."""
    tf = _tensorflow(threads)
    import keras

    from keras_pibnas import network  # noqa: F401, it registers the layers

    model = keras.saving.load_model(path, compile=False)
    call = tf.function(lambda images: model(images, training=False), autograph=False, reduce_retracing=True)
    mean, std = (np.asarray(part, "float32") for part in model.normalization)
    return lambda images: call(tf.constant((images / np.float32(255) - mean) / std)).numpy()


def litert(path, threads=1):
    """LiteRT's interpreter alone. Integer logits are scaled back."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=threads)
    (given,), (found,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = found["quantization"]
    interpreter.allocate_tensors()

    def run(images):
        if tuple(interpreter.get_input_details()[0]["shape"]) != images.shape:
            interpreter.resize_tensor_input(given["index"], images.shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], images)
        interpreter.invoke()
        logits = interpreter.get_tensor(found["index"])
        return (logits.astype("float32") - zero) * np.float32(scale) if scale else logits

    return run


def onnx(path, threads=1):
    """onnxruntime alone."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (name,) = (given.name for given in session.get_inputs())
    return lambda images: session.run(None, {name: images})[0]


RUNTIMES = {
    "keras": keras_model,
    "saved_model": saved_model,
    "litert": litert,
    "litert_float16": litert,
    "litert_dynamic": litert,
    "litert_int8": litert,
    "onnx": onnx,
}


def _tensorflow(threads):
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    return tf


def time_single(run, images, repeats):
    """Seconds of each of `repeats` runs of one image after another, after a tenth as many to warm up."""
    seconds = []
    rounds = itertools.islice(itertools.cycle(images), repeats + max(1, repeats // 10))
    for image in rounds:
        start = time.perf_counter()
        run(image[None])
        seconds.append(time.perf_counter() - start)
    return np.array(seconds[-repeats:])


def main(format, path, images_path, result_path, repeats="100", threads="1"):
    images = np.load(images_path)
    run = RUNTIMES[format](path, int(threads))
    seconds = time_single(run, images, int(repeats))
    logits = np.concatenate([run(image[None]) for image in images])
    np.savez(result_path, logits=logits, seconds=seconds, modules=[name for name in HEAVY if name in sys.modules])


if __name__ == "__main__":
    main(*sys.argv[1:])
