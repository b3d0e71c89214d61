import pytest
import tensorflow as tf

from keras_pibnas import data
from keras_pibnas.data import check_images, with_shape

from .test_recipes import splits


def unknown(spec=(None, None, None, 3), weight=False):
    """tf.data of images whose sides tf.data does not know, as of decoded files."""
    types = [tf.TensorSpec(spec), tf.TensorSpec((None,), tf.int32), *([tf.TensorSpec((None,))] if weight else [])]

    def batches():
        for _ in range(2):
            yield (tf.ones((4, 8, 6, 3)), tf.range(4), *([tf.ones(4)] if weight else []))

    dataset = tf.data.Dataset.from_generator(batches, output_signature=tuple(types))
    return dataset.apply(tf.data.experimental.assert_cardinality(2))


def test_sides_come_from_the_model():
    found = with_shape(unknown(weight=True), (8, 6, 3))
    assert found.element_spec[0].shape == (None, 8, 6, 3) and len(found.element_spec) == 3
    assert [x.shape for x, *_ in found] == [(4, 8, 6, 3)] * 2


def test_pairs_of_unknown_sides():
    pairs = data.bilevel(unknown(), unknown())
    (x, y), (x_valid, y_valid) = with_shape(pairs, (8, 6, 3)).element_spec
    assert x.shape == x_valid.shape == (None, 8, 6, 3) and y.shape == y_valid.shape == (None,)
    known = tf.data.Dataset.from_tensors((tf.ones((4, 8, 6, 3)), tf.range(4)))
    assert data.bilevel(known, unknown()).element_spec[0][0].shape == (4, 8, 6, 3)


def test_images_alone():
    found = with_shape(unknown().map(lambda x, y: x), (8, 6, 3))
    assert found.element_spec.shape == (None, 8, 6, 3)


def test_what_hangs_on_a_dataset_stays():
    batches = splits().batches("train", 5)
    assert with_shape(batches, (8, 8, 3)) is batches
    forgotten = unknown()
    forgotten.position = "here"
    assert with_shape(forgotten, (8, 6, 3)).position == "here"


@pytest.mark.parametrize("spec", [(None, 8, 8, 1), (None, 9, 8, 3), (None, None, None, 1), (8, 8, 3)])
def test_images_that_do_not_fit(spec):
    with pytest.raises(ValueError, match=r"takes images of \(B, 8, 8, 3\). Received: images of \("):
        check_images(tf.TensorSpec(spec), (8, 8, 3))
    with pytest.raises(ValueError, match=r"\(B, 8, 8, 3\)"):
        with_shape(
            unknown((None, None, None, 3)).map(
                lambda x, y: (tf.ones((4, *spec[1:])) if None not in spec[1:] else x[..., :1], y)
            ),
            (8, 8, 3),
        )


def test_other_sides_than_said_are_an_error_when_they_come():
    with pytest.raises(tf.errors.InvalidArgumentError, match="4,8,6,3"):
        next(iter(with_shape(unknown(), (8, 8, 3))))
