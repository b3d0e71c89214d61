"""What users hand to `fit`, `evaluate` and `predict`: arrays, weights of classes and images, wrong shapes, averages."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.ops import convert_to_numpy

import keras_pibnas as kp
from keras_pibnas.search.pairs import weighted

SPACE = kp.spaces.SearchSpace("fit", ("skip_connect", "avg_pool_3x3"), pool_norm=True)
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
SHAPE = r"of \(B, 8, 8, 3\). Received: images of "


def batch(seed=0, count=4, shape=(8, 8, 3)):
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype("float32"), np.arange(count) % 3


def pairs(*batches):
    return tf.data.Dataset.from_tensors(batches or (batch(0), batch(1)))


class Recorder(kp.Supernet):
    """Keeps the batches of its steps, and computes nothing."""

    def train_step(self, data):
        self.seen.append(tf.nest.map_structure(np.array, data))
        return {"loss": tf.constant(0.0)}


def supernet(kind=kp.Supernet, **settings):
    keras.utils.set_random_seed(0)
    model = kind(SPACE, (8, 8, 3), 3, channels=2, layers=2, nodes=1, order=1, seed=0)
    model.seen = []
    model.compile(**{"run_eagerly": True} | settings)
    return model


@pytest.fixture(scope="module")
def model():
    return supernet()


@pytest.fixture(scope="module")
def network():
    model = kp.build_network("DARTS_V2", (8, 8, 3), 3, channels=2, layers=2)
    model.compile(kp.optimizers.SGD(0.1), LOSS, run_eagerly=True)
    return model


def rows(batches):
    """The first pixels of images, which say which ones they are."""
    return sorted(float(image[0, 0, 0]) for images, *_ in batches for image in images)


def test_arrays_are_split():
    """Of 7 images the first floor(7 * 0.5) = 3 move weights, the other 4 alphas; sample weights go with them."""
    model, (x, y) = supernet(Recorder), batch(count=7)
    history = model.fit(x, y, 2, sample_weight=np.arange(7.0), validation_split=0.5, epochs=2, verbose=0).history
    train, valid = zip(*model.seen, strict=True)
    assert [len(part[0]) for part in train] == [2, 1, 2, 1] and "val_loss" in history
    assert rows(train[:2]) == rows(train[2:]) == rows([(x[:3],)])
    assert set(rows(valid)) <= set(rows([(x[3:],)]))
    for images, labels, weights in (*train, *valid):
        places = [int(np.flatnonzero(x[:, 0, 0, 0] == image[0, 0, 0])[0]) for image in images]
        assert list(weights) == places and list(labels) == [y[place] for place in places]
        assert weights.dtype == np.float32


def test_a_shorter_validation_array_is_repeated():
    model = supernet(Recorder)
    (x, y), (x_valid, y_valid) = batch(0, 6), batch(1, 2)
    model.fit((x, y), [x_valid, y_valid], batch_size=2, shuffle=False, verbose=0)
    train, valid = zip(*model.seen, strict=True)
    np.testing.assert_array_equal(np.concatenate([part[0] for part in train]), x)
    assert len(valid) == 3
    for images, labels in valid:
        np.testing.assert_array_equal(images, x_valid)
        np.testing.assert_array_equal(labels, y_valid)


@pytest.mark.parametrize(
    ("arguments", "words"),
    (
        ({"x": batch()[0], "y": batch()[1]}, r"validation_split=0.5\). Received: \(\w+ of shape \(\w+, 8, 8, 3\), "),
        ({"x": batch()[0], "validation_split": 0.5}, r"same number are wanted. Received: \(ndarray of"),
        ({"x": batch()[0], "y": [0, 1], "validation_split": 0.5}, "same number are wanted"),
        ({"x": batch()[0], "y": batch()[1], "validation_split": 0.9}, "both sides. Received: 0.9 of 4 images"),
        ({"x": pairs().map(lambda train, valid: train)}, r"trains on pairs .* Received: \(\w+ of"),
        ({"x": pairs(), "validation_data": pairs()}, r"wanted here, not pairs of batches. Received: \(\("),
        ({"x": pairs(), "validation_data": (batch(), batch())}, "not pairs of batches"),
        ({"x": pairs(), "validation_data": batch(shape=(8, 8, 1))}, SHAPE + r"\(\w+, 8, 8, 1\)"),
        ({"x": pairs(batch(shape=(8, 9, 3)), batch())}, SHAPE + r"\(\w+, 8, 9, 3\)"),
        ({"x": pairs(batch(), batch(shape=(8, 8, 6)))}, SHAPE + r"\(\w+, 8, 8, 6\)"),
        ({"x": iter([(batch(), batch())]), "class_weight": {0: 2.0}}, "class_weight is for tf.data of pairs"),
        ({"x": pairs((*batch(), np.ones(4)), batch()), "class_weight": {0: 2.0}}, "either class_weight or .*: both"),
    ),
)
def test_other_data(arguments, words, model):
    with pytest.raises(ValueError, match=words):
        model.fit(**arguments, verbose=0)


@pytest.mark.parametrize("name", ("model", "network"))
@pytest.mark.parametrize("shape", ((8, 8, 6), (16, 8, 3)))
def test_images_of_another_shape(name, shape, request):
    model, (x, y) = request.getfixturevalue(name), batch(shape=shape)
    words = SHAPE + rf"\(\w+, {shape[0]}, 8, {shape[2]}\)"
    for call in (lambda: model.evaluate(x, y, verbose=0), lambda: model.predict(x, verbose=0)):
        with pytest.raises(ValueError, match=words):
            call()
    if name == "network":
        with pytest.raises(ValueError, match=words):
            model.fit(x, y, verbose=0)
    else:
        with pytest.raises(ValueError, match=words):
            model.train_on_batch((x, y), (x, y))
    with pytest.raises(ValueError, match=r"8, 8, 3\)"):
        model(x)


@pytest.mark.parametrize("name", ("model", "network"))
def test_pairs_where_batches_are_wanted(name, request):
    model = request.getfixturevalue(name)
    with pytest.raises(ValueError, match="wanted here, not pairs of batches"):
        model.evaluate(pairs(), verbose=0)
    if name == "network":
        with pytest.raises(ValueError, match="wanted here, not pairs of batches"):
            model.fit(pairs(), verbose=0, shuffle=False)


def without_sides(images, labels):
    """tf.data of (None, None, None, 3), as decoded images are."""
    types = tf.TensorSpec((None, None, None, 3)), tf.TensorSpec((None,), tf.int64)
    dataset = tf.data.Dataset.from_generator(lambda: iter([(images, labels)]), output_signature=types)
    return dataset.apply(tf.data.experimental.assert_cardinality(1))


@pytest.mark.parametrize("name", ("model", "network"))
def test_images_of_unknown_sides(name, request):
    """They are those of the model; others are the same error, when they come."""
    model, good, wrong = request.getfixturevalue(name), *(without_sides(*batch(shape=(n, n, 3))) for n in (8, 16))
    zipped = (lambda data: kp.data.bilevel(data, data)) if name == "model" else lambda data: data
    assert np.isfinite(model.fit(zipped(good), validation_data=good, shuffle=False, verbose=0).history["val_loss"][0])
    np.testing.assert_allclose(model.predict(good, verbose=0), model.predict(batch()[0], verbose=0), atol=1e-6)
    for call in (
        lambda: model.fit(zipped(wrong), shuffle=False, verbose=0),
        lambda: model.evaluate(wrong, verbose=0),
        lambda: model.predict(wrong, verbose=0),
    ):
        with pytest.raises(ValueError, match=SHAPE + r"\(\w+, 16, 16, 3\)"):
            call()


def test_a_channel_that_is_left_out():
    """(B, H, W) of one channel, as Keras takes them."""
    model = kp.Supernet(SPACE, (8, 8, 1), 3, channels=2, layers=2, nodes=1, seed=0)
    model.compile(run_eagerly=True)
    x, y = batch(shape=(8, 8))
    np.testing.assert_array_equal(model.predict(x, verbose=0), model.predict(x[..., None], verbose=0))
    assert np.isfinite(model.train_on_batch((x, y), (x, y))[0])


@pytest.mark.parametrize(
    ("labels", "weights"),
    (
        (np.array([0, 1, 2, 3]), (2.0, 1.0, 0.5, 1.0)),  # 1 is not among the classes below, 3 is above the last one
        (np.eye(4, dtype="float32")[[2, 0]], (0.5, 2.0)),
        (np.array([[2.0], [1.0]], "float32"), (0.5, 1.0)),
    ),
)
def test_weights_of_classes(labels, weights):
    assert tuple(weighted((labels, labels), {0: 2.0, 2: 0.5})[2].numpy()) == weights


def test_class_weight_is_a_sample_weight_in_both_batches():
    """By `fit`, and on a batch; the loss is the mean of weight times cross-entropy."""
    classes, weights = {0: 3.0, 2: 0.5}, np.array((3.0, 1.0, 0.5, 3.0), "float32")  # of labels 0, 1, 2, 0
    given = [(*batch(seed), weights) for seed in (0, 1)]
    states, losses = [], []
    for fit in (
        lambda model: model.fit(pairs(), class_weight=classes, verbose=0).history["loss"][0],
        lambda model: model.train_on_batch(batch(0), batch(1), class_weight=classes)[0],
        lambda model: model.fit(pairs(*given), verbose=0).history["loss"][0],
    ):
        model = supernet(alpha_optimizer=keras.optimizers.SGD(1.0))
        losses.append(fit(model))
        states.append([convert_to_numpy(variable) for variable in model.trainable_variables])
    for state in states[:2]:
        for one, other in zip(state, states[2], strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)
    model = supernet()
    for alpha, moved in zip(model.alphas, states[2], strict=False):
        alpha.assign(moved)
    logits = np.array(model.weight_gradient(batch(0)).aux.logits, "float64")
    losses_of_images = np.log(np.exp(logits).sum(1)) - logits[np.arange(4), batch(0)[1]]
    np.testing.assert_allclose(losses, (weights * losses_of_images).mean(), rtol=1e-3)


class Averages(keras.callbacks.Callback):
    """Keeps a weight and the alphas after each step, and what validation sees of them."""

    def on_train_begin(self, logs=None):
        self.steps, self.seen = [], []

    def state(self):
        return [convert_to_numpy(v) for v in (*self.model.architecture, *self.model.network.trainable_variables)]

    def on_train_batch_end(self, batch, logs=None):
        self.steps.append(self.state())

    def on_test_begin(self, logs=None):
        self.seen.append(self.state())


@pytest.mark.parametrize("which", ((True, True), (True, False), (False, True)))
def test_moving_averages(which, monkeypatch):
    """After two steps, what has an average is at 0.5 w1 + 0.5 w2 (Keras begins with w1); the rest is at w2."""
    settings = [{"use_ema": True, "ema_momentum": 0.5} if wanted else {} for wanted in which]
    model = supernet(
        optimizer=kp.optimizers.SGD(0.1, **settings[0]), alpha_optimizer=kp.optimizers.Adam(0.1, **settings[1])
    )
    watch = Averages()
    callbacks = [keras.callbacks.SwapEMAWeights(), watch]
    model.fit(pairs().repeat(2), validation_data=batch(2), callbacks=callbacks, verbose=0)
    first, second = watch.steps
    assert len(first) > 4 and all((one != other).any() for one, other in zip(first[:2], second[:2], strict=True))
    for place, (one, other) in enumerate(zip(first, second, strict=True)):
        want = (one + other) / 2 if which[0 if place >= 2 else 1] else other
        np.testing.assert_allclose(watch.seen[0][place], want, atol=1e-6)
        np.testing.assert_allclose(watch.state()[place], want, atol=1e-6)


def test_evaluation_at_averages():
    model = supernet(alpha_optimizer=kp.optimizers.Adam(0.1, use_ema=True))
    model.fit(pairs(), verbose=0)
    average = [convert_to_numpy(v) for v in model.alphas]
    for alpha in model.alphas:
        alpha.assign(alpha + 1.0)
    watch = Averages()
    watch.on_train_begin()
    model.evaluate(*batch(), callbacks=[keras.callbacks.SwapEMAWeights(), watch], verbose=0)
    for seen, want, alpha in zip(watch.seen[0][:2], average, model.alphas, strict=True):
        np.testing.assert_allclose(seen, want, atol=1e-6)
        np.testing.assert_allclose(alpha, want + 1.0, atol=1e-6)


def test_moving_averages_of_a_network():
    model = kp.build_network("DARTS_V2", (8, 8, 3), 3, channels=2, layers=2)
    optimizer = kp.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5)
    model.compile(optimizer, LOSS, run_eagerly=True)
    steps = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: steps.append([convert_to_numpy(v) for v in model.trainable_variables])
    )
    model.fit(*batch(), batch_size=2, callbacks=[watch], verbose=0)
    for variable, one, other in zip(model.trainable_variables, *steps, strict=True):
        np.testing.assert_allclose(variable, (one + other) / 2, atol=1e-6)
