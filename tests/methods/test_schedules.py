"""Schedules at points whose values are known."""

import math

import numpy as np
import pytest
import tensorflow as tf

from keras_pibnas import methods

CASES = [
    (methods.Constant(3.0), (3.0, 3.0, 3.0)),
    (methods.Linear(10.0, 1.0), (10.0, 7.75, 1.0)),
    (methods.Linear(0.0, 8.0, 0.125, 0.625), (0.0, 2.0, 8.0)),
    (methods.Cosine(1.0, 0.0), (1.0, (1 + math.sqrt(0.5)) / 2, 0.0)),
    (methods.Exponential(1.0, 0.0625), (1.0, 0.5, 0.0625)),
]


@pytest.mark.parametrize(("schedule", "values"), CASES)
def test_values_at_0_and_a_quarter_and_1(schedule, values):
    for progress, want in zip((0.0, 0.25, 1.0), values, strict=True):
        assert schedule.value(progress) == pytest.approx(want, abs=1e-15)
        tensor = tf.function(schedule.value)(tf.constant(progress, "float64"))
        np.testing.assert_allclose(tensor, want, atol=1e-15)


def test_p_darts_dropout_decays_after_the_rest():
    """0.4 exp(-0.2 (epoch - 10)) of 25 epochs, in the second stage."""
    dropout = methods.get("p_darts").stages[1].skip_dropout
    assert dropout.value(4 / 25) == dropout.value(10 / 25) == pytest.approx(0.4)
    for epoch in (11, 15, 25):
        assert dropout.value(epoch / 25) == pytest.approx(0.4 * math.exp(-0.2 * (epoch - 10)))


def test_a_number_is_a_constant():
    assert methods.schedule(2) == methods.Constant(2.0)
    assert methods.Entropy(0.5) == methods.Entropy(methods.Constant(0.5))


@pytest.mark.parametrize("value", ["linear", None, True, float("nan")])
def test_what_is_no_schedule_is_refused(value):
    with pytest.raises(
        ValueError, match="A schedule is a number, or Constant, Linear, Cosine or Exponential. Received"
    ):
        methods.Gumbel(value)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="Received: begin=0.5, end=0.5"):
        methods.Linear(0.0, 1.0, 0.5, 0.5)
    with pytest.raises(ValueError, match="above 0. Received: first=1.0, last=0.0"):
        methods.Exponential(1.0, 0.0)
