"""Small runs for the tests that kill processes: a search and a training, with all that can be random."""

from pathlib import Path

import keras
import numpy as np

import keras_pibnas as kp

EPOCHS = {"search": 3, "training": 6}
BATCH, SIDE, IMAGES, CHANNELS, SEED = 8, 8, 80, 2, 3


def splits():
    """Random images of two classes, 80 of 8x8 pixels for training and 16 for testing."""
    generator = np.random.default_rng(0)
    arrays = {
        name: (generator.integers(0, 256, (count, SIDE, SIDE, 1), "uint8"), np.arange(count, dtype="int32") % 2)
        for name, count in (("train", IMAGES), ("test", 16))
    }
    return kp.data.Splits(arrays, ("even", "odd"), (0.5,), (0.3,))


def search(order=1):
    """(supernet, pairs, validation data)"""
    space = kp.spaces.SearchSpace("two", ("none", "skip_connect", "sep_conv_3x3"))
    supernet = kp.Supernet(space, (SIDE, SIDE, 1), 2, channels=2, layers=2, nodes=1, order=order, seed=0)
    rate = keras.optimizers.schedules.CosineDecay(0.1, EPOCHS["search"] * 5)
    supernet.compile(kp.optimizers.SGD(rate), kp.optimizers.Adam(0.01))
    halves = splits().halves()
    train, valid = (halves.batches(half, BATCH, augment=True, cutout=2, seed=SEED) for half in ("train", "valid"))
    return supernet, kp.data.bilevel(train, valid), halves.batches("valid", BATCH, shuffle=False)


def training():
    """(network with drop path and batch normalization, batches, validation data)"""
    block = [keras.layers.Conv2D(CHANNELS, 3), kp.layers.BatchNorm(), kp.layers.DropPath(0.5)]
    network = keras.Sequential([keras.Input((SIDE, SIDE, 1)), *block, keras.layers.Flatten(), keras.layers.Dense(2)])
    rate = keras.optimizers.schedules.CosineDecay(0.1, EPOCHS["training"] * 10)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(kp.optimizers.SGD(rate), loss, metrics=["accuracy"])
    train, test = splits().batches("train", BATCH, augment=True, cutout=2, seed=SEED), splits().batches("test", BATCH)
    return network, train, test


def fit(kind, directory, extra=(), eagerly=False, **options):
    """Trains with a checkpoint after every step; writes `end.npz` with all that the run has come to."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    model, data, valid = {"search": search, "training": training}[kind]()
    model.run_eagerly = eagerly
    directory = Path(directory)
    recorder = kp.callbacks.SearchRecorder if kind == "search" else kp.callbacks.HistoryRecorder
    schedule = [kp.callbacks.DropPathSchedule(0.5, EPOCHS["training"])] if kind == "training" else []
    checkpoint = kp.callbacks.Checkpoint(directory / "checkpoints", data, **{"every_steps": 1} | options)
    history = model.fit(
        data,
        validation_data=valid,
        epochs=EPOCHS[kind],
        verbose=0,
        shuffle=False,
        callbacks=[*schedule, recorder(directory), checkpoint, *extra],
    )
    state = kp.runs.read_state(model)
    history = {f"history/{name}": np.array(values) for name, values in history.history.items()}
    kp.runs.write_arrays(directory / "end.npz", **state, **history)
    return model


def child(kind, directory, begun, eagerly):
    """A process of its own; the file `begun` is there after its first step."""
    first = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: logs and begun.touch())
    fit(kind, directory, extra=[first], eagerly=eagerly)
