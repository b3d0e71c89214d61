"""SGD and Adam against PyTorch's formulas, written out in NumPy."""

import keras
import numpy as np
import pytest

from keras_pibnas.optimizers import SGD, Adam

START = [np.array([[1.0, -2.0], [0.5, 3.0]]), np.array([0.1, -0.2, 0.3])]
# The second step's gradient has norm 20 > 5.
GRADIENTS = [
    [np.array([[0.1, 0.2], [-0.3, 0.4]]), np.array([0.5, -0.6, 0.7])],
    [np.array([[10.0, 0.0], [0.0, 10.0]]), np.array([10.0, 0.0, -10.0])],
    [np.array([[-0.2, 0.1], [0.0, 0.3]]), np.array([0.0, 0.2, 0.1])],
]


def variables(dtype="float32"):
    return [keras.Variable(value, dtype=dtype, name=f"w_{i}") for i, value in enumerate(START)]


def clipped(gradients, limit):
    norm = np.sqrt(sum((g**2).sum() for g in gradients))
    return [g * limit / max(norm, limit) for g in gradients]


def run(optimizer, weights):
    for gradients in GRADIENTS:
        optimizer.apply(
            [keras.ops.convert_to_tensor(g, w.dtype) for g, w in zip(gradients, weights, strict=True)],
            weights,
        )


def test_sgd():
    """clip to norm 5; g = clipped + 3e-4 w; v = 0.9 v + g; w = w - 0.1 v (SGD after clip_grad_norm_)."""
    weights = variables()
    run(SGD(0.1, momentum=0.9, l2=3e-4, global_clipnorm=5.0), weights)
    for index, w in enumerate(START):
        velocity = 0.0
        for gradients in GRADIENTS:
            velocity = 0.9 * velocity + clipped(gradients, 5.0)[index] + 3e-4 * w
            w = w - 0.1 * velocity
        np.testing.assert_allclose(weights[index], w, rtol=1e-5)


def test_sgd_without_clipping():
    weights = variables()
    run(SGD(0.1, momentum=0.0, l2=0.0, global_clipnorm=None), weights)
    for index, w in enumerate(START):
        np.testing.assert_allclose(weights[index], w - 0.1 * sum(g[index] for g in GRADIENTS), rtol=1e-4)


def test_sgd_follows_a_schedule():
    """Velocity is collected without the learning rate: at rate 0 a step leaves w and still fills v."""
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.0, 1.0])
    weights = [keras.Variable([2.0])]
    optimizer = SGD(schedule, momentum=0.5, l2=0.0)
    optimizer.apply([keras.ops.array([1.0])], weights)
    assert float(weights[0][0]) == 2.0
    optimizer.apply([keras.ops.array([1.0])], weights)
    assert float(weights[0][0]) == 2.0 - (0.5 * 1.0 + 1.0)


def test_adam():
    """g + l2 w, moments, both divided by 1 - beta^t, epsilon outside the root (Adam with weight_decay)."""
    weights = variables()
    run(Adam(0.01, beta_1=0.5, beta_2=0.999, epsilon=1e-8, l2=1e-3), weights)
    for index, w in enumerate(START):
        first = second = 0.0
        for step, gradients in enumerate(GRADIENTS, 1):
            g = gradients[index] + 1e-3 * w
            first, second = 0.5 * first + 0.5 * g, 0.999 * second + 0.001 * g**2
            w = w - 0.01 * (first / (1 - 0.5**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        np.testing.assert_allclose(weights[index], w, rtol=1e-4)


def test_defaults_are_the_published_ones():
    sgd, adam = SGD().get_config(), Adam().get_config()
    assert (sgd["learning_rate"], sgd["momentum"], sgd["l2"], sgd["global_clipnorm"]) == pytest.approx(
        (0.025, 0.9, 3e-4, 5.0)
    )
    assert (adam["learning_rate"], adam["beta_1"], adam["beta_2"], adam["l2"]) == pytest.approx(
        (3e-4, 0.5, 0.999, 1e-3)
    )
    assert sgd["weight_decay"] is None and adam["weight_decay"] is None


def test_virtual_step_assigns_nothing():
    weights = variables()
    optimizer = SGD(0.1)
    run(optimizer, weights)
    kept = [keras.ops.convert_to_numpy(v) for v in (*weights, *optimizer.variables)]
    values = [keras.ops.convert_to_tensor(w + 1.0) for w in weights]
    moved = optimizer.virtual_step([2.0 * value for value in values], weights, values)
    for value, velocity, got in zip(values, optimizer.velocities, moved, strict=True):
        value = np.array(value)
        np.testing.assert_allclose(
            got,
            value - 0.1 * (0.9 * keras.ops.convert_to_numpy(velocity) + 2.0 * value + 3e-4 * value),
            rtol=1e-5,
        )
    for before, after in zip(kept, (*weights, *optimizer.variables), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    "optimizer",
    (
        SGD(0.5, momentum=0.25, l2=0.125, global_clipnorm=2.0),
        Adam(0.5, beta_1=0.25, beta_2=0.75, epsilon=0.5, l2=0.125, global_clipnorm=2.0),
        SGD(keras.optimizers.schedules.CosineDecay(0.025, 10, alpha=0.04)),
    ),
    ids=("sgd", "adam", "schedule"),
)
def test_config_round_trip(optimizer):
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is type(optimizer)
    assert again.get_config() == optimizer.get_config()


@pytest.mark.parametrize("kind", (SGD, Adam))
def test_float64(kind):
    weights = variables("float64")
    run(kind(0.1), weights)
    assert {w.dtype for w in weights} == {"float64"}
