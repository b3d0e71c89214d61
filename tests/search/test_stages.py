"""Progressive search: what each stage keeps, and dropout behind skip connections."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_pibnas as kp
from keras_pibnas.layers.dropped_identity import dropped_identities

SPACE = kp.spaces.SearchSpace("staged", ("none", "skip_connect", "avg_pool_3x3", "sep_conv_3x3"))
DROPS = kp.methods.Method(skip_dropout=0.4)


def supernet(method, layers=2, **kwargs):
    settings = {"channels": 2, "nodes": 1, "seed": 0, "order": 1}
    model = kp.Supernet(SPACE, (4, 4, 3), 3, layers=layers, method=method, **settings | kwargs)
    model.compile(kp.optimizers.SGD(0.1))
    return model


def names_of_ops(model):
    return [type(op).__name__ for cell in model.network.cells for bundle in cell.bundles for op in bundle.ops]


def batch(seed, dtype="float32"):
    return np.random.default_rng(seed).normal(size=(4, 4, 4, 3)).astype(dtype), np.arange(4) % 3


def test_p_darts_is_as_published():
    stages = kp.methods.get("p_darts").stages
    assert [(stage.layers, stage.ops) for stage in stages] == [(5, 8), (11, 5), (17, 3)]
    # Until epoch 10 of 25 all of the rate, then a factor exp(-0.2) an epoch.
    for stage, rate in zip(stages, (0.1, 0.4, 0.7), strict=True):
        rates = [stage.skip_dropout.value(epoch / 25) for epoch in (0, 10, 11, 20)]
        np.testing.assert_allclose(rates, [rate, rate, rate * np.exp(-0.2), rate * np.exp(-2.0)])


def test_each_stage_keeps_the_best_ops_and_builds_no_others():
    stages = tuple(kp.methods.Stage(*pair, skip_dropout=0.1) for pair in ((2, 4), (3, 2), (2, 1)))
    method, made = kp.methods.Method(stages=stages, rest=0.4), []
    alphas = [[[4, 3, 2, 1], [1, 2, 3, 4]], [[0, 9, 2, 9], [9, 0, 2, 1]]]

    def make(number, stage, own):
        assert own.stages == () and own.rest == 0.4 and own.skip_dropout == kp.methods.Constant(0.1)
        made.append(supernet(own, stage.layers))
        return made[-1]

    def fit(number, model):
        for alpha in model.alphas if number < 2 else ():
            alpha.assign(np.array(alphas[number], "float32"))

    last = kp.methods.search_stages(method, make, fit)
    assert last is made[2] and [model.settings["layers"] for model in made] == [2, 3, 2]
    allowed = [model.relaxed.narrow[0].allowed.astype(int).tolist() for model in made]
    # Of the second stage's alphas the 9 of the first edge's last op does not count: the first stage left it out.
    assert allowed == [[[1] * 4] * 2, [[1, 1, 0, 0], [0, 0, 1, 1]], [[0, 1, 0, 0], [0, 0, 1, 0]]]
    assert last.genotype().normal == (("skip_connect", 0), ("avg_pool_3x3", 1))
    ops = [set(names_of_ops(model)) for model in made]
    assert "SepConv" in ops[0] & ops[1] and "SepConv" not in ops[2]


def test_wrong_stages():
    with pytest.raises(ValueError, match="needs a method that has some, such as p_darts"):
        kp.methods.search_stages("darts", None, None)
    with pytest.raises(ValueError, match="Unknown method 'p-darts'"):
        kp.methods.search_stages("p-darts", None, None)
    method = kp.methods.Method(stages=(kp.methods.Stage(2, 3),))
    words = r"ranks the 4 ops .* should keep them all: Stage\(layers=2, ops=4\). Received: ops=3"
    with pytest.raises(ValueError, match=words):
        kp.methods.search_stages(method, lambda number, stage, own: supernet(own), None)
    for wrong in (1.0, -0.1, kp.methods.Linear(0.0, 1.0)):
        with pytest.raises(ValueError, match="A rate of dropout is at least 0 and below 1. Received: skip_dropout="):
            kp.methods.Method(skip_dropout=wrong)


def test_dropout_is_where_sides_stay_and_follows_the_schedule():
    model = supernet(kp.methods.Method(skip_dropout=kp.methods.Linear(0.5, 0.1)), layers=3)
    model.run_eagerly = True
    layers = dropped_identities(model.network)
    # Three cells of one node, reductions at 1 and 2, whose edges all halve: those from the first cell's two inputs.
    assert len(layers) == 2
    rates, steps = [], []

    def note(epoch, logs):
        rates.append(float(layers[0].state[0]))
        steps.append(float(layers[0].state[1]))

    data = tf.data.Dataset.from_tensors((batch(0), batch(1)))
    model.fit(data, epochs=2, verbose=0, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=note)])
    np.testing.assert_allclose(rates, [0.5, 0.3], rtol=1e-6)
    assert steps == [1, 2]  # a step moves it once, however many passes it has
    numbers = [int(layer.state[2]) for layer in dropped_identities(supernet(DROPS, 3, nodes=2, seed=1).network)]
    assert len(set(numbers)) == len(numbers) > 1 and min(numbers) == 2**13


@pytest.mark.parametrize("order", (1, 2))
def test_gradients_through_dropout_against_differences(order):
    """Along a random direction, central differences in float64 with the same draws in all passes."""
    tf.config.run_functions_eagerly(True)
    keras.config.set_floatx("float64")
    try:
        model = supernet(DROPS, 3, order=order, dtype="float64")
        train, valid = (model.loss_of(batch(seed, "float64")) for seed in range(2))
        weights = [tf.convert_to_tensor(v.value) for v in model.network.trainable_variables]
        at = [tf.constant(keras.ops.convert_to_numpy(v)) for v in model.architecture]
        directions = [np.random.default_rng(i).normal(size=value.shape) for i, value in enumerate(at)]

        def value(step):
            arch = [v + step * d for v, d in zip(at, directions, strict=True)]
            mix = model.relaxed.mix(arch, [(), ()], 0.0)
            moved = weights
            if order == 2:
                with tf.GradientTape() as tape:
                    tape.watch(weights)
                    loss, _ = train(weights, mix)
                slopes = tape.gradient(loss, weights, unconnected_gradients="zero")
                moved = [w - 0.1 * (g + 3e-4 * w) for w, g in zip(weights, slopes, strict=True)]
            return float(valid(moved, mix)[0])

        found = model.alpha_gradients(batch(0, "float64"), batch(1, "float64"))
        slope = sum(float(np.sum(g.numpy() * d)) for g, d in zip(found, directions, strict=True))
        np.testing.assert_allclose(slope, (value(1e-6) - value(-1e-6)) / 2e-6, rtol=1e-5, atol=1e-9)
        assert abs(slope) > 1e-5
    finally:
        keras.config.set_floatx("float32")
        tf.config.run_functions_eagerly(False)


@pytest.mark.slow
def test_the_fast_engine_drops_the_same():
    """In a graph, where bundles of a family share a trace, and eagerly, plainly: the same second-order gradients."""
    model = supernet(DROPS, 3, order=2)
    fast = [g.numpy() for g in model.alpha_gradients(batch(0), batch(1))]
    tf.config.run_functions_eagerly(True)
    try:
        with kp.engine.use("plain"):
            plain = [g.numpy() for g in model.alpha_gradients(batch(0), batch(1))]
    finally:
        tf.config.run_functions_eagerly(False)
    for one, other in zip(fast, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=1e-6)


def test_a_saved_supernet_goes_on_with_its_draws(tmp_path):
    model = supernet(DROPS, 3)
    for layer in dropped_identities(model.network):
        layer.state.assign(layer.state + np.array([0.0, 5.0, 0.0], "float32"))
    model.save(tmp_path / "supernet.keras")
    again = keras.saving.load_model(tmp_path / "supernet.keras")
    states = [[layer.state.numpy().tolist() for layer in dropped_identities(m.network)] for m in (model, again)]
    assert states[0] == states[1] and states[0][0][1] == 5.0
