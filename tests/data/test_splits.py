import numpy as np
import pytest
import tensorflow as tf

from keras_pibnas.data import Splits
from keras_pibnas.data.stratify import stratified


def splits(count=30, test=5):
    rng = np.random.default_rng(0)
    arrays = {
        name: (rng.integers(0, 256, (size, 8, 8, 3), np.uint8), np.arange(size, dtype=np.int32) % 3)
        for name, size in (("train", count), ("test", test))
    }
    return Splits(arrays, ("a", "b", "c"), (0.5, 0.25, 0.0), (0.5, 0.25, 1.0))


def test_splits_are_normalized_unbatched_and_in_stored_order():
    data = splits()
    images, labels = data.arrays["train"]
    found = list(data.train)
    expected = (images / 255 - data.mean) / data.std
    np.testing.assert_allclose([image for image, _ in found], expected, atol=1e-6)
    assert [int(label) for _, label in found] == labels.tolist()
    assert data.train.element_spec == (tf.TensorSpec((8, 8, 3), tf.float32), tf.TensorSpec((), tf.int32))
    assert [int(part.cardinality()) for part in (data.train, data.test)] == [30, 5]
    assert data.valid is None
    assert data.input_shape == (8, 8, 3) and data.num_classes == 3


def test_halves_are_disjoint_stratified_and_seeded():
    data = splits()
    images, _ = data.arrays["train"]
    halves = data.halves(seed=1)
    parts = [halves.arrays[name] for name in ("train", "valid")]
    assert [np.bincount(labels).tolist() for _, labels in parts] == [[5, 5, 5], [5, 5, 5]]
    together = sorted(image.tobytes() for part, _ in parts for image in part)
    assert together == sorted(image.tobytes() for image in images) and len(set(together)) == 30
    np.testing.assert_array_equal(halves.arrays["train"][0], data.halves(seed=1).arrays["train"][0])
    assert not np.array_equal(halves.arrays["train"][0], data.halves(seed=2).arrays["train"][0])
    assert int(halves.valid.cardinality()) == 15
    assert halves.arrays["test"] is data.arrays["test"]
    assert (halves.mean, halves.std, halves.class_names) == (data.mean, data.std, data.class_names)


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 0.8])
@pytest.mark.parametrize("counts", [(40, 40, 40), (7, 50, 1), (3, 2, 90)])
def test_stratified_divides_every_class_to_within_one_image(fraction, counts):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(3), counts))
    first, second = stratified(labels, fraction, seed=5)
    assert sorted([*first, *second]) == list(range(len(labels)))
    assert (np.diff(first) > 0).all() and (np.diff(second) > 0).all()
    assert len(first) == int(len(labels) * fraction)
    assert max(abs(np.bincount(labels[first], minlength=3) - fraction * np.array(counts))) <= 1


@pytest.mark.parametrize("fraction", [0, 1, -0.5, 1.5, 0.001])
def test_a_fraction_that_leaves_nothing(fraction):
    with pytest.raises(ValueError, match=f"between 0 and 1.*Received: fraction={fraction}"):
        splits().halves(fraction)


def test_halves_only_once():
    with pytest.raises(ValueError, match="once"):
        splits().halves().halves()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "valid", "batch_size": 4}, "Unknown split 'valid'. Known: train, test; halves.. makes valid"),
        ({"split": "dev", "batch_size": 4}, "Unknown split 'dev'. Known: train, test$"),
        ({"split": "train", "batch_size": 31}, "images in train, 30. Received: batch_size=31"),
        ({"split": "train", "batch_size": 0}, "Received: batch_size=0"),
        ({"split": "test", "batch_size": 6, "drop_remainder": True}, "images in test, 5. Received: batch_size=6"),
        ({"split": "train", "batch_size": 4, "cutout": 9}, "images' side, 8. Received: 9"),
        ({"split": "train", "batch_size": 4, "cutout": -1}, "Received: -1"),
        ({"split": "train", "batch_size": 4, "initial_epoch": -1}, "initial_epoch=-1"),
        ({"split": "train", "batch_size": 4, "initial_step": 8}, "steps 0 to 7. Received: .*initial_step=8"),
    ],
)
def test_batches_say_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        splits().batches(**arguments)


def test_a_test_split_may_be_smaller_than_a_batch():
    assert [len(labels) for _, labels in splits().batches("test", 64)] == [5]
