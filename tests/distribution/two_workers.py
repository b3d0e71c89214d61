"""One of two processes of test_workers.py. Arguments: what, index, port, .npz to write."""

import json
import os
import signal
import sys

import keras
import numpy as np
import small_runs
import tensorflow as tf

import keras_pibnas as kp
from keras_pibnas.distribution import WorkerLost, cluster, strategy
from keras_pibnas.runs import is_chief


class Dies(keras.callbacks.Callback):
    """Ends its process as a power cut would, after the third step."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == 2:
            os.kill(os.getpid(), signal.SIGKILL)


class Stock(keras.Model):
    """A linear model without anything of ours."""

    def __init__(self):
        super().__init__()
        self.layer = keras.layers.Dense(3)

    def call(self, x):
        return self.layer(keras.ops.mean(x, (1, 2)))


class Built(Stock):
    """The same, whose metrics and loss are built from shapes: what remains are the metrics of rank 0."""

    _maybe_symbolic_build = kp.distribution.ReplicatedMixin._maybe_symbolic_build


def error_of_stock_keras(model):
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    try:
        model.fit(small_runs.batches(8, 4, 0), verbose=0)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def fits(strategy):
    """State and history of a training and a search, and what stock Keras says."""
    results = {"chief": is_chief(), "cluster": cluster()}
    with strategy.scope():
        training, search = small_runs.network(), small_runs.supernet(order=1)
    results["training"] = small_runs.fitted(training, small_runs.batches(9, 4, 0), small_runs.batches(5, 4, 2))
    results["search"] = small_runs.fitted(search, small_runs.pairs(9, 4), small_runs.batches(5, 4, 2))
    for name, kind in (("built", Built), ("stock", Stock)):
        with strategy.scope():
            model = kind()
        results[name] = error_of_stock_keras(model)
    return results


def death(strategy):
    """What the process says whose partner dies."""
    with strategy.scope():
        model = small_runs.network()
    try:
        model.fit(small_runs.batches(40, 4, 0), verbose=0, shuffle=False, callbacks=[] if is_chief() else [Dies()])
    except WorkerLost as error:
        return {"error": str(error)}
    return {"error": "none"}


def main(what, index, port, path):
    workers = [f"127.0.0.1:{int(port) + i}" for i in range(2)]
    config = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": int(index)}}
    os.environ["TF_CONFIG"] = json.dumps(config)
    several = strategy()
    assert isinstance(several, tf.distribute.MultiWorkerMirroredStrategy)
    keras.config.set_floatx("float64")
    results = {"fits": fits, "death": death}[what](several)
    np.savez(path, results=np.array(results, dtype=object))


if __name__ == "__main__":
    main(*sys.argv[1:])
