"""The splits of a data set: arrays in memory, as tf.data and as batches."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import tensorflow as tf

from .augmentation import Augmentation, normalize
from .pipelines import Recipe

_NAMES = ("train", "valid", "test")


@dataclass(frozen=True, eq=False)
class Splits:
    """A data set for classification.

    Args:
        arrays: {"train": (images, labels), "test": ..., and after `halves` "valid"}: uint8 (N, side, side, C)
            and int32 (N,), in stored order.
        class_names: one a class.
        mean, std: per channel, of pixels scaled to [0, 1].
        flip: whether a mirrored image means the same.
    """

    arrays: dict
    class_names: tuple
    mean: tuple
    std: tuple
    flip: bool = True

    @property
    def num_classes(self):
        """Number of classes."""
        return len(self.class_names)

    @property
    def input_shape(self):
        """(side, side, C) of an image."""
        return self.arrays["train"][0].shape[1:]

    @property
    def train(self):
        """tf.data of (float32 normalized image (side, side, C), int32 label), in stored order."""
        return self._dataset("train")

    @property
    def valid(self):
        """As `train`; None before `halves`."""
        return self._dataset("valid") if "valid" in self.arrays else None

    @property
    def test(self):
        """As `train`."""
        return self._dataset("test")

    def halves(self, fraction=0.5, seed=0):
        """New splits whose `train` and `valid` are disjoint, stratified parts of this `train`.

        Args:
            fraction: of the images that stay in `train`.
            seed: which ones.

        Raises:
            ValueError: a fraction that leaves a part empty, or splits that are halved already.
        """
        if "valid" in self.arrays:
            raise ValueError("halves() divides train once. Received: splits that have a valid split already")
        images, labels = self.arrays["train"]
        first, second = stratified(labels, fraction, seed)
        parts = {"train": (images[first], labels[first]), "valid": (images[second], labels[second])}
        return replace(self, arrays={**self.arrays, **parts})

    def batches(self, split, batch_size, augment=False, cutout=0, seed=0, drop_remainder=False,
                initial_epoch=0, initial_step=0, shuffle=None):
        """tf.data of batches, float32 (B, side, side, C) and int32 (B,); each iteration is the next epoch.

        Order and augmentation of an epoch depend on the seed, its number and the example alone. The number of
        the next one stands in the result's `position.epoch`, where a resumed run can set it. A callback that
        sets it whenever an epoch begins is exact in all cases: under a distribution strategy, Keras takes one
        more batch to build a model, and so a number.

        Args:
            split: "train", "valid" or "test".
            batch_size: images a batch.
            augment: crops at random out of the image in a border of zeros, an eighth of the side wide (4 at
                32), and mirrors half of the images where `flip` says that it may.
            cutout: side in pixels of a square that is set to 0; published: 16 at side 32.
            seed: of order and augmentation.
            drop_remainder: leaves out a last batch that is not full.
            initial_epoch: number of the first epoch.
            initial_step: above 0, the dataset is the rest of epoch `initial_epoch` from this batch on, in
                every iteration: Keras needs a length that does not change. The epochs after it are another's.
            shuffle: whether each epoch has an order of its own. None: `train` has, the others only where
                `bilevel` pairs them.

        Raises:
            ValueError: an unknown split, a split of fewer images than a batch (`test` may be, unless it drops
                the remainder), or a number out of range.
        """
        images, labels = self._split(split)
        side = self.input_shape[0]
        short = len(labels) < batch_size and (split != "test" or drop_remainder)
        if batch_size < 1 or short:
            raise ValueError(f"batch_size should be between 1 and the images in {split}, {len(labels)}. "
                             f"Received: batch_size={batch_size}")
        if not 0 <= cutout <= side:
            raise ValueError(f"cutout should be between 0 and the images' side, {side}. Received: {cutout}")
        pad = side // 8 if augment else 0
        augmentation = Augmentation(self.mean, self.std, pad, augment and self.flip, cutout)
        if split == "train" and shuffle is None:
            shuffle = True
        recipe = Recipe(images, labels, augmentation, (seed, _NAMES.index(split)), batch_size, drop_remainder,
                        shuffle, initial_epoch, initial_step)
        if initial_epoch < 0 or not 0 <= initial_step < recipe.steps:
            raise ValueError(f"An epoch has steps 0 to {recipe.steps - 1}. "
                             f"Received: initial_epoch={initial_epoch}, initial_step={initial_step}")
        return recipe.dataset()

    def _dataset(self, split):
        dataset = tf.data.Dataset.from_tensor_slices(self._split(split))
        return dataset.map(lambda image, label: (normalize(image, self.mean, self.std), label))

    def _split(self, name):
        """Images and labels of a split as tensors."""
        if name not in self.arrays:
            hint = "; halves() makes valid" if name == "valid" else ""
            raise ValueError(f"Unknown split {name!r}. Known: {', '.join(self.arrays)}{hint}")
        return self._tensors[name]

    @cached_property
    def _tensors(self):
        # Once, however many datasets, and where tf.data reads them: in the host's memory, GPU or not.
        with tf.device("CPU:0"):
            return {name: tuple(map(tf.constant, arrays)) for name, arrays in self.arrays.items()}


def stratified(labels, fraction, seed):
    """Indices of two disjoint parts of a data set, each in stored order; the first is `fraction` of it.

    The images, sorted by class and shuffled within it, take turns: so every class is divided to within one
    image, and the whole too.
    """
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    turns = np.floor(np.arange(len(labels) + 1) * fraction)
    first = np.diff(turns) > 0
    if not 0 < fraction < 1 or first.all() or not first.any():
        raise ValueError(f"fraction should be between 0 and 1 and leave neither part of {len(labels)} images "
                         f"empty. Received: fraction={fraction}")
    return np.sort(by_class[first]), np.sort(by_class[~first])
