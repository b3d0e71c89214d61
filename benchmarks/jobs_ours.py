"""What a worker of this library does: what its users do, through the public names.

Training runs inside one long `fit`; a callback waits before each step and reports after it, so that what
`fit` does once an epoch is not counted, and nothing is traced twice.
"""

import dataclasses
import itertools
import json
import os
import platform
import tempfile

import keras_pibnas as kp  # before Keras, as README.md says

# isort: split
import keras
import numpy as np
import tensorflow as tf


def use_threads(config):
    """As README.md advises: for a search of small batches on two cores, one op a core in place of every op on both."""
    if config.get("device") == "gpu":
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
        return
    count = config["threads"]
    apart = config["job"] == "search" and count == 2 and config["batch"] <= 16
    tf.config.threading.set_intra_op_parallelism_threads(1 if apart else count)
    tf.config.threading.set_inter_op_parallelism_threads(count)


def gpu_memory():
    return tf.config.experimental.get_memory_info("GPU:0")["peak"]


def versions():
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "keras_pibnas": kp.__version__,
    }


class StepByStep(keras.callbacks.Callback):
    def __init__(self, gate):
        super().__init__()
        self.gate = gate

    def on_train_batch_begin(self, batch, logs=None):
        self.gate.begin()

    def on_train_batch_end(self, batch, logs=None):
        self.gate.end(float(logs["loss"]))


def fit(model, batch, gate):
    data = tf.data.Dataset.from_tensors(batch).repeat()
    model.fit(data, steps_per_epoch=10**9, shuffle=False, verbose=0, callbacks=[StepByStep(gate)])


def search(config, batches, gate):
    with kp.distribution.strategy(config.get("devices", 1)).scope():
        supernet = kp.Supernet(
            space=config["space"],
            input_shape=(config["side"], config["side"], 3),
            num_classes=10,
            channels=config["channels"],
            layers=config["layers"],
            nodes=config["nodes"],
            order=config["order"],
            hvp=config["hvp"],
            remat=config.get("remat", False),
            synchronized=config.get("synchronized", False),
            dtype=config.get("dtype"),
            method=at_work(config.get("method", "darts")),
        )
        supernet.compile(engine=config.get("engine"))
    fit(supernet, tuple(batches), gate)


def at_work(method):
    """The method without the rest that its alphas begin with: steps of the rest of a search are what is measured."""
    return dataclasses.replace(kp.methods.get(method), rest=0.0)


def build_network(config):
    return kp.build_network(
        kp.Genotype.from_json(json.dumps(config["genotype"])),
        input_shape=(config["side"], config["side"], 3),
        num_classes=10,
        channels=config["channels"],
        layers=config["layers"],
    )


def train(config, batches, gate):
    model = build_network(config)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(kp.optimizers.SGD(0.025), loss)
    fit(model, batches[0], gate)


def inference(config, batches, gate):
    model = build_network(config)
    images, _ = batches[0]
    for _ in itertools.count():
        gate.begin()
        model.predict_on_batch(images)
        gate.end()


def pairs_of_batches(config):
    """The library's pipeline, with crop, flip and cutout, over random images."""
    size = (config["images"], config["side"], config["side"], 3)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "random.npz")
        images, labels = rng.integers(256, size=size, dtype="uint8"), np.arange(size[0]) % 10
        np.savez(path, x_train=images, y_train=labels, x_test=images[:10], y_test=labels[:10])
        splits = kp.data.load(path, side=None).halves()
    options = {"augment": True, "cutout": config["side"] // 2, "drop_remainder": True}
    return kp.data.bilevel(*(splits.batches(name, config["batch"], **options) for name in ("train", "valid")))


def pipeline(config, batches, gate):
    """Nothing but the batches of a search; many at a time, since a few are made while the worker waits."""
    iterator = iter(pairs_of_batches(config).repeat())
    while True:
        gate.begin()
        for _ in range(config["pairs"]):
            next(iterator)
        gate.end(repeats=config["pairs"])


JOBS = {"search": search, "train": train, "inference": inference, "pipeline": pipeline}
