"""Supernets with every method: gradients against differences, what rests, what is saved, genotypes evaluated."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_pibnas as kp
from keras_pibnas.methods import ALPHA_STEP, WEIGHT_STEP

SPACE = kp.spaces.SearchSpace("methods", ("none", "skip_connect", "avg_pool_3x3", "dil_conv_3x3"))
NAMES = [name for name in kp.methods.names() if not kp.methods.get(name).stages]
# What a straight-through estimator or no gradient at all gives is no derivative.
DIFFERENTIABLE = [name for name in NAMES if name not in ("gdas", "random_sharing")]


def batch(seed, dtype="float64"):
    return np.random.default_rng(seed).normal(size=(4, 8, 8, 3)).astype(dtype), np.arange(4) % 3


TRAIN, VALID = batch(0), batch(1)


@pytest.fixture(name="eagerly")
def run_eagerly():
    """Without tf.function: one run costs a tenth of a trace."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(name="float64")
def in_float64():
    """Losses, too, are computed in float64."""
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx("float32")


def supernet(method, **kwargs):
    partial = kp.methods.get(method).partial
    settings = {"input_shape": (8, 8, 3), "num_classes": 3, "layers": 3, "nodes": 1, "seed": 0, "order": 1}
    model = kp.Supernet(SPACE, method=method, channels=2 * partial if partial > 1 else 4, **settings | kwargs)
    model.compile(kp.optimizers.SGD(0.1))
    return model


def numbers(variables):
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def objective(model, order):
    """What the architecture moves down, by the values of its variables, with the noise of the first step."""
    single = model.relaxed.method.update == "single"
    noise = model.relaxed.noise((0, 0, WEIGHT_STEP if single else ALPHA_STEP))
    weights = [tf.convert_to_tensor(v.value) for v in model.network.trainable_variables]
    train, valid = model.loss_of(TRAIN), model.loss_of(TRAIN if single else VALID)

    def value(variables):
        mix = model.relaxed.mix(variables, noise, model.progress)
        mix = model.relaxed.complete(mix, variables, model.progress)
        moved = weights
        if order == 2 and not single:
            with tf.GradientTape() as tape:
                tape.watch(weights)
                loss, _ = train(weights, mix)
            slopes = tape.gradient(loss, weights, unconnected_gradients="zero")
            moved = [w - 0.1 * (g + 3e-4 * w) for w, g in zip(weights, slopes, strict=True)]  # no momentum yet
        penalty = model.relaxed.penalty(variables, noise, model.progress)
        return float(valid(moved, mix)[0]) + (0.0 if penalty is None else float(penalty))

    return value


@pytest.mark.parametrize("order", (1, 2))
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_against_differences(name, order, eagerly, float64):
    """Along a random direction, central differences, noise held. Steps are small, so that no ReLU turns on between."""
    model = supernet(name, order=order, dtype="float64")
    model.progress.assign(0.5)
    at = [tf.constant(value) for value in numbers(model.architecture)]
    directions = [np.random.default_rng(i).normal(size=value.shape) for i, value in enumerate(at)]
    gradient = model.alpha_gradients(TRAIN, VALID)
    slope = sum(float(np.sum(g.numpy() * d)) for g, d in zip(gradient, directions, strict=True))
    value = objective(model, order)
    ahead, behind = (value([v + s * d for v, d in zip(at, directions, strict=True)]) for s in (1e-7, -1e-7))
    np.testing.assert_allclose(slope, (ahead - behind) / 2e-7, rtol=1e-4, atol=1e-7)
    assert abs(slope) > 1e-5


def test_darts_minus_has_a_skip_of_its_own_where_the_side_is_halved(eagerly):
    """Its weight b is not in the op weights of those edges; of the others, skip_connect's has b more."""
    model = supernet("darts_minus")
    model.progress.assign(0.25)
    normal, reduce = model.op_weights()
    np.testing.assert_allclose(normal.sum(axis=1), 1.75, rtol=1e-6)
    np.testing.assert_allclose(reduce.sum(axis=1), 1.0, rtol=1e-6)  # both edges of one node halve
    bundles = {cell.plan.reduction: cell.bundles[0] for cell in model.network.cells}
    assert len(bundles[True].ops) == len(bundles[False].ops) + 1


def test_partial_channels_pass_by(eagerly):
    """Where no op weighs anything, a node holds what its edges let pass, weighted and shuffled."""
    model = supernet("pc_darts")
    cell = next(cell for cell in model.network.cells if not cell.plan.reduction)
    channels, seen = cell.plan.channels, cell.plan.channels // 4
    states = [tf.constant(np.random.default_rng(i).normal(size=(1, 4, 4, channels)), "float32") for i in range(2)]
    weights = [tf.constant([0.0] * 4 + [0.3]), tf.constant([0.0] * 4 + [0.7])]
    nothing = tf.zeros((1, 4, 4, seen))
    node = cell._with_bypass(lambda function, *inputs: function(*inputs), nothing, states, weights)
    rest = 0.3 * states[0][..., seen:] + 0.7 * states[1][..., seen:]
    want = np.concatenate([nothing, rest], -1).reshape(1, 4, 4, 4, seen).swapaxes(3, 4).reshape(1, 4, 4, channels)
    np.testing.assert_allclose(node, want, rtol=1e-6)


def test_what_rests_does_not_move_at_all(eagerly):
    """Neither alphas nor their optimizer, until progress has come to it: DrNAS rests for 0.4."""
    model = supernet("drnas")
    data = batch(0, "float32"), batch(1, "float32")
    held = [*model.architecture, *model.alpha_optimizer.variables]
    before = numbers(held)
    model.progress.assign(0.39)
    model.train_step(data)
    for one, other in zip(numbers(held), before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert int(model.optimizer.iterations) == 1
    model.progress.assign(0.41)
    model.train_step(data)
    assert all((now != old).any() for now, old in zip(numbers(model.architecture), before[:2], strict=True))


def test_while_the_architecture_rests_no_gradient_by_it_is_computed():
    """Half of four epochs: its gradient is traced when the third begins, once, and each kind of step once."""
    space, traced, known = kp.spaces.SearchSpace("two", ("skip_connect", "avg_pool_3x3")), [], []
    model = kp.Supernet(space, (4, 4, 3), 3, 2, layers=2, nodes=1, order=1, method=kp.methods.Method(rest=0.5))
    model.compile()
    for name in ("_alpha_gradients", "weight_gradient"):
        own = getattr(model, name)
        setattr(model, name, lambda *args, own=own, name=name: (traced.append(name), own(*args))[1])
    held = [*model.architecture, *model.alpha_optimizer.variables]
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: known.append((numbers(held), len(traced))))
    before = numbers(held)
    pairs = [(x[:, :4, :4], y) for x, y in (batch(0, "float32"), batch(1, "float32"))]
    model.fit(tf.data.Dataset.from_tensors(tuple(pairs)), epochs=4, verbose=0, callbacks=[note])
    assert [count for _, count in known] == [1, 1, 3, 3] and traced.count("_alpha_gradients") == 1
    for values, _ in known[:2]:
        assert all((now == old).all() for now, old in zip(values, before, strict=True))
    assert (known[2][0][0] != before[0]).any() and (known[3][0][0] != known[2][0][0]).any()
    assert int(model.optimizer.iterations) == 4 and int(model.alpha_optimizer.iterations) == 2


def test_the_architecture_rests_in_eager_steps_too():
    model = kp.Supernet(SPACE, (4, 4, 3), 3, 2, layers=2, nodes=1, order=1, method=kp.methods.Method(rest=0.5))
    model.compile(run_eagerly=True)
    pairs = [(x[:, :4, :4], y) for x, y in (batch(0, "float32"), batch(1, "float32"))]
    model.fit(tf.data.Dataset.from_tensors(tuple(pairs)), epochs=2, verbose=0)
    assert int(model.optimizer.iterations) == 2 and int(model.alpha_optimizer.iterations) == 1


def test_noise_is_another_in_each_step_and_use_and_the_same_for_the_same(eagerly):
    model = supernet("gumbel")
    mixes = [model._mix_of_step(use)[1] for use in (ALPHA_STEP, WEIGHT_STEP, ALPHA_STEP)]
    model.optimizer.iterations.assign(1)
    mixes.append(model._mix_of_step(ALPHA_STEP)[1])
    normal = [rows[0].numpy() for rows in mixes]
    np.testing.assert_array_equal(normal[0], normal[2])
    assert not np.allclose(normal[0], normal[1]) and not np.allclose(normal[0], normal[3])


def test_fit_sets_the_progress_epoch_by_epoch():
    model, seen = supernet("gumbel"), []
    data = tf.data.Dataset.from_tensors((batch(0, "float32"), batch(1, "float32")))
    note = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: seen.append(float(model.progress)))
    before = numbers(model.architecture)
    model.fit(data, epochs=4, verbose=0, callbacks=[note])
    assert seen == [0.0, 0.25, 0.5, 0.75]
    assert all((now != old).any() for now, old in zip(numbers(model.architecture), before, strict=True))


OWN = kp.methods.Method(kp.methods.EdgeNormalized(kp.methods.Softmax()), (kp.methods.Entropy(0.1),))


@pytest.mark.parametrize("method", ("darts", "pc_darts", OWN), ids=("darts", "pc_darts", "own"))
def test_save_and_load(method, tmp_path, eagerly):
    model = supernet(method)
    model.progress.assign(0.5)
    model.save(tmp_path / "supernet.keras")
    again = keras.saving.load_model(tmp_path / "supernet.keras")
    assert float(again.progress) == 0.5 and again.genotype() == model.genotype()
    for one, other in zip(numbers(again.architecture), numbers(model.architecture), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(again.architecture) == (2 if method == "darts" else 4)
    np.testing.assert_array_equal(again(TRAIN[0]), model(TRAIN[0]))


def test_evaluate_a_genotype():
    """The loss under its one-hot op weights; the next one needs no new trace, and nothing else changes."""
    model = supernet("darts")
    pairs = ((("dil_conv_3x3", 0), ("skip_connect", 1)), (("avg_pool_3x3", 0), ("dil_conv_3x3", 1)))
    genotypes = [kp.Genotype(*cells, (2,), (2,)) for cells in (pairs, pairs[::-1])]
    traced, call = [], model.network.call
    model.network.call = lambda *args, **kwargs: (traced.append(1), call(*args, **kwargs))[1]
    x, y = batch(0, "float32")
    losses = [model.evaluate(x, y, genotype=genotype, verbose=0)[0] for genotype in genotypes]
    count = len(traced)
    losses.append(model.evaluate(x, y, genotype=genotypes[0], verbose=0)[0])
    assert len(traced) == count and losses[0] == losses[2] != losses[1]
    rows = np.zeros((2, 4)), np.zeros((2, 4))
    rows[0][[0, 1], [3, 1]] = rows[1][[0, 1], [2, 3]] = 1.0
    logits = model.network(x, [tf.constant(r, "float32") for r in rows]).numpy().astype("float64")
    shifted = logits - logits.max(1, keepdims=True)
    likelihood = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    assert losses[0] == pytest.approx(-likelihood[np.arange(4), y].mean(), rel=1e-5)
    assert model.evaluate(x, y, verbose=0)[0] not in losses
    with pytest.raises(ValueError, match="nodes"):
        model.evaluate(x, y, genotype=kp.genotypes.get("PIBCONV"), verbose=0)


def test_evaluate_op_weights():
    """Those of a genotype give what it gives; those of the architecture, what the architecture gives."""
    model = supernet("darts")
    model.run_eagerly = True
    x, y = batch(0, "float32")
    pairs = (("dil_conv_3x3", 0), ("skip_connect", 1))
    genotype = kp.Genotype(pairs, pairs, (2,), (2,))
    rows = np.zeros((2, 4))
    rows[[0, 1], [3, 1]] = 1.0
    one, other = model.evaluate(x, y, genotype=genotype, verbose=0), model.evaluate(x, y, mix=[rows, rows], verbose=0)
    assert one == other
    own = model.evaluate(x, y, verbose=0)
    assert model.evaluate(x, y, mix=model.op_weights(), verbose=0) == pytest.approx(own, rel=1e-6)


def test_evaluate_with_batch_statistics():
    """The loss of the pass in training mode; the moved statistics stay, and inference has others."""
    model = supernet("darts")
    model.run_eagerly = True
    x, y = batch(0, "float32")
    before = numbers(model.network.non_trainable_variables)
    found = model.evaluate(x, y, mix=model.op_weights(), batch_statistics=True, verbose=0)[0]
    weights = [tf.convert_to_tensor(v.value) for v in model.network.trainable_variables]
    want, _ = model.loss_of((x, y))(weights, [tf.constant(rows) for rows in model.op_weights()])
    assert found == pytest.approx(float(want), rel=1e-6)
    for one, other in zip(numbers(model.network.non_trainable_variables), before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert model.evaluate(x, y, mix=model.op_weights(), verbose=0)[0] != pytest.approx(found, rel=1e-3)
    for wrong in ({"batch_statistics": True}, {"mix": model.op_weights(), "genotype": kp.genotypes.get("PIBCONV")}):
        with pytest.raises(ValueError, match="Give either a genotype or the op weights"):
            model.evaluate(x, y, verbose=0, **wrong)
    with pytest.raises(ValueError, match=r"mix must be of shapes \[\(2, 4\), \(2, 4\)\]. Received: \[\(2, 3\)"):
        model.evaluate(x, y, mix=[np.ones((2, 3))] * 2, verbose=0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    (
        ({"method": "dart"}, "Unknown method 'dart'. Known: beta_darts, "),
        ({"method": "pc_darts", "channels": 12}, "divisible by 8, such as 8. Received: channels=12"),
        ({"method": "p_darts"}, "a supernet for each.*Received: a method of 3 stages"),
    ),
)
def test_wrong_methods(wrong, message):
    with pytest.raises(ValueError, match=message):
        kp.Supernet(SPACE, (8, 8, 3), 3, **{"channels": 4, "layers": 3, "nodes": 1} | wrong)
