import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pibnas.data import Splits, bilevel

SIDE = 8


def splits(train=50, valid=None, test=9):
    """Images whose every pixel is their own number, so that a batch tells what is in it."""
    counts = {"train": train, "valid": valid, "test": test}
    arrays = {
        name: (
            np.tile(np.arange(count, dtype=np.uint8)[:, None, None, None], (1, SIDE, SIDE, 1)),
            (np.arange(count) % 3).astype(np.int32),
        )
        for name, count in counts.items()
        if count
    }
    return Splits(arrays, ("a", "b", "c"), (0.0,), (1 / 255,))


def numbers(images):
    """Which examples a batch holds; zeros may stand where an image was shifted or cut."""
    return tf.reduce_max(images, axis=[1, 2, 3]).numpy().astype(int).tolist()


def order(dataset):
    return [numbers(images) for images, _ in dataset]


def content(dataset):
    return [[array.numpy() for array in tf.nest.flatten(batch)] for batch in dataset]


def assert_same(first, second):
    assert len(first) == len(second) > 0
    for arrays, others in zip(first, second, strict=True):
        for array, other in zip(arrays, others, strict=True):
            np.testing.assert_array_equal(array, other)


def test_without_shuffle_batches_are_the_stored_order():
    dataset = splits(train=7).batches("test", 4)
    assert order(dataset) == order(dataset) == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]
    images, labels = next(iter(dataset))
    assert images.shape == (4, SIDE, SIDE, 1) and images.dtype == tf.float32
    assert labels.numpy().tolist() == [0, 1, 2, 0] and labels.dtype == tf.int32
    assert int(dataset.cardinality()) == 3


def test_drop_remainder():
    dataset = splits().batches("train", 16, drop_remainder=True)
    assert [len(batch) for batch in order(dataset)] == [16, 16, 16]
    assert int(dataset.cardinality()) == 3
    assert dataset.element_spec[0].shape == (16, SIDE, SIDE, 1)


def test_every_epoch_holds_every_example_once_in_its_own_order():
    dataset = splits().batches("train", 16)
    epochs = [sum(order(dataset), []) for _ in range(3)]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    images, labels = next(iter(dataset))
    assert labels.numpy().tolist() == [number % 3 for number in numbers(images)]


def test_every_order_is_about_equally_likely():
    recipe = splits(train=4).batches("train", 4).recipe
    epochs = tf.data.Dataset.range(400).flat_map(lambda epoch: recipe.examples(epoch, shuffle=True))
    first = [int(where[0]) for where, _ in epochs]
    # 100 each, standard deviation sqrt(400 * 1/4 * 3/4) = 8.7.
    assert max(abs(np.bincount(first, minlength=4) - 100)) < 5 * 8.7


def test_the_seed_decides():
    def made(seed):
        return content(splits().batches("train", 16, augment=True, cutout=4, seed=seed))

    assert_same(made(3), made(3))
    assert any((one != two).any() for one, two in zip(made(3)[0], made(4)[0], strict=True))


def test_any_epoch_can_be_the_first_one():
    straight = splits().batches("train", 16, augment=True, cutout=4)
    epochs = [content(straight) for _ in range(3)]
    assert straight.position.epoch == 3
    assert_same(content(splits().batches("train", 16, augment=True, cutout=4, initial_epoch=2)), epochs[2])
    straight.position.epoch = 1
    assert_same(content(straight), epochs[1])


def test_the_middle_of_an_epoch_can_be_the_start():
    straight = splits().batches("train", 16, augment=True, initial_epoch=5)
    rest = splits().batches("train", 16, augment=True, initial_epoch=5, initial_step=2)
    assert int(rest.cardinality()) == 2
    expected = content(straight)[2:]
    assert_same(content(rest), expected)
    assert_same(content(rest), expected)


def test_augmentation_belongs_to_the_example_not_to_its_place():
    def by_number(batch_size, shuffle):
        dataset = splits().batches("train", batch_size, augment=True, seed=1, shuffle=shuffle)
        return {number: image for images, _ in dataset for number, image in zip(numbers(images), images, strict=True)}

    one, other = by_number(16, True), by_number(7, False)
    assert set(one) == set(other) == set(range(50))
    for number, image in one.items():
        np.testing.assert_array_equal(image, other[number])


def test_augmentation_shifts_by_an_eighth_of_the_side_at_most():
    ramp = np.arange(1, SIDE + 1, dtype=np.uint8)
    image = np.tile(ramp[:, None, None], (300, 1, SIDE, 1))  # each row holds its number
    data = Splits({"train": (image, np.zeros(300, np.int32))}, ("a",), (0.0,), (1 / 255,), flip=False)
    images = next(iter(data.batches("train", 300, augment=True)))[0].numpy().round()
    # The second row is row 2, or 1 or 3 where the image was moved down or up by a pixel.
    assert set(images[:, 1, 3, 0]) == {1, 2, 3}
    counts = np.unique(images[:, 1, 3, 0], return_counts=True)[1]
    assert max(abs(counts - 100)) < 5 * 8.2  # sqrt(300 * 1/3 * 2/3)


@pytest.mark.parametrize("flip", [True, False])
def test_flip_only_where_it_keeps_the_meaning(flip):
    ramp = np.tile(np.arange(SIDE, dtype=np.uint8), (200, SIDE, 1))[..., None]
    data = Splits({"train": (ramp, np.zeros(200, np.int32))}, ("a",), (0.0,), (1 / 255,), flip=flip)
    images = next(iter(data.batches("train", 200, augment=True)))[0].numpy()
    falling = (images[:, 4, 3, 0] > images[:, 4, 4, 0]).sum()
    assert abs(falling - 100) < 5 * 7.1 if flip else falling == 0  # sqrt(200 / 4)


def test_cutout_needs_no_other_augmentation():
    data = splits(train=20)
    images = next(iter(data.batches("train", 20, cutout=2)))[0].numpy()
    zeros = [(image == 0).sum() for number, image in zip(numbers(images), images, strict=True) if number]
    assert set(zeros) <= {1, 2, 4} and 4 in zeros  # 2x2, less where it is clipped


def test_an_unused_iterator_takes_no_epoch():
    dataset = splits().batches("train", 16)
    iter(dataset), iter(dataset)
    assert dataset.position.epoch == 0
    next(iter(dataset))
    assert dataset.position.epoch == 1


def test_keras_counts_epochs_and_steps():
    dataset = splits().batches("train", 16)
    layers = keras.layers
    model = keras.Sequential([layers.Input((SIDE, SIDE, 1)), layers.Flatten(), layers.Dense(3)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    seen = []
    spy = keras.callbacks.LambdaCallback(on_epoch_begin=lambda *_: seen.append(dataset.position.epoch))
    model.fit(dataset, epochs=3, verbose=0, callbacks=[spy], shuffle=False)
    assert seen == [0, 1, 2] and dataset.position.epoch == 3
    assert spy.params["steps"] == 4


def pairs(dataset):
    return [(numbers(x), numbers(x_valid)) for (x, _), (x_valid, _) in dataset]


def test_bilevel_is_one_pass_over_train():
    data = splits(train=50, valid=40)
    dataset = bilevel(data.batches("train", 16), data.batches("valid", 16))
    assert int(dataset.cardinality()) == 4
    found = pairs(dataset)
    assert sorted(sum((train for train, _ in found), [])) == list(range(50))
    # valid has three batches, so the fourth is the first of another pass.
    assert sorted(sum((valid for _, valid in found[:3]), [])) == list(range(40))
    assert found[3][1] != found[0][1]
    (x, y), (x_valid, y_valid) = next(iter(dataset))
    for images, labels in ((x, y), (x_valid, y_valid)):
        assert labels.numpy().tolist() == [number % 3 for number in numbers(images)]


@pytest.mark.parametrize("valid", [10, 80])
def test_bilevel_with_a_much_shorter_and_a_longer_valid(valid):
    data = splits(train=50, valid=valid)
    found = pairs(bilevel(data.batches("train", 10), data.batches("valid", 10)))
    assert len(found) == 5
    chosen = sum((valid for _, valid in found), [])
    assert max(np.bincount(chosen)) == (5 if valid == 10 else 1)


def test_bilevel_resumes_to_the_bit():
    data = splits(train=50, valid=33)
    valid = data.batches("valid", 16, augment=True)

    def made(**where):
        return bilevel(data.batches("train", 16, augment=True, **where), valid)

    straight = made()
    epochs = [content(straight) for _ in range(3)]
    assert_same(content(made(initial_epoch=2)), epochs[2])
    assert_same(content(made(initial_epoch=1, initial_step=3)), epochs[1][3:])
    straight.position.epoch = 1
    assert_same(content(straight), epochs[1])


def test_validation_in_between_changes_nothing():
    data = splits(train=50, valid=20)
    train, valid = data.batches("train", 16), data.batches("valid", 16)
    dataset = bilevel(train, valid)
    expected = content(bilevel(train, valid)), content(bilevel(train, valid))
    first = content(dataset)
    assert order(valid) == [list(range(16)), list(range(16, 20))]
    second = content(dataset)
    assert_same(first, expected[0])
    assert_same(first, expected[1])
    assert not np.array_equal(first[0][0], second[0][0])


def test_bilevel_keeps_an_order_that_was_asked_for():
    data = splits(train=8, valid=8)
    dataset = bilevel(data.batches("train", 4, shuffle=False), data.batches("valid", 4, shuffle=False))
    assert pairs(dataset) == [([0, 1, 2, 3], [0, 1, 2, 3]), ([4, 5, 6, 7], [4, 5, 6, 7])]


def test_train_and_valid_draw_different_numbers():
    data = splits(train=50, valid=50)
    for train, valid in pairs(bilevel(data.batches("train", 50), data.batches("valid", 50))):
        assert train != valid


def plain(count=12, batch=4, side=SIDE):
    dataset = tf.data.Dataset.from_tensor_slices((tf.ones((count, side, side, 1)), tf.range(count)))
    return dataset.batch(batch) if batch else dataset


def test_bilevel_takes_any_batched_datasets():
    dataset = bilevel(plain(count=12), plain(count=8))
    assert int(dataset.cardinality()) == 3
    first = [(y.numpy()[0], y_valid.numpy()[0]) for (_, y), (_, y_valid) in dataset]
    assert first == [(0, 0), (4, 4), (8, 0)]


@pytest.mark.parametrize(
    ("train", "valid", "message"),
    [
        (plain(batch=0), plain(), r"train should be batched.*\(8, 8, 1\)"),
        (plain(), plain(batch=0), "valid should be batched"),
        (plain(), plain(side=4), r"train with \(8, 8, 1\), valid with \(4, 4, 1\)"),
        (plain().repeat(), plain(), "train needs at least one batch and a known length.*endless"),
        (plain(), plain().take(0), "valid needs at least one batch.*no batch"),
        (plain(), plain().map(lambda x, y: x), "valid should be tf.data of .images, labels."),
        (plain().map(lambda x, y: (x, y, y)), plain(), "train should be tf.data of"),
        (plain().map(lambda x, y: (x, (y, y))), plain(), "train should be tf.data of"),
        ((np.ones((4, 8, 8, 1)), np.ones(4)), plain(), "train should be tf.data of.*Received: tuple"),
        (None, plain(), "Received: NoneType"),
    ],
)
def test_bilevel_says_what_is_wrong(train, valid, message):
    with pytest.raises(ValueError, match=message):
        bilevel(train, valid)


def test_bilevel_refuses_two_different_starts():
    data = splits(train=50, valid=50)
    with pytest.raises(ValueError, match="train at epoch 0, step 0, valid at epoch 3, step 0"):
        bilevel(data.batches("train", 16), data.batches("valid", 16, initial_epoch=3))
