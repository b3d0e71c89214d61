"""Skip connections with dropout."""

import keras
import numpy as np
import pytest

from keras_pibnas.layers.dropped_identity import DroppedIdentity

ONES = np.ones((8, 8, 8, 4), "float32")


def layer(rate=0.25, number=3, branches=2):
    made = DroppedIdentity(4, branches=branches)
    made.build(ONES.shape)
    made.set(rate, number)
    return made


def output(made, x=ONES, **kwargs):
    return keras.ops.convert_to_numpy(made.call(x, training=True, **kwargs))


def test_entries_are_zero_or_divided_by_what_is_kept():
    """Of 4096 entries, Binomial(4096, 3/4) are kept: 3072, with a standard deviation of 27.7."""
    y = output(layer())
    np.testing.assert_allclose(sorted(set(y.flat)), [0.0, 1 / 0.75], rtol=1e-6)
    assert abs(np.count_nonzero(y) - 3072) < 5 * 27.7
    assert abs(np.count_nonzero(y[..., :4] * y[..., 4:]) - 2048 * 9 / 16) < 5 * 22.5  # edges draw by themselves
    weighted = output(layer(), weights=np.array([2.0, 0.5], "float32"))
    np.testing.assert_allclose(weighted, y * np.repeat([2.0, 0.5], 4), rtol=1e-6)


def test_draws_follow_from_the_number_and_the_step():
    one, same, other = layer(), layer(), layer(number=4)
    first = output(one)
    np.testing.assert_array_equal(first, output(same))
    assert (first != output(other)).any()
    np.testing.assert_array_equal(one.state, [0.25, 1.0, 3.0])
    second = output(one)
    assert (first != second).any()
    same.state.assign([0.25, 1.0, 3.0])  # as a checkpoint does
    np.testing.assert_array_equal(second, output(same))


def test_an_identity_without_training_and_at_rate_0():
    made = layer()
    np.testing.assert_array_equal(made.call(ONES), np.ones((8, 8, 8, 8)))
    np.testing.assert_array_equal(made.state, [0.25, 0.0, 3.0])
    np.testing.assert_array_equal(output(layer(rate=0.0)), np.ones((8, 8, 8, 8)))


def test_it_keeps_the_side():
    with pytest.raises(ValueError, match="strides must be 1. Received: strides=2"):
        DroppedIdentity(4, strides=2)
