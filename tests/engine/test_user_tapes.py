"""Tapes and train steps of a user's own get the gradients that the plain engine gives."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_pibnas as kp

SPACE = kp.spaces.SearchSpace("taped", ("none", "skip_connect", "avg_pool_3x3", "dil_conv_3x3", "pib_conv_3x3"))


def images(seed):
    return tf.constant(np.random.default_rng(seed).normal(size=(4, 8, 8, 3)), "float32")


def supernet(**kwargs):
    settings = {"input_shape": (8, 8, 3), "num_classes": 3, "channels": 2, "layers": 3, "nodes": 2, "seed": 0}
    keras.utils.set_random_seed(0)
    return kp.Supernet(SPACE, **settings | kwargs)


def gradients(model, passes):
    """Of a loss of several passes in training mode, by every weight and both alphas."""
    variables = [variable.value for variable in (*model.network.trainable_variables, *model.alphas)]
    with tf.GradientTape() as tape:
        logits = [model(images(seed), training=True) for seed in range(passes)]
        loss = tf.add_n([tf.reduce_mean(tf.square(one - 1.0)) for one in logits])
    return tape.gradient(loss, variables)


def norms_apart(got, want):
    got, want = (np.concatenate([np.ravel(part) for part in parts]) for parts in (got, want))
    return np.linalg.norm(got - want) / np.linalg.norm(want)


PASSES = 1, 2


@pytest.fixture(scope="module")
def wanted():
    with kp.engine.use("plain"):
        model = supernet()
        return [[g.numpy() for g in gradients(model, passes)] for passes in PASSES]


@pytest.mark.parametrize("wrap", ("eager", "function", "outside"))
def test_gradients_by_weights_and_alphas(wanted, wrap):
    """Of one pass and of two, with the tape in a tf.function of the user's, and around one."""
    with kp.engine.use("tensorflow"):
        model = inner = supernet()
        if wrap == "outside":
            model = Outside(inner, tf.function(lambda x: inner(x, training=True), autograph=False))
        run = tf.function(autograph=False) if wrap == "function" else lambda step: step
        got = run(lambda: [gradients(model, passes) for passes in PASSES])()
    for some, want in zip(got, wanted, strict=True):
        assert all(g is not None for g in some)
        assert norms_apart(some, want) < 1e-4


class Outside:
    """A model whose passes are a tf.function, and the tape is around it."""

    def __init__(self, model, call):
        self.network, self.alphas, self.call = model.network, model.alphas, call

    def __call__(self, x, training):
        return self.call(x)


def test_second_derivatives():
    """Nested tapes of the user's: d/dalpha of <dL/dw, v>."""

    def product(wrap):
        model = supernet()
        weights = [v.value for v in model.network.trainable_variables]
        alphas = [alpha.value for alpha in model.alphas]

        @wrap
        def nested():
            with tf.GradientTape() as outer:
                with tf.GradientTape() as tape:
                    loss = tf.reduce_mean(tf.square(model(images(0), training=True)))
                slopes = tape.gradient(loss, weights)
                total = tf.add_n([tf.reduce_sum(tf.sin(slope)) for slope in slopes])
            return outer.gradient(total, alphas)

        return nested()

    with kp.engine.use("plain"):
        want = product(lambda step: step)
    with kp.engine.use("tensorflow"):
        assert norms_apart(product(tf.function(autograph=False)), want) < 1e-4


class OneLevel(kp.Supernet):
    """A train step of a user's own, as Keras's guides teach it: alphas and weights from one batch."""

    def train_step(self, data):
        (x, y), _ = data
        variables = [*self.network.trainable_variables, *self.alphas]
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        slopes = tape.gradient(loss, [variable.value for variable in variables])
        count = len(self.network.trainable_variables)
        self.optimizer.apply(slopes[:count], variables[:count])
        self.alpha_optimizer.apply(slopes[count:], variables[count:])
        self.loss_tracker.update_state(loss)
        return {"loss": self.loss_tracker.result()}


def test_a_subclass_with_its_own_train_step():
    """All weights move, by both engines alike, and cells share functions."""
    batch = images(0), tf.constant([0, 1, 2, 0])
    moved = {}
    for name in ("plain", "tensorflow"):
        keras.utils.set_random_seed(0)
        model = OneLevel(SPACE, (8, 8, 3), 3, channels=2, layers=3, nodes=2, seed=0)
        model.compile(kp.optimizers.SGD(0.1), engine=name, run_eagerly=name == "plain")
        before = [v.numpy() for v in model.trainable_variables]
        model.fit(tf.data.Dataset.from_tensors((batch, batch)), verbose=0)
        moved[name] = [v.numpy() - old for v, old in zip(model.trainable_variables, before, strict=True)]
        assert all(np.abs(change).max() > 0.0 for change in moved[name])
    assert norms_apart(moved["tensorflow"], moved["plain"]) < 1e-4


OVERLAPPING = """
import numpy as np, tensorflow as tf
import keras_pibnas as kp
model = kp.Supernet("darts", (16, 16, 3), channels=8, layers=3, nodes=2, seed=0)
xs = [tf.constant(np.random.default_rng(i).normal(size=(8, 16, 16, 3)), "float32") for i in range(4)]

@tf.function
def step(xs):
    with tf.GradientTape() as tape:
        loss = tf.add_n([tf.reduce_mean(model(x, training=True) ** 2) for x in xs])
    return tape.gradient(loss, [v.value for v in model.network.trainable_variables])

for _ in range(10):
    gradients = step(xs)
assert all(np.isfinite(g).all() for g in gradients)
print("done")
"""


@pytest.mark.slow
def test_calls_that_overlap_corrupt_no_memory():
    """Four passes in one step may run side by side; in a process of its own, for it may crash."""
    done = subprocess.run([sys.executable, "-c", OVERLAPPING], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip() == "done", done.stderr[-2000:]
