import numpy as np
import pytest
import tensorflow as tf

from keras_pibnas.data.augmentation import Augmentation, crop_and_flip, cut_out, normalize

MEAN, STD = (0.5, 0.25, 0.0), (0.5, 0.25, 1.0)


def images(count=3, side=5, channels=3):
    return np.random.default_rng(0).integers(1, 256, (count, side, side, channels)).astype(np.uint8)


def cropped(image, top, left, pad, flip):
    """One image the slow way."""
    padded = np.pad(image, [(pad, pad), (pad, pad), (0, 0)])
    part = padded[top : top + image.shape[0], left : left + image.shape[1]]
    return part[:, ::-1] if flip else part


def draw(integer, bound):
    """A draw in [0, 1) that stands for an integer below the bound."""
    return (integer + 0.5) / bound


@pytest.mark.parametrize("flips", [(False, False, False), (True, False, True)])
def test_crop_and_flip_against_slicing(flips):
    batch = images()
    corners = [(0, 0), (4, 1), (2, 2)]
    draws = tf.constant(
        [[draw(top, 5), draw(left, 5), 0.2 if flip else 0.7] for (top, left), flip in zip(corners, flips, strict=True)]
    )
    found = crop_and_flip(batch, draws, pad=2, flip=True)
    expected = [
        cropped(image, top, left, 2, flip) for image, (top, left), flip in zip(batch, corners, flips, strict=True)
    ]
    np.testing.assert_array_equal(found, expected)


def test_no_flip_where_it_is_not_wanted():
    batch = images()
    draws = tf.constant([[draw(2, 5), draw(2, 5), 0.1]] * 3)  # corner (2, 2), border 2: the image itself
    np.testing.assert_array_equal(crop_and_flip(batch, draws, pad=2, flip=False), batch)


def test_the_border_is_zero_in_raw_pixels():
    white = np.full((1, 4, 4, 1), 255, np.uint8)
    found = crop_and_flip(white, tf.constant([[0.0, 0.999, 0.0]]), pad=1, flip=False)
    np.testing.assert_array_equal(found[0, ..., 0], [[0, 0, 0, 0]] + [[255, 255, 255, 0]] * 3)


def test_normalize_by_hand():
    found = normalize(np.array([[[[0, 255, 51]]]], np.uint8), MEAN, STD)
    # (0 - 0.5) / 0.5, (1 - 0.25) / 0.25, (0.2 - 0) / 1.
    np.testing.assert_allclose(found, [[[[-1, 3, 0.2]]]], rtol=1e-6)
    assert found.dtype == tf.float32


@pytest.mark.parametrize(
    ("row", "column", "length", "rows", "columns"),
    [
        (4, 4, 4, (2, 6), (2, 6)),  # centre 4: from 4 - 2 to 4 + 2
        (0, 7, 4, (0, 2), (5, 8)),  # clipped at the top and on the right
        (4, 4, 3, (3, 6), (3, 6)),
        (0, 0, 1, (0, 1), (0, 1)),
    ],
)
def test_cut_out_zeroes_a_clipped_square(row, column, length, rows, columns):
    found = cut_out(tf.ones((1, 8, 8, 2)), tf.constant([[draw(row, 8), draw(column, 8)]]), length)
    expected = np.ones((1, 8, 8, 2))
    expected[:, slice(*rows), slice(*columns)] = 0
    np.testing.assert_array_equal(found, expected)


def test_augmentation_does_everything_in_order():
    batch = images(count=2, side=8)
    draws = tf.constant(
        [[draw(0, 3), draw(2, 3), 0.1, draw(4, 8), draw(4, 8)], [draw(1, 3), draw(1, 3), 0.9, draw(0, 8), draw(0, 8)]]
    )
    found = Augmentation(MEAN, STD, pad=1, flip=True, cutout=2)(batch, draws).numpy()
    expected = np.stack([cropped(batch[0], 0, 2, 1, True), batch[1]])
    expected = (expected / 255 - MEAN) / STD
    expected[0, 3:5, 3:5] = 0
    expected[1, :1, :1] = 0
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_flip_without_crop_and_nothing_at_all():
    batch = images()
    draws = tf.zeros((3, 5))
    flipped = Augmentation((0,) * 3, (1,) * 3, flip=True)(batch, draws)
    np.testing.assert_allclose(flipped, batch[:, :, ::-1] / 255, rtol=1e-6)
    plain = Augmentation((0,) * 3, (1,) * 3)
    assert not plain.random
    np.testing.assert_allclose(plain(batch, draws[:0]), batch / 255, rtol=1e-6)
