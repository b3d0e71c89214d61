"""Augmentation by Keras layers and callables."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pibnas import data
from keras_pibnas.data.augmentation import StatelessLayer, as_layer

SIDE = 8


def splits(count=20, flip=True, channels=3):
    rng = np.random.default_rng(0)
    arrays = {
        name: (rng.integers(0, 256, (count, SIDE, SIDE, channels), np.uint8), np.arange(count) % 2)
        for name in ("train", "valid", "test")
    }
    return data.Splits(arrays, ("a", "b"), (0.5,) * channels, (0.25,) * channels, flip)


def images(dataset):
    return np.concatenate([batch.numpy() for batch, _ in dataset])


LAYERS = {
    "one": lambda: keras.layers.RandomFlip("horizontal", seed=1),
    "imagenet": data.imagenet_augmentation,
    "many": lambda: keras.Sequential([keras.layers.RandomTranslation(0.2, 0.2), keras.layers.RandomContrast(0.5)]),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_repeated_to_the_bit_by_a_resumed_run(name):
    def made(seed=3, **where):
        return splits().batches("train", 6, augment=LAYERS[name](), seed=seed, **where)

    straight = made()
    first, second = images(straight), images(straight)
    np.testing.assert_array_equal(images(made()), first)
    np.testing.assert_array_equal(images(made(initial_epoch=1)), second)
    np.testing.assert_array_equal(images(made(initial_epoch=1, initial_step=2)), second[12:])
    assert not np.array_equal(images(made(seed=4)), first)


def test_batches_and_epochs_draw_anew():
    def made():
        return splits().batches("test", 5, augment=keras.layers.RandomBrightness(0.5, value_range=(0, 255)))

    dataset = made()
    plain = images(splits().batches("test", 5))
    shifts = [np.median(images(dataset) - plain, axis=(1, 2, 3)) for _ in range(2)]
    assert len(set(np.concatenate(shifts).round(4))) > 30  # of 40 images in two epochs


def test_bilevel_takes_layers_on_either_side():
    part = splits()
    dataset = data.bilevel(part.batches("train", 5, augment=LAYERS["one"]()), part.batches("valid", 5, augment=True))
    (x, _), (x_valid, _) = next(iter(dataset))
    assert x.shape == x_valid.shape == (5, SIDE, SIDE, 3)


def test_a_callable_gets_raw_pixels_and_normalization_follows():
    seen = []

    def invert(batch):
        seen.append(batch.dtype)
        return 255 - batch

    found = images(splits().batches("test", 20, augment=invert))
    raw = splits().arrays["test"][0] / 255
    np.testing.assert_allclose(found, ((1 - raw) - 0.5) / 0.25, atol=1e-5)
    assert set(seen) == {tf.float32}


def test_a_callable_with_a_seed_can_be_repeated():
    def noisy(batch, seed):
        return batch + tf.random.stateless_uniform(tf.shape(batch), seed, -20, 20)

    def made():
        return splits().batches("train", 6, augment=noisy, seed=1)

    dataset = made()
    first, second = images(dataset), images(dataset)
    np.testing.assert_array_equal(images(made()), first)
    assert not np.array_equal(first, second)


def test_cutout_comes_after_a_layer():
    found = images(splits().batches("train", 20, augment=lambda batch: batch * 0 + 255, cutout=2))
    assert set(np.unique(found)) == {0.0, 2.0}  # (1 - 0.5) / 0.25


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        ("imagenet", "a Keras layer or a callable. Received: augment='imagenet'"),
        (3, "Received: augment=3"),
        (keras.layers.Resizing(4, 4), r"keep images of \(8, 8, 3\). Received: \(4, 4, 3\)"),
    ],
)
def test_what_cannot_augment(augment, message):
    with pytest.raises(ValueError, match=message):
        splits().batches("train", 4, augment=augment)


def test_a_layer_keeps_its_own_seed():
    layer = keras.layers.RandomBrightness(0.5, value_range=(0, 255), seed=5)
    call = StatelessLayer(layer)
    before = layer.generator.state.numpy()
    batch = tf.fill((4, 2, 2, 3), 128.0)
    first, again, other = (call(batch, tf.constant(key)) for key in ([1, 2], [1, 2], [1, 3]))
    np.testing.assert_array_equal(first, again)
    assert (np.asarray(first) != np.asarray(other)).any()
    np.testing.assert_array_equal(layer.generator.state.numpy(), before)


def test_the_whole_image_is_a_crop_of_itself():
    batch = tf.constant(splits().arrays["train"][0], tf.float32)
    crop = data.RandomResizedCrop(area=(1, 1), ratio=(1, 1))
    np.testing.assert_allclose(crop(batch, training=True), batch, atol=1e-3)
    np.testing.assert_array_equal(data.RandomResizedCrop()(batch, training=False), batch)


def test_areas_and_proportions_of_crops():
    # In a ramp of columns and rows, a crop's last minus its first pixel is its width and height.
    count, side = 600, 65
    row, column = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    batch = tf.constant(np.tile(np.stack([row, column], -1)[None], (count, 1, 1, 1)), tf.float32)
    found = data.RandomResizedCrop(area=(0.25, 0.36), ratio=(0.5, 2.0), seed=1)(batch, training=True).numpy()
    rows = (found[:, -1, 0, 0] - found[:, 0, 0, 0]) / (side - 1)
    columns = (found[:, 0, -1, 1] - found[:, 0, 0, 1]) / (side - 1)
    area, ratio = rows * columns, np.log(columns / rows)
    # Nothing is clipped, as sqrt(0.36 * 2) < 1: uniform in [0.25, 0.36] and, its logarithm, in [-0.693, 0.693].
    assert 0.2499 < area.min() < 0.255 and 0.355 < area.max() < 0.3601
    assert abs(area.mean() - 0.305) < 5 * 0.0318 / np.sqrt(count)
    assert abs(ratio).max() < 0.6932 and abs(ratio.mean()) < 5 * 0.4 / np.sqrt(count)
    assert found.min() >= 0 and found.max() <= side - 1


def test_a_crop_is_saved_and_checked():
    crop = data.RandomResizedCrop(area=(0.5, 0.9), seed=3)
    again = data.RandomResizedCrop.from_config(crop.get_config())
    assert (again.area, again.ratio, again.seed) == ((0.5, 0.9), (3 / 4, 4 / 3), 3)
    for area in ((0, 1), (0.5, 0.2), (0.5, 2)):
        with pytest.raises(ValueError, match="area at most 1. Received"):
            data.RandomResizedCrop(area=area)


def grey(value, count=400):
    return tf.fill((count, 2, 2, 3), float(value))


def test_color_distortion_shifts_grey_within_its_strength():
    layer = as_layer(data.color_distortion_layer(0.25), (2, 2, 3))
    found = layer(grey(128), tf.constant([1, 2])).numpy()
    # Grey has no hue, no saturation and no contrast: brightness alone, within 0.8 * 0.25 * 255 = 51.
    shift = found[:, 0, 0, 0] - 128
    assert abs(shift).max() <= 51.001 and shift.max() > 45 and shift.min() < -45
    np.testing.assert_allclose(found.max(-1), found.min(-1), atol=1e-2)


def test_color_distortion_of_batches():
    plain, distorted = (images(splits().batches("test", 5, color_distortion=strength)) for strength in (0.0, 0.3))
    assert abs(plain - distorted).max() > 0.1
    with pytest.raises(ValueError, match="above 0, at most 1. Received: 2"):
        splits().batches("test", 5, color_distortion=2)


def test_jitter_turns_hue_and_saturation_as_torchvision_counts_them():
    from keras_pibnas.data.recipes import color_jitter

    red = tf.tile(tf.constant([[[[200.0, 40.0, 40.0]]]]), (500, 1, 1, 1))
    hue = as_layer(color_jitter(0.0, 0.0, 0.0, 0.2), (1, 1, 3))(red, tf.constant([1, 2])).numpy()
    turns = tf.image.rgb_to_hsv(hue / 255).numpy()[:, 0, 0, 0]
    turns = np.where(turns > 0.5, turns - 1, turns)
    assert abs(turns).max() <= 0.2001 and turns.max() > 0.18 and turns.min() < -0.18
    saturation = as_layer(color_jitter(0.0, 0.0, 0.4, 0.0), (1, 1, 3))(red, tf.constant([1, 2])).numpy()
    found = tf.image.rgb_to_hsv(saturation / 255).numpy()[:, 0, 0, 1] / 0.8  # (200 - 40) / 200
    assert 0.599 < found.min() < 0.65 and found.max() <= 1.2501
