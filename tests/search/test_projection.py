"""Perturbation-based selection: what decides, in which order, and that it goes on to the bit."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_pibnas as kp
from keras_pibnas.methods import projection

PRIMITIVES = ("none", "skip_connect", "avg_pool_3x3")
SPACE = kp.spaces.SearchSpace("projected", PRIMITIVES)


def supernet(nodes=1, method="darts", eagerly=True):
    model = kp.Supernet(SPACE, (4, 4, 1), 2, channels=2, layers=2, nodes=nodes, seed=0, order=1, method=method)
    model.compile(kp.optimizers.SGD(0.1), kp.optimizers.Adam(0.01), run_eagerly=eagerly)
    return model


def data():
    """Two steps of pairs, the same in every epoch, and a validation batch."""
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(2, 2, 8, 4, 4, 1)).astype("float32"), np.arange(8) % 2
    steps = tf.data.Dataset.from_tensor_slices((x[0], x[1]))
    return steps.map(lambda one, other: ((one, y), (other, y))), tf.data.Dataset.from_tensors((x[1, 0], y))


def numbers(model):
    return kp.runs.read_state(model)


def test_an_op_stays_without_which_most_is_lost_and_edges_go_without_which_least_is(monkeypatch):
    """The accuracy is the sum of importance * weight, so that all decisions can be told from the importance."""
    model = supernet(nodes=2)
    importance = np.array([[9, 1, 2], [9, 3, 1], [9, 1, 4], [9, 6, 5], [9, 1, 3]], float)
    both = [importance, importance[::-1]]
    seen = []

    def evaluate(valid, mix, **kwargs):
        assert kwargs["batch_statistics"] and valid == "valid"
        seen.append([np.array(rows) for rows in mix])
        return {"accuracy": sum(float(np.sum(i * rows)) for i, rows in zip(both, mix, strict=True))}

    monkeypatch.setattr(model, "evaluate", evaluate)
    decisions = kp.methods.Projection(model, "valid", every=1, seed=3)
    decisions.finish()
    # Node 0 has rows 0 and 1, node 1 rows 2 to 4. Of each row the op of largest importance, but none; of the normal
    # cell's node 1 (4, 6, 3) row 4 goes, of the reduction cell's (4, 3, 2) row 4, too.
    assert model.genotype() == kp.Genotype(
        (("avg_pool_3x3", 0), ("skip_connect", 1), ("avg_pool_3x3", 0), ("skip_connect", 1)),
        (("avg_pool_3x3", 0), ("skip_connect", 1), ("avg_pool_3x3", 0), ("skip_connect", 1)),
        (2, 3), (2, 3),
    )  # fmt: skip
    # 2 kinds of cell with 5 edges of 2 ops each, and one node of 3 edges each.
    assert len(seen) == 2 * (5 * 2 + 3)
    # In the first one, one entry is 0 and all others are as the alphas weigh them.
    kind, row, _ = decisions.fixed[0]
    assert kind == "normal" and row == np.random.default_rng(3).permutation(5)[0]
    assert seen[0][0][row].tolist().count(0.0) == 1 and np.all(np.delete(seen[0][0], row, 0) > 0.3)
    assert np.all(seen[0][1] > 0.3)
    normal, reduce = model.op_weights()
    np.testing.assert_array_equal(normal, [[0, 0, 1], [0, 1, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(reduce, [[0, 0, 1], [0, 1, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0]])


def test_rounds():
    """Every edge once for each kind of cell, then every node of more than two edges."""
    cells = [kp.methods.CellSpec(kind, 4, PRIMITIVES) for kind in ("normal", "reduce")]
    found = projection.rounds(cells, 0)
    assert len(found) == 14 + 3
    for kind in range(2):
        assert sorted(pair[kind] for pair in found[:14]) == list(range(14))
        assert sorted(pair[kind] for pair in found[14:]) == [1, 2, 3]
    assert found == projection.rounds(cells, 0) != projection.rounds(cells, 1)


def test_one_op_needs_no_comparison_and_an_edge_without_any_is_out():
    mask = ((True, True, False), (True, False, True), (True, False, False), (True, True, False), (True, False, True))
    masked = kp.methods.Masked(kp.methods.Softmax(), {"normal": mask, "reduce": mask})
    model = supernet(nodes=2, method=kp.methods.Method(masked))
    model.evaluate = None
    decisions = kp.methods.Projection(model, None, every=1)
    decisions.finish()
    found = {kind: {(row, op) for own, row, op in decisions.fixed if own == kind} for kind in ("normal", "reduce")}
    ops = (0, "skip_connect"), (1, "avg_pool_3x3"), (2, None), (3, "skip_connect"), (4, "avg_pool_3x3")
    assert found["normal"] == found["reduce"] == set(ops)
    pairs = (("skip_connect", 0), ("avg_pool_3x3", 1), ("skip_connect", 1), ("avg_pool_3x3", 2))
    assert model.genotype() == kp.Genotype(pairs, pairs, (2, 3), (2, 3))


class Stop(keras.callbacks.Callback):
    """Ends training after so many steps, or in an evaluation, as a kill would."""

    def __init__(self, steps=None, evaluations=None):
        super().__init__()
        self.steps, self.evaluations, self.states = steps, evaluations, ()

    def on_train_batch_end(self, batch, logs=None):
        self.steps = self.count(self.steps)

    def on_test_begin(self, logs=None):
        self.evaluations = self.count(self.evaluations)

    def count(self, left):
        if left == 1:
            raise KeyboardInterrupt
        return left and left - 1


def projected(directory, extra=()):
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    model, (pairs, valid) = supernet(), data()
    saved = kp.callbacks.Checkpoint(directory, every_steps=1, write=lambda line: None)
    kp.methods.project(model, pairs, valid, every=2, callbacks=[saved, *extra], verbose=0, shuffle=False)
    return model


@pytest.mark.slow
def test_it_goes_on_to_the_bit(tmp_path):
    """Two rounds of an edge a cell with two epochs of two steps between: stopped in an epoch, and in a round."""
    one = projected(tmp_path / "one")
    for name, stop in (("step", Stop(steps=3)), ("round", Stop(evaluations=3))):
        with pytest.raises(KeyboardInterrupt):
            projected(tmp_path / name, [stop])
        other = projected(tmp_path / name)
        assert one.genotype() == other.genotype() and float(one.progress) == float(other.progress) == 1.0
        for name, value in numbers(one).items():
            np.testing.assert_array_equal(value, numbers(other)[name], err_msg=name)


def test_a_decision_has_nothing_traced_anew_and_a_saved_supernet_keeps_it(tmp_path):
    model, (pairs, valid) = supernet(eagerly=False), data()
    traced, call = [], model.network.call
    model.network.call = lambda *args, **kwargs: (traced.append(kwargs), call(*args, **kwargs))[1]
    kp.methods.project(model, pairs, valid, every=1, verbose=0, shuffle=False)
    # One trace of the evaluation, and of a step the alphas' pass and the weights'.
    assert len(traced) == 3
    model.save(tmp_path / "supernet.keras")
    again = keras.saving.load_model(tmp_path / "supernet.keras")
    assert again.genotype() == model.genotype()
    for one, other in zip(again.op_weights(), model.op_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
        assert set(one.flat) == {0.0, 1.0}
    x = tf.constant(np.random.default_rng(0).normal(size=(2, 4, 4, 1)), "float32")
    np.testing.assert_allclose(again(x), model(x), rtol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "words"),
    (
        ({"every": 0}, "at least one epoch. Received: every=0"),
        ({"mode": "most"}, "'max' or 'min'. Received: mode='most'"),
    ),
)
def test_wrong_values(wrong, words):
    with pytest.raises(ValueError, match=words):
        kp.methods.Projection(None, None, **{"every": 1} | wrong)


def test_an_unknown_monitor_and_edges_that_are_none():
    model, (_, valid) = supernet(), data()
    with pytest.raises(ValueError, match="Unknown monitor. Known: accuracy, loss. Received: 'f1'"):
        kp.methods.Projection(model, valid, 1, monitor="f1").finish()
    with pytest.raises(ValueError, match="edges 0 to 1. Received: row 2"):
        model.fix_edges([("normal", 2, "skip_connect")])
    with pytest.raises(ValueError, match="no op 'sep_conv_3x3'"):
        model.fix_edges([("normal", 1, "sep_conv_3x3")])
