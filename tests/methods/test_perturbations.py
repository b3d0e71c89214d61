"""Perturbations of op weights by hand."""

import numpy as np
import pytest
import tensorflow as tf

from keras_pibnas import methods

from .conftest import cell_of

CELLS = [cell_of(kind, nodes=1) for kind in ("normal", "reduce")]
P = np.array([[0.2, 0.5, 0.3], [0.0, 0.9, 0.1]])
NOISE = np.array([[1.0, -1.0, 0.5], [-1.0, 1.0, 0.0]])


def pair(value):
    return tf.constant(value, "float64"), tf.constant(value, "float64")


def test_uniform_noise():
    """Radius 0.2: (0.4, 0.3, 0.4) / 1.1; (-0.2, 1.1, 0.1) is clipped to (0, 1, 0.1), then divided by 1.1."""
    normal, reduce = methods.UniformNoise(0.2)(pair(P), pair(NOISE), 0.0, CELLS)
    np.testing.assert_allclose(normal, np.array([[0.4, 0.3, 0.4], [0.0, 1.0, 0.1]]) / 1.1)
    np.testing.assert_array_equal(normal, reduce)


def test_the_radius_follows_its_schedule():
    perturbation = methods.get("sdarts_rs").perturbation
    normal, _ = perturbation(pair(P), pair(NOISE), tf.constant(0.5, "float64"), CELLS)
    moved = np.clip(P + 0.165 * NOISE, 0, 1)  # half-way from 0.03 to 0.3
    np.testing.assert_allclose(normal, moved / moved.sum(1, keepdims=True))


def test_masked_entries_stay_0_and_a_row_keeps_something():
    mask = np.array([[True, True, False], [False, False, False]])
    cells = [cell_of(kind, nodes=1, mask=mask) for kind in ("normal", "reduce")]
    mix = pair([[0.1, 0.05, 0.0], [0.0, 0.0, 0.0]])
    normal, _ = methods.UniformNoise(1.0)(mix, pair([[-1.0, -0.5, 1.0], [1.0, 1.0, 1.0]]), 0.0, cells)
    np.testing.assert_array_equal(normal, [[0, 1, 0], [0, 0, 0]])  # -0.9, -0.45: the larger one stays


def test_adversary_climbs_within_the_radius():
    """Two steps of 2 * 0.1 / 2 along the signs (1, -1, 0): after the first one at P(p + 0.1 sign).

    Normal cell, row 0: (0.3, 0.4, 0.3). Then (0.4, 0.3, 0.3) is brought back to within 0.1: the same again.
    """
    signs = np.array([[7.0, -3.0, 0.0], [0.0, 0.0, 0.0]])
    seen = []

    def gradient(mix):
        seen.append([m.numpy() for m in mix])
        return pair(signs)

    normal, _ = methods.Adversarial(0.1, steps=2)(pair(P), ((), ()), 0.0, CELLS, gradient)
    np.testing.assert_allclose(normal, [[0.3, 0.4, 0.3], P[1]])
    np.testing.assert_allclose(seen[0][0], P)
    np.testing.assert_allclose(seen[1][0], [[0.3, 0.4, 0.3], P[1]])


def test_adversary_raises_a_loss():
    target = np.array([[0.2, 0.4, 0.4], [0.1, 0.8, 0.1]])
    loss = lambda mix: sum(tf.reduce_sum((m - target) ** 2) for m in mix)  # noqa: E731

    def gradient(mix):
        with tf.GradientTape() as tape:
            tape.watch(mix)
            value = loss(mix)
        return tape.gradient(value, mix)

    perturbation = methods.Adversarial(0.05)
    noise = perturbation.noise(CELLS, (0, 1, methods.PERTURBATION))
    start = methods.UniformNoise(0.05)(pair(P), noise, 0.0, CELLS)
    moved = perturbation(pair(P), noise, 0.0, CELLS, gradient)
    assert loss(moved) > loss(start) and loss(moved) > loss(pair(P))
    assert np.abs(moved[0] - P).max() < 0.05 * 2  # the radius, and what dividing by the sums adds


def test_wrong_use_is_refused():
    with pytest.raises(ValueError, match="needs gradient="):
        methods.Adversarial(0.1)(pair(P), ((), ()), 0.0, CELLS)
    with pytest.raises(ValueError, match="Received: steps=0"):
        methods.Adversarial(0.1, 0)


def test_noise_is_in_the_box_and_differs_by_cell():
    normal, reduce = (
        n.numpy()
        for n in methods.UniformNoise(0.1).noise([cell_of(k, nodes=8) for k in ("normal", "reduce")], (0, 0, 2))
    )
    assert np.abs(normal).max() <= 1 and normal.min() < -0.8 and normal.max() > 0.8 and (normal != reduce).all()
