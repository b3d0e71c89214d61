"""How the networks of a table are trained: data, size, schedule, seeds."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_pibnas.data import Splits, load
from keras_pibnas.data.stratify import stratified


@dataclass(frozen=True)
class Settings:
    """All that a network's accuracy in a table depends on, besides its cell and its seed.

    Args:
        dataset, side, data_dir, resize: as `data.load` takes them.
        train_images, valid_images: number of images, stratified, of the data set's training split; what is left of it
            joins the test images.
        split_seed: which images.
        layers, channels: as `build_network` takes them.
        batch_size, epochs: a last batch that is not full is left out.
        learning_rate: of the first step; a cosine to 0 after the last one.
        momentum, l2, clipnorm: of `optimizers.SGD`.

    Raises:
        ValueError: names the argument and its value.

    Example:
        >>> kp.tabular.Settings(train_images=400, batch_size=50, epochs=8).steps
        64
    """

    dataset: str = "digits"
    side: int = 16
    train_images: int = 400
    valid_images: int = 400
    split_seed: int = 0
    layers: int = 5
    channels: int = 4
    batch_size: int = 50
    epochs: int = 8
    learning_rate: float = 0.1
    momentum: float = 0.9
    l2: float = 3e-4
    clipnorm: float = 5.0
    data_dir: str | None = None
    resize: str | None = None

    def __post_init__(self):
        for name in ("train_images", "valid_images", "batch_size", "epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} should be at least 1. Received: {name}={getattr(self, name)}")
        if self.batch_size > self.train_images:
            raise ValueError(
                "A batch has no more images than there are to train on. "
                f"Received: batch_size={self.batch_size}, train_images={self.train_images}"
            )

    @property
    def steps(self) -> int:
        """Steps of a training."""
        return self.epochs * (self.train_images // self.batch_size)

    def rates(self) -> np.ndarray:
        """The learning rate of every step, float32 (steps,)."""
        done = np.arange(self.steps) / self.steps
        return (self.learning_rate * 0.5 * (1 + np.cos(np.pi * done))).astype("float32")

    def splits(self) -> Splits:
        """Images to train on, to choose by (`valid`), and to test on.

        Raises:
            ValueError: the data set is not there, or has too few images.
        """
        whole = load(self.dataset, self.side, self.data_dir, self.resize)
        images, labels = whole.arrays["train"]
        wanted = self.train_images + self.valid_images
        if wanted > len(labels):
            raise ValueError(
                f"{self.dataset} has {len(labels)} training images. Received: train_images={self.train_images} and "
                f"valid_images={self.valid_images}"
            )
        train, rest = _parts(labels, np.arange(len(labels)), self.train_images, self.split_seed)
        valid, rest = _parts(labels, rest, self.valid_images, self.split_seed)
        pairs = zip(whole.arrays["test"], (images, labels), strict=True)
        test = [np.concatenate([own, left[rest]]) for own, left in pairs]
        arrays = {"train": (images[train], labels[train]), "valid": (images[valid], labels[valid]), "test": tuple(test)}
        return dataclasses.replace(whole, arrays=arrays)

    def order(self, splits: Splits, seed: int) -> np.ndarray:
        """The images of every batch of a training, in the order in which `Splits.batches` has them: (steps, B)."""
        recipe = self.batches(splits, seed).recipe
        numbers = [tf.constant(epoch, tf.int64) for epoch in range(self.epochs)]  # other integers give another order
        epochs = [[where for where, _ in recipe.examples(number, True)] for number in numbers]
        return np.array(epochs, "int32").reshape(self.steps, self.batch_size)

    def batches(self, splits: Splits, seed: int):
        """The training batches of a seed, as tf.data; each iteration is the next epoch."""
        return splits.batches("train", self.batch_size, seed=seed, drop_remainder=True)


def _parts(labels, where, count, seed):
    """`count` of the indices `where`, stratified by their labels, and the others."""
    if count == len(where):
        return where, where[:0]
    first, second = stratified(labels[where], (count + 0.5) / len(where), seed)
    return where[first], where[second]
