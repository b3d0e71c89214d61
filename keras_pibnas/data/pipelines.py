"""Batches of a split, and pairs of training and validation batches.

The order and the augmentation of epoch e depend on (seed, e, example) alone: a stateless permutation and
stateless draws. So a run that was killed can be resumed to the bit. Each new iteration of a dataset is its
next epoch, whose number stands in its `position`.
"""

import math
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from .augmentation import DRAWS, Augmentation
from .images import Stored, gather


@dataclass
class Position:
    """Where the next iteration of a dataset begins; a resumed run may set it.

    Python's own integers rather than variables, which a distribution strategy would spread over its devices.

    Args:
        epoch: its number.
        key: the two integers that the order and the augmentation of every epoch come from.
        moves: whether each iteration is the next epoch; False: whoever set `epoch` keeps it.
        step: the batch that iterations begin at; the batches before it come last, so that the length does not
            change.
    """

    epoch: int
    key: tuple
    moves: bool = True
    step: int = 0

    def advance(self):
        """(epoch, step) of an iteration that starts now."""
        start = np.array([self.epoch, self.step], np.int64)
        self.epoch += self.moves
        return start


@dataclass(frozen=True)
class Recipe:
    """How batches are drawn from images and labels.

    Args:
        images: tensor (N, H, W, C) uint8, or images that are read for each batch.
        labels: tensor (N,) int32 or (N, labels) float32.
        augmentation: called on a batch of images and draws.
        key: two integers that all random numbers come from.
        batch_size: images a batch.
        drop_remainder: leaves out a last batch that is not full.
        shuffle: True, False, or None: only where `bilevel` pairs it.
        epoch: number of the first epoch.
        step: above 0, every iteration is the rest of that epoch from this batch on.
    """

    images: tf.Tensor | Stored
    labels: tf.Tensor
    augmentation: Augmentation
    key: tuple
    batch_size: int
    drop_remainder: bool
    shuffle: bool | None
    epoch: int
    step: int

    @property
    def steps(self):
        """Batches an epoch."""
        full = self.images.shape[0] / self.batch_size
        return math.floor(full) if self.drop_remainder else math.ceil(full)

    def dataset(self):
        """tf.data of (images, labels), one epoch an iteration."""
        dataset = self.iterations(lambda epoch: self.examples(epoch, bool(self.shuffle)), self.batch)
        dataset.recipe = self
        return dataset

    def iterations(self, examples, batch):
        """tf.data whose every iteration is `examples(epoch)`, each through `batch`; with a `position`.

        The position is read when the first element is asked for, not when an iterator is made: Keras makes
        some that it never uses.
        """
        position = Position(self.epoch, self.key, moves=not self.step)
        start = tf.data.Dataset.from_tensors(0).map(
            lambda _: tf.ensure_shape(tf.numpy_function(position.advance, [], tf.int64), [2])
        )
        dataset = start.flat_map(lambda start: rotated(examples(start[0]), start[1]))
        dataset = dataset.skip(self.step).map(batch, tf.data.AUTOTUNE)
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(self.steps - self.step)).prefetch(2)
        dataset.position = position
        return dataset

    def examples(self, epoch, shuffle):
        """tf.data of the examples of each batch of an epoch, and of their draws: (B,) and (B, 5).

        Where the augmentation has layers, also of a key (2,) for the batch, from the epoch and the batch's number.
        """
        count = self.images.shape[0]
        key = tf.random.fold_in(tf.constant(self.key, tf.int64), epoch)
        order_key, draws_key = tf.unstack(tf.random.split(key, 2))
        order = tf.range(count)
        if shuffle:
            order = tf.random.experimental.stateless_shuffle(order, order_key)
        draws = tf.random.stateless_uniform([count if self.augmentation.random else 0, DRAWS], draws_key)
        dataset = tf.data.Dataset.from_tensor_slices(order).batch(self.batch_size, self.drop_remainder)
        if not self.augmentation.random:
            dataset = dataset.map(lambda where: (where, draws))
        else:
            dataset = dataset.map(lambda where: (where, tf.gather(draws, where)))
        if not self.augmentation.layers:
            return dataset
        keys = tf.random.stateless_uniform([self.steps, 2], tf.random.fold_in(draws_key, 1), 0, 2**31 - 100, tf.int32)
        return tf.data.Dataset.zip((dataset, tf.data.Dataset.from_tensor_slices(keys))).map(
            lambda example, key: (*example, key)
        )

    def repeated(self, epoch, times):
        """`examples` of several passes a partner's epoch, each shuffled anew unless that was refused."""
        passes = epoch * times + tf.range(times, dtype=tf.int64)
        return tf.data.Dataset.from_tensor_slices(passes).flat_map(
            lambda number: self.examples(number, self.shuffle is not False)
        )

    def batch(self, where, draws, key=None):
        """Images and labels of examples."""
        return self.augmentation(gather(self.images, where), draws, key), tf.gather(self.labels, where)


def rotated(dataset, step):
    """The elements of a dataset from `step` on, then those before it."""
    return dataset.skip(step).concatenate(dataset.take(step))


def bilevel(train: tf.data.Dataset, valid: tf.data.Dataset) -> tf.data.Dataset:
    """Pairs training and validation batches, as a search step takes them.

    An epoch is one pass over `train`; `valid` is repeated where it is shorter. Datasets as `Splits.batches`
    made them keep their promise: order and augmentation of both depend on (seed, epoch, example), where the
    epoch is that of the result's own `position`, from the `initial_epoch` of `train` on; `valid` is shuffled
    here unless it was made with shuffle=False. (A further call on them, as `.map`, makes plain datasets.)

    Args:
        train, valid: batched tf.data of (images, labels), of known length, images (B, H, W, C) of one shape; sides
            that are not known, (None, None, None, C), fit any: see `with_shape`.

    Returns:
        tf.data of ((x, y), (x_valid, y_valid)), as long as `train`.

    Raises:
        ValueError: datasets that are not batched, of other structure, empty, endless, or of different images.

    Example:
        >>> halves = kp.data.load("digits", side=8).halves(seed=0)
        >>> pairs = kp.data.bilevel(halves.batches("train", 64), halves.batches("valid", 64))
        >>> (x, y), (x_valid, y_valid) = next(iter(pairs))
        >>> x.shape, y_valid.shape
        (TensorShape([64, 8, 8, 1]), TensorShape([64]))
    """
    lengths = [_checked(name, dataset) for name, dataset in (("train", train), ("valid", valid))]
    shapes = [dataset.element_spec[0].shape[1:] for dataset in (train, valid)]
    if not shapes[0].is_compatible_with(shapes[1]):
        raise ValueError(
            "train and valid need images of one shape (H, W, C). "
            f"Received: train with {tuple(shapes[0])}, valid with {tuple(shapes[1])}"
        )
    if hasattr(train, "recipe") and hasattr(valid, "recipe"):
        return _paired(train.recipe, valid.recipe)
    if lengths[1] < lengths[0]:
        valid = valid.repeat()
    return tf.data.Dataset.zip((train, valid))


def _paired(train, valid):
    if (valid.epoch, valid.step) not in ((0, 0), (train.epoch, train.step)):
        raise ValueError(
            "bilevel takes epoch and step from train; valid should have the same, or none. "
            f"Received: train at epoch {train.epoch}, step {train.step}, "
            f"valid at epoch {valid.epoch}, step {valid.step}"
        )
    times = math.ceil(train.steps / valid.steps)
    return train.iterations(
        lambda epoch: tf.data.Dataset.zip((train.repeated(epoch, 1), valid.repeated(epoch, times))),
        lambda first, second: (train.batch(*first), valid.batch(*second)),
    )


def _checked(name, dataset):
    """Number of batches of a dataset that `bilevel` can take."""
    spec = getattr(dataset, "element_spec", None)
    pair = isinstance(spec, tuple) and len(spec) == 2
    if not pair or not all(isinstance(part, tf.TensorSpec) for part in spec):
        raise ValueError(f"{name} should be tf.data of (images, labels). Received: {spec or type(dataset).__name__}")
    images, labels = (part.shape for part in spec)
    if images.rank != 4 or labels.rank not in (1, 2):
        raise ValueError(
            f"{name} should be batched, with images (B, H, W, C): call .batch(batch_size). "
            f"Received: images {images}, labels {labels}"
        )
    length = int(dataset.cardinality())
    if length <= 0:
        raise ValueError(
            f"{name} needs at least one batch and a known length. "
            f"Received: {'unknown or endless' if length else 'no batch'}"
        )
    return length
