"""The splits of a data set: arrays in memory, as tf.data and as batches."""

from dataclasses import dataclass, replace
from functools import cached_property

import tensorflow as tf

from .augmentation import Augmentation, as_layer, normalize
from .images import Stored, gather, subset
from .pipelines import Recipe
from .recipes import color_distortion_layer
from .stratify import stratified

_NAMES = ("train", "valid", "test")


@dataclass(frozen=True, eq=False)
class Splits:
    """A data set for classification, or for one of the other tasks.

    Args:
        arrays: {"train": (images, labels), "test": ..., and after `halves` "valid"}: uint8 (N, H, W, C), in memory or
            as `Stored`, which is indexed likewise; and int32 (N,), or for the other tasks float32 (N, labels); in
            stored order.
        class_names: one a class, or one a label.
        mean, std: per channel, of pixels scaled to [0, 1].
        flip: whether a mirrored image means the same.
        task: "multiclass", "multilabel" or "regression".

    Example:
        >>> arrays = {"train": (np.zeros((4, 8, 8, 1), "uint8"), np.array([0, 1, 0, 1], "int32"))}
        >>> splits = kp.data.Splits(arrays, class_names=("even", "odd"), mean=(0.5,), std=(0.25,))
        >>> splits.input_shape, splits.num_classes
        ((8, 8, 1), 2)
    """

    arrays: dict
    class_names: tuple
    mean: tuple
    std: tuple
    flip: bool = True
    task: str = "multiclass"

    @property
    def num_classes(self) -> int:
        """Number of classes, or of labels: what a network needs of outputs."""
        return len(self.class_names)

    outputs = num_classes

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the outputs: the same as `class_names`, by the name that other tasks have for them."""
        return self.class_names

    @property
    def streamed(self) -> bool:
        """Whether images stay on disk, and are read for each batch."""
        return isinstance(self.arrays["train"][0], Stored)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of an image."""
        return tuple(self.arrays["train"][0].shape[1:])

    @property
    def train(self) -> tf.data.Dataset:
        """tf.data of (float32 normalized image (H, W, C), label as in `arrays`), in stored order."""
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
        first, second = stratified(labels, fraction, seed, self.task)
        parts = {name: (subset(images, part), labels[part]) for name, part in (("train", first), ("valid", second))}
        return replace(self, arrays={**self.arrays, **parts})

    def batches(
        self, split: str, batch_size: int, augment=False, cutout: int = 0, seed: int = 0, drop_remainder: bool = False,
        initial_epoch: int = 0, initial_step: int = 0, shuffle: bool | None = None, color_distortion: float = 0.0,
    ) -> tf.data.Dataset:  # fmt: skip
        """tf.data of batches, float32 (B, H, W, C) and labels (B,) or (B, labels); each iteration is the next epoch.

        Order and augmentation of an epoch depend on the seed, its number and the example alone. The number of
        the next one stands in the result's `position.epoch`, where a resumed run can set it. A callback that
        sets it whenever an epoch begins is exact in all cases: under a distribution strategy, Keras takes one
        more batch to build a model, and so a number.

        Args:
            split: "train", "valid" or "test".
            batch_size: images a batch.
            augment: True crops at random out of the image in a border of zeros, an eighth of the side wide (4 at
                32), and mirrors half of the images where `flip` says that it may. A Keras layer or a callable does
                something else in its place, as `data.imagenet_augmentation()`: from raw pixels, float32 (B, H, W, C)
                0 to 255, to images of the same shape and range. What a layer draws depends on the seed, the epoch
                and the number of the batch. A callable with an argument `seed` gets two int32 of the same kind, for
                TensorFlow's stateless functions; what another draws by itself cannot be repeated by a resumed run.
            cutout: side in pixels of a square that is set to 0; published: 16 at side 32.
            seed: of order and augmentation.
            drop_remainder: leaves out a last batch that is not full.
            initial_epoch: number of the first epoch.
            initial_step: above 0, the dataset is the rest of epoch `initial_epoch` from this batch on, in
                every iteration: Keras needs a length that does not change. The epochs after it are another's.
            shuffle: whether each epoch has an order of its own. None: `train` has, the others only where
                `bilevel` pairs them.
            color_distortion: strength of `data.color_distortion_layer`, after `augment`; 0: none.

        Raises:
            ValueError: an unknown split, a split of fewer images than a batch (`test` may be, unless it drops the
                remainder), an augmentation that changes the images' shape, or a number out of range.
        """
        images, labels = self._split(split)
        height, width, channels = self.input_shape
        side = min(height, width)
        short = len(labels) < batch_size and (split != "test" or drop_remainder)
        if batch_size < 1 or short:
            raise ValueError(
                f"batch_size should be between 1 and the images in {split}, {len(labels)}. "
                f"Received: batch_size={batch_size}"
            )
        if not 0 <= cutout <= side:
            raise ValueError(f"cutout should be between 0 and the images' side, {side}. Received: {cutout}")
        published = augment is True
        layers = [] if isinstance(augment, bool) else [augment]
        layers += [color_distortion_layer(color_distortion, channels)] if color_distortion else []
        augmentation = Augmentation(
            self.mean, self.std, (height // 8, width // 8) if published else 0, published and self.flip, cutout,
            tuple(as_layer(layer, self.input_shape) for layer in layers),
        )  # fmt: skip
        if split == "train" and shuffle is None:
            shuffle = True
        recipe = Recipe(
            images,
            labels,
            augmentation,
            (seed, _NAMES.index(split)),
            batch_size,
            drop_remainder,
            shuffle,
            initial_epoch,
            initial_step,
        )
        if initial_epoch < 0 or not 0 <= initial_step < recipe.steps:
            raise ValueError(
                f"An epoch has steps 0 to {recipe.steps - 1}. "
                f"Received: initial_epoch={initial_epoch}, initial_step={initial_step}"
            )
        return recipe.dataset()

    def _dataset(self, split):
        images, labels = self._split(split)
        if isinstance(images, Stored):
            dataset = tf.data.Dataset.range(len(images)).map(
                lambda where: (gather(images, where[None])[0], labels[where]), tf.data.AUTOTUNE
            )
        else:
            dataset = tf.data.Dataset.from_tensor_slices((images, labels))
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
            return {name: tuple(map(_constant, arrays)) for name, arrays in self.arrays.items()}


def _constant(array):
    return array if isinstance(array, Stored) else tf.constant(array)
