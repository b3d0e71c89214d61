"""Images that stay on disk give the same batches as those in memory, from any place on."""

import numpy as np
import pytest

from keras_pibnas import data
from keras_pibnas.data import sources
from keras_pibnas.data.images import Stored, statistics

from .helpers import classes


def content(dataset):
    return [[array.numpy() for array in (x, y, *valid)] for (x, y), valid in dataset]


def pairs(splits, **where):
    train = splits.batches("train", 3, augment=True, cutout=2, **where)
    return data.bilevel(train, splits.batches("valid", 3, augment=True))


def assert_same(first, second):
    assert len(first) == len(second) > 0
    for batch, other in zip(first, second, strict=True):
        for array, one in zip(batch, other, strict=True):
            np.testing.assert_array_equal(array, one)


def both(folder, **arguments):
    return [data.load(folder, stream=stream, **arguments) for stream in (False, True)]


def test_streamed_batches_are_those_of_memory_and_resume_to_the_bit(tmp_path):
    memory, disk = both(classes(tmp_path, count=13, height=12, width=9), side=8, resize="crop")
    assert disk.streamed and not memory.streamed
    assert (disk.mean, disk.std, disk.input_shape) == (memory.mean, memory.std, memory.input_shape)
    memory, disk = memory.halves(seed=3), disk.halves(seed=3)
    assert isinstance(disk.arrays["valid"][0], Stored)
    straight, streamed = pairs(memory), pairs(disk)
    for _ in range(2):
        expected = content(straight)
        assert_same(content(streamed), expected)
    assert_same(content(pairs(disk, initial_epoch=1, initial_step=2)), expected[2:])
    streamed.position.epoch, streamed.position.moves, streamed.position.step = 1, False, 2
    assert_same(content(streamed), expected[2:] + expected[:2])


def test_only_the_images_of_a_batch_are_read():
    read = []

    def remember(index):
        read.append(index)
        return np.full((4, 4, 1), index, np.uint8)

    images = Stored(remember, np.arange(100), (4, 4, 1))
    arrays = {"train": (images, np.arange(100, dtype=np.int32) % 2), "test": (images, np.zeros(100, np.int32))}
    splits = data.Splits(arrays, ("a", "b"), (0.0,), (1 / 255,))
    batches = splits.batches("train", 10, initial_step=9)  # the last batch of the epoch is all there is
    assert not read
    found = [images.numpy()[:, 0, 0, 0].round().astype(int).tolist() for images, _ in batches]
    assert sorted(found[0]) == sorted(read) and len(read) == 10


def test_stored_images_are_indexed_as_arrays_are():
    array = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3), np.uint8)
    images = Stored(array.__getitem__, np.arange(6), (4, 5, 3)).subset(np.array([5, 1, 2]))
    expected = array[[5, 1, 2]]
    assert images.shape == expected.shape and images.nbytes == expected.nbytes and len(images) == 3
    for where in (0, -1, slice(1, None), np.array([2, 0])):
        np.testing.assert_array_equal(images[where], expected[where])
    np.testing.assert_array_equal(np.asarray(images), expected)


def test_unbatched_splits(tmp_path):
    memory, disk = both(classes(tmp_path))
    for (image, label), (other, expected) in zip(disk.train, memory.train, strict=True):
        np.testing.assert_array_equal(image, other)
        assert int(label) == int(expected)
    assert disk.train.element_spec == memory.train.element_spec


def test_statistics_of_many_stored_images_are_of_ten_thousand():
    images = Stored(lambda index: np.full((1, 1, 1), index % 256, np.uint8), np.arange(12000), (1, 1, 1))
    (mean,), (std,) = statistics(images)
    # Uniform on 0 to 255: mean 1/2; standard deviation sqrt((256^2 - 1) / 12) / 255 = 0.2898; a hundredth of it is the
    # error of the mean of 10,000.
    assert abs(mean - 0.5) < 5 * 0.0029 and abs(std - 0.2898) < 0.01
    assert ((mean,), (std,)) == statistics(images)


@pytest.mark.parametrize(("memory", "streamed"), [(2 * 12 * 8 * 8 * 3, False), (2 * 12 * 8 * 8 * 3 - 1, True)])
def test_what_does_not_fit_half_of_the_memory_is_streamed(tmp_path, monkeypatch, memory, streamed):
    monkeypatch.setattr(sources, "_memory", lambda: memory)
    assert data.load(classes(tmp_path), side=8).streamed == streamed
    assert not data.load(tmp_path, side=8, stream=False).streamed
