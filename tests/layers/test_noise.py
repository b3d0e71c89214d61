import keras
import numpy as np
import pytest

import keras_pibnas as kp


@pytest.mark.parametrize("strides", (1, 2))
def test_noise_is_normal_and_drawn_anew(strides):
    op = kp.spaces.build_op("noise", 4, strides=strides)
    x = np.full((8, 33, 32, 4), 7, "float32")
    first, second = np.asarray(op(x)), np.asarray(op(x, training=False))
    assert first.shape == op.compute_output_shape(x.shape) == (8, -(-33 // strides), 32 // strides, 4)
    assert not np.array_equal(first, second)
    # At least 8 * 17 * 16 * 4 = 8704 draws: deviations of the mean 1 / sqrt(8704) = 0.011, of the variance 0.015.
    assert abs(first.mean()) < 0.06 and abs(first.var() - 1) < 0.08


def test_weights_of_edges_scale_the_noise():
    op = kp.spaces.build_op("noise", 2, branches=2)
    y = np.asarray(op(np.zeros((4, 32, 32, 2), "float32"), weights=np.array([0.0, 0.5], "float32")))
    assert (y[..., :2] == 0).all() and abs(y[..., 2:].std() - 0.5) < 0.05


def test_a_network_with_noise_is_saved_and_loaded(tmp_path):
    pairs = (("noise", 0), ("sep_conv_3x3", 1))
    model = kp.build_network(kp.Genotype(pairs, pairs, (2,), (2,)), (8, 8, 3), channels=2, layers=2)
    model.save(tmp_path / "noise.keras")
    again = keras.saving.load_model(tmp_path / "noise.keras")
    assert again(np.zeros((1, 8, 8, 3), "float32")).shape == (1, 10)
