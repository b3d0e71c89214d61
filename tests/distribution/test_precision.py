"""Mixed precision: what stays float32, how losses are scaled, and how far alpha gradients are from float32's."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_pibnas as kp
from keras_pibnas.optimizers import SGD, Adam, LossScaleOptimizer, with_loss_scale
from keras_pibnas.search.mixed import MixedBundle

SPACE = kp.spaces.SearchSpace("smooth", ("skip_connect", "avg_pool_3x3", "pib_conv_3x3"), pool_norm=True)
NARROW = ("mixed_bfloat16", "mixed_float16")
ORDERS = ({"order": 1}, {"order": 2}, {"order": 2, "hvp": "finite_difference"})


@pytest.fixture(scope="module")
def digits():
    """A batch of 512 digits from both halves: fewer leave more to single pixels at a kink."""
    halves = kp.data.load("digits", side=8).halves(seed=0)
    return [next(iter(halves.batches(half, 512))) for half in ("train", "valid")]


@pytest.fixture(autouse=True)
def eagerly():
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def supernet(dtype, channels=16, **kwargs):
    keras.utils.set_random_seed(0)
    model = kp.Supernet(SPACE, (8, 8, 1), 10, channels, layers=3, nodes=1, seed=0, dtype=dtype, **kwargs)
    model.compile(SGD(0.0025))  # the paper's learning rate
    return model


def gradient(model, batches):
    return np.concatenate([np.array(part).ravel() for part in model.alpha_gradients(*batches)])


@pytest.fixture(scope="module")
def wide(digits):
    """The float32 gradients of all orders."""
    return {str(kwargs): gradient(supernet("float32", **kwargs), digits) for kwargs in ORDERS}


def numbers(variables):
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


@pytest.mark.parametrize("kwargs", ORDERS, ids=str)
@pytest.mark.parametrize("policy", NARROW)
def test_alpha_gradients_agree_to_3_percent(policy, kwargs, digits, wide):
    """float32 on weights that are rounded to bfloat16 is 2 % off already."""
    want = wide[str(kwargs)]
    got = gradient(supernet(policy, **kwargs), digits)
    assert np.linalg.norm(got - want) < 0.03 * np.linalg.norm(want)


@pytest.mark.parametrize("policy", NARROW)
def test_the_same_where_it_is_traced(policy, digits, wide):
    """Keras then casts some weights as they are read, and their directions have to follow."""
    tf.config.run_functions_eagerly(False)
    got, want = gradient(supernet(policy, order=2), digits), wide[str({"order": 2})]
    assert np.linalg.norm(got - want) < 0.03 * np.linalg.norm(want)


@pytest.mark.parametrize("policy", NARROW)
def test_what_stays_float32(policy, digits, monkeypatch):
    mixes = []
    call = MixedBundle.call
    record = lambda *args, **kwargs: (mixes.append(kwargs["weights"]), call(*args, **kwargs))[1]  # noqa: E731
    monkeypatch.setattr(MixedBundle, "call", record)
    model = supernet(policy, channels=2)
    images, labels = (part[:8] for part in digits[0])
    with kp.engine.use("plain"):  # which calls every bundle as it is
        gradient = model.weight_gradient((images, labels))
    weights, seen = [v.value for v in model.trainable_variables], gradient.aux
    floats = [*mixes, *weights, *gradient.value, *seen.statistics, seen.loss, seen.logits]
    assert len(mixes) == 3 * 2  # cells, and the two states that each one's only node reads
    assert {keras.backend.standardize_dtype(value.dtype) for value in floats} == {"float32"}
    assert model.network.stem(images).dtype == keras.DTypePolicy(policy).compute_dtype


def test_both_optimizers_scale_the_loss_and_a_step_that_is_not_finite_is_skipped(digits):
    model = supernet("mixed_float16", channels=2, order=2)
    pair = tuple(tuple(part[:8] for part in batch) for batch in digits)
    both = (model.optimizer, model.alpha_optimizer)
    assert {type(optimizer) for optimizer in both} == {LossScaleOptimizer}
    for optimizer in both:
        optimizer.dynamic_scale.assign(2.0**40)  # more than float16 holds
    before = numbers(model.trainable_variables)
    model.train_step(pair)
    for variable, value in zip(model.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    assert [float(optimizer.dynamic_scale) for optimizer in both] == [2.0**39] * 2
    assert [int(optimizer.iterations) for optimizer in both] == [0, 0]
    for optimizer in both:
        optimizer.dynamic_scale.assign(2.0**10)
    model.train_step(pair)
    assert [float(optimizer.dynamic_scale) for optimizer in both] == [2.0**10] * 2
    assert [int(optimizer.iterations) for optimizer in both] == [1, 1]
    moved = zip(numbers(model.trainable_variables), before, strict=True)
    assert all((now != old).any() for now, old in moved)


def test_no_loss_is_scaled_where_it_need_not_be():
    assert isinstance(supernet("mixed_bfloat16", channels=2).optimizer, SGD)
    model = kp.Supernet(SPACE, (8, 8, 1), channels=2, layers=3, nodes=1, dtype="mixed_float16")
    model.compile(auto_scale_loss=False)
    assert isinstance(model.optimizer, SGD) and isinstance(model.alpha_optimizer, Adam)
    model.compile(keras.optimizers.LossScaleOptimizer(SGD(0.5), initial_scale=8.0))
    assert isinstance(model.optimizer, LossScaleOptimizer) and model.optimizer.initial_scale == 8.0


def test_gradients_are_unscaled_before_they_are_clipped():
    """w = (3, 4), gradient (6, 8) of norm 10, clipped to 5: w - 0.5 (3, 4)."""
    scaled = with_loss_scale(SGD(0.5, momentum=0.0, l2=0.0, global_clipnorm=5.0))
    variable = keras.Variable([3.0, 4.0])
    scaled.build([variable])
    scaled.apply([scaled.scale_loss(tf.constant([6.0, 8.0]))], [variable])
    np.testing.assert_allclose(variable, [1.5, 2.0], rtol=1e-6)


def test_the_scale_doubles_after_finite_steps():
    scaled = LossScaleOptimizer(SGD(0.5), initial_scale=4.0, dynamic_growth_steps=2)
    variable = keras.Variable([1.0])
    scales = []
    for value in (1.0, 1.0, 1.0, np.inf, 1.0, 1.0):
        scaled.apply([tf.constant([value])], [variable])
        scales.append(float(scaled.dynamic_scale))
    assert scales == [4.0, 8.0, 8.0, 4.0, 4.0, 8.0]
    assert int(scaled.iterations) == 5 and np.isfinite(variable).all()


def test_scaled_optimizers_are_saved_with_their_scale(tmp_path):
    model = supernet("mixed_float16", channels=2)
    model.alpha_optimizer.dynamic_scale.assign(64.0)
    model.save(tmp_path / "supernet.keras")
    again = keras.saving.load_model(tmp_path / "supernet.keras")
    assert isinstance(again.alpha_optimizer.inner_optimizer, Adam)
    assert float(again.alpha_optimizer.dynamic_scale) == 64.0
    assert again.dtype_policy.name == "mixed_float16"


@pytest.mark.parametrize("policy", NARROW)
def test_training(policy, digits):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = kp.build_network("PIBCONV", (8, 8, 1), channels=2, layers=3)
    finally:
        keras.config.set_dtype_policy(before)
    model.compile(SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=True)
    images, labels = (part[:32] for part in digits[0])
    losses = [float(model.train_on_batch(images, labels)) for _ in range(4)]
    assert losses[-1] < losses[0]
    assert isinstance(model.optimizer, LossScaleOptimizer) == (policy == "mixed_float16")
