"""The supernet as a Keras model, on a small space."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_pibnas as kp
from keras_pibnas.search import check

SPACE = kp.spaces.SearchSpace("small", ("none", "skip_connect", "max_pool_3x3", "dil_conv_3x3"), pool_norm=True)


def data(seed=0, count=6, side=8, classes=3):
    generator = np.random.default_rng(seed)
    return generator.normal(size=(count, side, side, 3)).astype("float32"), np.arange(count) % classes


def small(**kwargs):
    settings = {
        "space": SPACE,
        "input_shape": (8, 8, 3),
        "num_classes": 3,
        "channels": 2,
        "layers": 3,
        "nodes": 2,
    }
    return kp.Supernet(**settings | kwargs)


TRAIN, VALID = data(0), data(1)


@pytest.fixture
def eagerly():
    """Without tf.function: one run costs a tenth of a trace."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def float64():
    """Losses, too, are computed in float64."""
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx("float32")


def numbers(variables):
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def assert_equal(before, after):
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("space", "stem", "count"),
    (
        ("darts", "conv3x3", 1930618),
        ("pibconv", "conv3x3", 6963450),
        ("pibconv", "patchify", 6964458),
        ("pibconv_published", "conv3x3", 2527354),
        ("pibconv_published", "patchify", 2528362),
    ),
)
def test_published_weight_counts(space, stem, count):
    supernet = kp.Supernet(space, channels=16, layers=8, stem=stem)
    assert sum(int(np.prod(v.shape)) for v in supernet.network.trainable_variables) == count
    assert [tuple(alpha.shape) for alpha in supernet.alphas] == [(14, len(supernet.space.primitives))] * 2
    both = {id(v) for v in supernet.network.trainable_variables} | {id(alpha) for alpha in supernet.alphas}
    assert both == {id(v) for v in supernet.trainable_variables}


def test_alphas_start_small_and_seeded():
    alphas = [np.concatenate(numbers(kp.Supernet("darts", channels=2, layers=2, seed=s).alphas)) for s in (1, 1, 2)]
    assert_equal([alphas[0]], [alphas[1]])
    assert (alphas[0] != alphas[2]).all()
    assert 0.8e-3 < alphas[0].std() < 1.2e-3  # 224 values of deviation 1e-3
    assert abs(alphas[0].mean()) < 3e-4
    assert not np.array_equal(alphas[0][:14], alphas[0][14:])


def test_train_step_is_algorithm_1(eagerly):
    """Alphas by Adam at the old weights, then weights by SGD at the new alphas; statistics move once."""
    supernet = small()
    supernet.compile(optimizer=kp.optimizers.SGD(0.1), alpha_optimizer=kp.optimizers.Adam(0.01))
    before = numbers(supernet.variables)
    gradient = supernet.alpha_gradients(TRAIN, VALID)
    assert_equal(before, numbers(supernet.variables))
    alphas = [
        alpha - 0.01 * g / (np.abs(g) + 1e-8)  # the first step of Adam: both corrected moments are g
        for alpha, g in ((a, np.array(g) + 1e-3 * a) for a, g in zip(numbers(supernet.alphas), gradient, strict=True))
    ]
    weights = numbers(supernet.network.trainable_variables)
    kernel = supernet.network.stem.kernel.numpy()
    kept = numbers(supernet.alphas)
    assign(supernet.alphas, alphas)
    both = supernet.weight_gradient(TRAIN)
    slope, seen = both.value, both.aux
    assign(supernet.alphas, kept)
    assert_equal(before, numbers(supernet.variables))
    norm = np.sqrt(sum(np.sum(np.square(g)) for g in slope))
    weights = [w - 0.1 * (np.array(g) * 5.0 / max(norm, 5.0) + 3e-4 * w) for w, g in zip(weights, slope, strict=True)]

    logs = supernet.train_step((TRAIN, VALID))
    for got, want in zip(numbers(supernet.alphas), alphas, strict=True):
        np.testing.assert_allclose(got, want, atol=2e-5)
    for got, want in zip(numbers(supernet.network.trainable_variables), weights, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-4)
    convolved = keras.ops.conv(TRAIN[0], kernel, padding="same").numpy()
    np.testing.assert_allclose(supernet.network.stem.norm.moving_mean, 0.1 * convolved.mean((0, 1, 2)), atol=1e-5)
    variance = convolved.var((0, 1, 2), ddof=1)
    np.testing.assert_allclose(supernet.network.stem.norm.moving_variance, 0.9 + 0.1 * variance, rtol=1e-4)
    np.testing.assert_allclose(logs["loss"], seen.loss, rtol=1e-3)
    accuracy = (np.argmax(seen.logits, 1) == TRAIN[1]).mean()
    np.testing.assert_allclose(logs["accuracy"], accuracy, atol=1e-6)


def test_second_order_against_finite_differences(eagerly, float64):
    """d/dalpha of L_valid(w'(alpha), alpha), momentum in place, by central differences in float64."""
    supernet = small(dtype="float64")
    supernet.compile(optimizer=kp.optimizers.SGD(0.1))
    generator = np.random.default_rng(2)
    for velocity in supernet.optimizer.velocities:
        velocity.assign(0.1 * generator.normal(size=velocity.shape))
    train, valid = ((images.astype("float64"), labels) for images, labels in (TRAIN, VALID))
    weights, alphas = numbers(supernet.network.trainable_variables), numbers(supernet.alphas)
    directions = [generator.normal(size=alpha.shape) for alpha in alphas]

    def valid_loss(step, moving=True):
        """L_valid(w', alpha + step * direction), by assigning; w' = w where moving is false."""
        assign(supernet.alphas, [alpha + step * d for alpha, d in zip(alphas, directions, strict=True)])
        velocities = numbers(supernet.optimizer.velocities)
        gradient = [np.array(g) for g in supernet.weight_gradient(train).value]
        moved = [
            w - 0.1 * (0.9 * v + g + 3e-4 * w) * moving for w, v, g in zip(weights, velocities, gradient, strict=True)
        ]
        assign(supernet.network.trainable_variables, moved)
        loss = float(supernet.weight_gradient(valid).aux.loss)
        assign(supernet.network.trainable_variables, weights)
        assign(supernet.alphas, alphas)
        return loss

    exact = supernet.alpha_gradients(train, valid)
    slope = sum(float(np.sum(np.array(g) * d)) for g, d in zip(exact, directions, strict=True))
    np.testing.assert_allclose(slope, (valid_loss(1e-6) - valid_loss(-1e-6)) / 2e-6, rtol=1e-5)
    first_slope = (valid_loss(1e-6, moving=False) - valid_loss(-1e-6, moving=False)) / 2e-6
    assert abs(first_slope - slope) > 1e-3 * abs(slope)  # so the test tells the orders apart


def test_a_keras_optimizer_at_rate_zero_makes_second_order_first(eagerly):
    gradients = []
    for order in (1, 2):
        keras.utils.set_random_seed(0)
        supernet = small(order=order, seed=0)
        supernet.compile(optimizer=keras.optimizers.SGD(0.0), alpha_optimizer=keras.optimizers.Adam(0.1))
        gradients.append(supernet.alpha_gradients(TRAIN, VALID))
    for one, other in zip(*gradients, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize(("order", "remat"), ((1, False), (1, True), (2, False), (2, True)))
def test_traced_bundles_compute_what_eager_ones_do(order, remat):
    """Bundles of one kind share a trace, of order 1 one without gradients by weights; each uses its own weights."""
    supernet = small(layers=4, seed=0, order=order, remat=remat)
    supernet.compile(optimizer=kp.optimizers.SGD(0.1))
    traced = supernet.alpha_gradients(TRAIN, VALID)
    tf.config.run_functions_eagerly(True)
    try:
        eager = supernet.alpha_gradients(TRAIN, VALID)
    finally:
        tf.config.run_functions_eagerly(False)
    for one, other in zip(traced, eager, strict=True):
        assert np.linalg.norm(one - other) < 1e-3 * np.linalg.norm(other)


KERNELS = kp.spaces.SearchSpace(
    "kernels",
    ("skip_connect", "max_pool_3x3", "avg_pool_3x3", "sep_conv_5x5", "dil_conv_5x5", "conv_7x1_1x7", "pib_conv_7x7"),
    pool_norm=True,
)


@pytest.mark.parametrize("side", (8, 20, 24, 32))
def test_traces_for_any_side(side):
    """Sides that are multiples of 8 share a trace; all sides of the others, and halved ones, have their own."""
    supernet = small(space=KERNELS, input_shape=(side, side, 3), seed=0, remat=side == 32)
    batch = data(count=4, side=side)
    supernet.compile()
    gradient = lambda: supernet.weight_gradient(batch).value  # noqa: E731
    traced = [np.ravel(g) for g in tf.function(gradient, autograph=False)()]
    tf.config.run_functions_eagerly(True)
    try:
        eager = [np.ravel(g) for g in gradient()]
    finally:
        tf.config.run_functions_eagerly(False)
    traced, eager = np.concatenate(traced), np.concatenate(eager)
    assert np.linalg.norm(traced - eager) < 1e-2 * np.linalg.norm(eager)  # a ReLU near its kink may fall otherwise


def test_one_trace_for_batches_of_all_sizes(monkeypatch):
    """And TensorFlow's optimizer is left as it was."""
    before = tf.config.optimizer.get_experimental_options()
    supernet, sizes = small(seed=0, order=1), []
    supernet.compile()
    step = supernet.train_step
    monkeypatch.setattr(supernet, "train_step", lambda pair: sizes.append(pair[0][0].shape[0]) or step(pair))
    parts = [tf.data.Dataset.from_tensor_slices(part).batch(4) for part in (TRAIN, VALID)]
    history = supernet.fit(tf.data.Dataset.zip(tuple(parts)), epochs=2, verbose=0)
    assert sizes == [None] and len(history.epoch) == 2
    assert int(supernet.optimizer.iterations) == 4
    after = tf.config.optimizer.get_experimental_options()
    assert all(after[name] == before.get(name, name == "function_optimization") for name in after)


@pytest.mark.parametrize("settings", ({"steps_per_execution": 2}, {"run_eagerly": True}))
def test_other_ways_to_run_the_step(settings):
    supernet = small(seed=0, order=1)
    supernet.compile(**settings)
    parts = [tf.data.Dataset.from_tensor_slices(part).batch(3) for part in (TRAIN, VALID)]
    supernet.fit(tf.data.Dataset.zip(tuple(parts)), epochs=1, verbose=0)
    assert int(supernet.optimizer.iterations) == int(supernet.alpha_optimizer.iterations) == 2


def test_train_on_batch():
    supernet = small(seed=0, order=1)
    supernet.compile()
    for number in (1, 2):
        logs = supernet.train_on_batch(TRAIN, VALID, return_dict=True)
        assert set(logs) == {"loss", "accuracy"} and np.isfinite(logs["loss"])
        assert int(supernet.optimizer.iterations) == int(supernet.alpha_optimizer.iterations) == number


@pytest.fixture(scope="module")
def fitted():
    """A supernet after twelve steps of `fit` on six random images, and its history."""
    keras.utils.set_random_seed(0)
    supernet = small(seed=0)
    supernet.compile(optimizer=kp.optimizers.SGD(0.05), alpha_optimizer=kp.optimizers.Adam(0.01))
    start = numbers(supernet.alphas)
    train, valid = (tf.data.Dataset.from_tensor_slices(part).batch(6) for part in (TRAIN, VALID))
    pairs = tf.data.Dataset.zip((train, valid))
    history = supernet.fit(pairs, validation_data=valid, epochs=12, verbose=0).history
    return supernet, history, start


def test_fit(fitted):
    supernet, history, start = fitted
    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert history["loss"][0] == pytest.approx(np.log(3.0), abs=0.8)
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    for before, after in zip(start, numbers(supernet.alphas), strict=True):
        assert np.abs(after - before).max() > 0.01
    assert int(supernet.optimizer.iterations) == int(supernet.alpha_optimizer.iterations) == 12
    assert not supernet.jit_compile or tf.config.list_physical_devices("GPU")


def test_validation_uses_moving_statistics(fitted):
    supernet, history, _ = fitted
    logits = np.array(supernet(VALID[0]), "float64")
    shifted = logits - logits.max(1, keepdims=True)
    likelihood = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    loss = -likelihood[np.arange(6), VALID[1]].mean()
    assert history["val_loss"][-1] == pytest.approx(loss, rel=1e-4)
    before = numbers(supernet.variables)
    evaluated = supernet.evaluate(*VALID, verbose=0, return_dict=True)
    assert evaluated["loss"] == pytest.approx(loss, rel=1e-4)
    assert evaluated["accuracy"] == pytest.approx((logits.argmax(1) == VALID[1]).mean())
    np.testing.assert_allclose(supernet.predict(VALID[0], verbose=0), logits, atol=1e-5)
    assert_equal(before, numbers(supernet.variables))


def test_save_and_load(fitted, tmp_path):
    """Both optimizers come back, and the next step of the loaded model is that of the saved one."""
    supernet, _, _ = fitted
    supernet.save(tmp_path / "supernet.keras")
    again = keras.saving.load_model(tmp_path / "supernet.keras")
    np.testing.assert_array_equal(again(VALID[0]), supernet(VALID[0]))
    assert json.dumps(again.get_config()) == json.dumps(supernet.get_config())
    assert again.space == SPACE and again.genotype() == supernet.genotype()
    assert not again.jit_compile or tf.config.list_physical_devices("GPU")
    for name in ("optimizer", "alpha_optimizer"):
        assert getattr(again, name).get_config() == getattr(supernet, name).get_config()
        assert_equal(numbers(getattr(again, name).variables), numbers(getattr(supernet, name).variables))
    tf.config.run_functions_eagerly(True)
    try:
        losses = [float(model.train_step((TRAIN, VALID))["loss"]) for model in (supernet, again)]
    finally:
        tf.config.run_functions_eagerly(False)
    assert losses[1] > 0.0
    for one, other in zip(numbers(supernet.trainable_variables), numbers(again.trainable_variables), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_save_and_load_uncompiled(tmp_path):
    supernet = small(seed=0)
    supernet.save(tmp_path / "supernet.keras")
    again = keras.saving.load_model(tmp_path / "supernet.keras")
    assert not again.compiled
    assert_equal(numbers(again.variables), numbers(supernet.variables))


@pytest.mark.parametrize(
    "settings",
    (
        {"nodes": 1, "layers": 2},
        {"nodes": 2, "layers": 4, "input_shape": (7, 9, 3)},
        {"nodes": 8, "layers": 2},
        {"nodes": 2, "layers": 2, "stem": "patchify", "input_shape": (16, 16, 3)},
        {"nodes": 1, "layers": 2, "hvp": "finite_difference", "order": 2},
        {"nodes": 2, "layers": 3, "dtype": "mixed_bfloat16", "order": 2},
    ),
    ids=str,
)
def test_other_shapes(settings, eagerly):
    supernet = small(**{"order": 1} | settings)
    supernet.compile()
    height, width, _ = supernet.settings["input_shape"]
    generator = np.random.default_rng(0)
    batches = [(generator.normal(size=(4, height, width, 3)).astype("float32"), np.arange(4) % 3) for _ in range(2)]
    before = numbers(supernet.trainable_variables)
    assert np.isfinite(float(supernet.train_step(tuple(batches))["loss"]))
    after = numbers(supernet.trainable_variables)
    assert all(np.isfinite(value).all() for value in after)
    assert any((one != other).any() for one, other in zip(before, after, strict=True))
    logits = supernet(batches[0][0])
    assert logits.shape == (4, 3) and logits.dtype == "float32"
    assert {alpha.dtype for alpha in supernet.alphas} == {"float32"}
    genotype = supernet.genotype()
    assert genotype.nodes == supernet.nodes
    kp.build_network(genotype, (height, width, 3), 3, channels=2, layers=supernet.settings["layers"])


def test_ops_of_users_and_one_layer_an_edge(registry, eagerly):
    """An op that knows no branches gets layers of its own on every edge, and takes part in the search."""
    # Not of one pixel: TensorFlow's oneDNN kernel then writes out of bounds with one thread an op (README.md).
    factory = lambda channels, strides, affine, **kwargs: keras.layers.Conv2D(channels, 3, strides, "same", **kwargs)  # noqa: E501, E731
    kp.spaces.register_op("plain", factory)
    supernet = small(space=kp.spaces.register("with_plain", ("none", "skip_connect", "plain")), layers=2, order=1)
    supernet.compile()
    gradient = supernet.alpha_gradients(TRAIN, VALID)[1]
    assert (np.abs(gradient[:, 2]) > 0).all()


class Loop(keras.layers.Layer):
    """A user's op with a constant from outside, a branch or a loop, and a random part."""

    def __init__(self, channels, strides=1, affine=True, loop=False, **kwargs):
        super().__init__(**kwargs)
        self.convolution = keras.layers.Conv2D(channels, 3, strides, "same")
        self.dropout, self.constant, self.loop = keras.layers.Dropout(0.2), tf.constant([1.5]), loop

    def build(self, input_shape):
        self.convolution.build(input_shape)

    def call(self, x, training=False):
        y = self.dropout(self.convolution(x), training=training) * self.constant
        if self.loop:
            return tf.while_loop(lambda i, _: i < tf.shape(x)[0], lambda i, y: (i + 1, tf.tanh(y)), (0, y))[1]
        return tf.cond(tf.reduce_sum(y) > 0.0, lambda: 2.0 * y, lambda: tf.tanh(y))


@pytest.mark.parametrize(("order", "loop"), ((1, True), (2, False), (2, True)))
def test_ops_of_users_with_constants_branches_loops_and_random_parts(order, loop, registry):
    """Traced, as a search runs them: random parts move on with the step."""
    kp.spaces.register_op("loop", lambda channels, **kwargs: Loop(channels, loop=loop, **kwargs))
    supernet = small(space=kp.spaces.register("with_loop", ("skip_connect", "loop")), layers=2, order=order)
    supernet.compile()
    seeds = [v for v in supernet.network.non_trainable_variables if "seed" in v.path]
    before = numbers(seeds)
    batch = tf.data.Dataset.from_tensors((TRAIN, VALID))
    assert np.isfinite(supernet.fit(batch, verbose=0).history["loss"][0])
    assert seeds and all((old != new).any() for old, new in zip(before, numbers(seeds), strict=True))


@pytest.mark.parametrize(
    ("wrong", "message"),
    (
        ({"space": "dart"}, "Unknown search space 'dart'. Known: "),
        ({"input_shape": (8, 8)}, r"Received: \(8, 8\)"),
        ({"input_shape": (8, -1, 3)}, r"Received: \(8, -1, 3\)"),
        ({"num_classes": 0}, "num_classes=0"),
        ({"channels": 3}, "channels=3"),
        ({"layers": 1}, "layers=1"),
        ({"nodes": 0}, "from 1 to 8. Received: nodes=0"),
        ({"nodes": 9}, "nodes=9"),
        ({"stem": "conv"}, "conv3x3, patchify, imagenet. Received: stem='conv'"),
        ({"order": 3}, "1 or 2. Received: order=3"),
        ({"remat": 1}, "True or False. Received: remat=1"),
        ({"synchronized": 0}, "synchronized must be True or False. Received: 0"),
        ({"hvp": "approximate"}, "exact, finite_difference. Received: hvp='approximate'"),
    ),
)
def test_wrong_arguments(wrong, message):
    with pytest.raises(ValueError, match=message):
        small(**wrong)


def test_remat_and_synchronized_statistics_need_one_device(monkeypatch):
    monkeypatch.setattr(check, "strategy_replicas", lambda: 2)
    small(remat=True)
    with pytest.raises(ValueError, match="Received: remat=True, synchronized=True, 2 devices"):
        small(remat=True, synchronized=True)


def test_wrong_data():
    supernet = small()
    supernet.compile()
    with pytest.raises(ValueError, match=r"pairs .*bilevel.*Received: .*\(6, 8, 8, 3\)"):
        supernet.train_step(TRAIN)
    with pytest.raises(ValueError, match="pairs .*bilevel"):
        supernet.fit(*TRAIN, batch_size=6, verbose=0)
    with pytest.raises(ValueError, match="pairs .*bilevel"):
        supernet.train_step((TRAIN, VALID, VALID))
