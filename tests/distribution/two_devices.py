"""Computes on two logical CPU devices, and on one, what test_mirrored.py compares.

Arguments: an .npz to write; names of methods, or none for all but the methods.
"""

import sys

import keras
import numpy as np
import small_runs
import tensorflow as tf

import keras_pibnas as kp
from keras_pibnas.layers.batch_norm import synchronizing
from keras_pibnas.layers.separable import DilConv
from keras_pibnas.search.gradients import Problem, second_order

ORDERS = {
    "first": {"order": 1},
    "exact": {"order": 2},
    "finite_difference": {"order": 2, "hvp": "finite_difference"},
}


def split(strategy, batch, first):
    """A batch of which the first replica gets so many images and the second the rest."""
    parts = [[array[:first] for array in batch], [array[first:] for array in batch]]
    return tuple(
        strategy.experimental_distribute_values_from_function(
            lambda context, i=i: tf.constant(parts[context.replica_id_in_sync_group][i])
        )
        for i in range(2)
    )


def alpha_gradients(strategy, order, first):
    """(on one device, on every replica): both alphas' gradients of a batch of 5."""
    train, valid = small_runs.images(5, 0), small_runs.images(5, 1)
    one = small_runs.supernet(**ORDERS[order])
    with strategy.scope():
        two = small_runs.supernet(**ORDERS[order])
    parts = split(strategy, train, first), split(strategy, valid, first)
    tf.config.run_functions_eagerly(True)
    want = one.alpha_gradients(train, valid)
    got = [strategy.experimental_local_results(g) for g in strategy.run(two.alpha_gradients, parts)]
    tf.config.run_functions_eagerly(False)
    return {"one": np.stack(want), "two": np.stack([np.stack(g) for g in zip(*got, strict=True)])}


def methods(strategy, names):
    """{name: (on one device, on every replica)}: gradients by the architecture and by weights, 5 images as 3 + 2."""
    train, valid = small_runs.images(5, 0), small_runs.images(5, 1)
    parts, found = (split(strategy, train, 3), split(strategy, valid, 3)), {}
    tf.config.run_functions_eagerly(True)
    for name in names:
        settings = {"method": name, "order": 1, "layers": 2, "channels": 2 * kp.methods.get(name).partial}
        one = small_runs.supernet(**settings)
        with strategy.scope():
            two = small_runs.supernet(**settings)
        for model in (one, two):
            model.progress.assign(0.5)

        def gradients(model, train, valid):
            with model.engine_in_use():
                return list(model.alpha_gradients(train, valid)), model.weight_gradient(train).value

        want = tf.nest.flatten(gradients(one, train, valid))
        got = tf.nest.flatten(strategy.run(lambda *batches, two=two: gradients(two, *batches), parts))
        got = [np.stack([np.array(copy) for copy in strategy.experimental_local_results(g)]) for g in got]
        found[name] = {"one": [np.array(g) for g in want], "two": got, "alphas": len(one.architecture)}
    tf.config.run_functions_eagerly(False)
    return found


def fits(strategy, make, data):
    """State and history of the same fit on one device and on two, classes weighted; 3 steps, the last of one image."""
    weights = {0: 2.0, 2: 0.5}
    one = small_runs.fitted(make(), data(), small_runs.batches(5, 4, 2), class_weight=weights)
    with strategy.scope():
        model = make()
    two = small_runs.fitted(model, data(), small_runs.batches(5, 4, 2), class_weight=weights)
    return {"one": one, "two": two, "copies": {name: spread(v) for name, v in copies(model).items()}}


def copies(model):
    return {f"{i}:{v.path}": v.value.values for i, v in enumerate(model.weights) if hasattr(v.value, "values")}


def spread(values):
    """How far the devices' copies of a variable are apart."""
    return np.max(np.abs(np.array(values[0]) - np.array(values[1])))


def in_float32(strategy):
    """An op with its float32 kernels, where replicas have 4 and 2 images of mean 100."""
    x = (100.0 + small_runs.images(6, 0)[0][..., :2]).astype("float32")
    options = {"channels": 2, "affine": True, "dtype": "float32"}
    keras.utils.set_random_seed(0)
    one = DilConv(**options)
    want = one(x, training=True)
    keras.utils.set_random_seed(0)
    with strategy.scope(), synchronizing(True):
        two = DilConv(**options)
        two.build(x.shape)
        two.built = True
    run = tf.function(lambda x: two(x, training=True), autograph=False)
    got = strategy.run(run, (split(strategy, (x, x), 4)[0],))
    states = {f"state_{name}": np.array(op.batch_norm.moving_variance) for name, op in (("one", one), ("two", two))}
    return {"one": np.array(want), "two": np.concatenate([np.array(y) for y in got.values]), **states}


def unsynchronized(strategy):
    """3 + 3 images, each half normalized by itself: what two devices compute, and the same by hand on one.

    By hand: the exact second order of the mean of both halves' losses, and statistics of both halves.
    """
    train, valid = small_runs.images(6, 0), small_runs.images(6, 1)
    with strategy.scope():
        two = small_runs.supernet(order=2, synchronized=False)
    one = small_runs.supernet(order=2)
    halves = [[tuple(part[half] for part in batch) for half in (slice(3), slice(3, 6))] for batch in (train, valid)]

    def mean_of(batches):
        losses = [one.loss_of(batch) for batch in batches]
        return lambda weights, mix: (sum(loss(weights, mix)[0] for loss in losses) / 2, None)

    alphas = [tf.convert_to_tensor(alpha.value) for alpha in one.alphas]
    with tf.GradientTape() as tape:
        tape.watch(alphas)
        mix = [tf.nn.softmax(alpha) for alpha in alphas]
    with kp.engine.use("plain") as plain:
        weights = plain.read(one.network.trainable_variables)
        problem = Problem(plain, *map(mean_of, halves), weights, mix, one.virtual_step, one.optimizer.learning_rate)
        want = tape.gradient(mix, alphas, second_order(problem))
    parts = split(strategy, train, 3), split(strategy, valid, 3)
    got = strategy.run(tf.function(two.alpha_gradients, autograph=False), parts)
    kernel = np.array(one.network.stem.kernel)
    two.fit(tf.data.Dataset.from_tensor_slices((train, valid)).batch(6), verbose=0)
    norm = two.network.stem.norm
    return {
        "want": np.stack(want),
        "got": np.stack([np.array(strategy.experimental_local_results(g)) for g in got], axis=1),
        "convolved": np.array(tf.nn.conv2d(train[0], kernel, 1, "SAME")),
        "mean": [np.array(copy) for copy in norm.moving_mean.value.values],
        "variance": [np.array(copy) for copy in norm.moving_variance.value.values],
    }


def not_finite(strategy):
    """Weight and loss scale after a step whose gradient is infinite on the second replica alone, and one that is not.

    Gradients 2 and inf, then 2 and 6, at rate 0.5 and scale 8: w = 1 - 0.5 (2 + 6) / 8 = 0.5.
    """
    with strategy.scope():
        variable = keras.Variable([1.0])
        optimizer = kp.optimizers.SGD(0.5, momentum=0.0, l2=0.0, global_clipnorm=None)
        scaled = kp.optimizers.LossScaleOptimizer(optimizer, initial_scale=16.0)
        scaled.build([variable])
    step = tf.function(lambda g: scaled.apply([g], [variable]), autograph=False)
    seen = []
    for gradient in ([2.0, np.inf], [2.0, 6.0]):
        strategy.run(step, split(strategy, (np.array(gradient), np.zeros(2)), 1)[:1])
        held = (variable, scaled.dynamic_scale)
        seen.append([[float(np.ravel(copy)[0]) for copy in v.value.values] for v in held])
    return {
        "weights": [one[0] for one in seen],
        "scales": [one[1] for one in seen],
        "steps": int(scaled.iterations.numpy()),
    }


def main(path, *names):
    """Args: names: of methods; without, everything else."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    keras.config.set_floatx("float64")
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    if names:
        np.savez(path, results=np.array(methods(strategy, names), dtype=object))
        return
    results = {
        "first/3": alpha_gradients(strategy, "first", 3),
        "exact/3": alpha_gradients(strategy, "exact", 3),
        "exact/5": alpha_gradients(strategy, "exact", 5),  # the second replica gets no image
        "finite_difference/4": alpha_gradients(strategy, "finite_difference", 4),
        "training": fits(strategy, small_runs.network, lambda: small_runs.batches(9, 4, 0)),
        "search": fits(strategy, lambda: small_runs.supernet(order=1), lambda: small_runs.pairs(9, 4)),
        "float32": in_float32(strategy),
        "not_finite": not_finite(strategy),
        "unsynchronized": unsynchronized(strategy),
    }
    np.savez(path, results=np.array(results, dtype=object))


if __name__ == "__main__":
    main(*sys.argv[1:])
