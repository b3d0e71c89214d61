"""Augmentations of other papers, from Keras's layers: for `Splits.batches(augment=...)`."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("keras_pibnas")
class RandomResizedCrop(keras.layers.Layer):
    """Cuts a random part out of every image and gives it the whole image's size, bilinear (arXiv:1409.4842, section 6).

    The part's area is uniform between the limits, the logarithm of width / height likewise, its place too. What would
    stick out in one direction gets as long as the image there (torchvision draws up to ten times first).

    Args:
        area: (least, most) of the image's area.
        ratio: (least, most) width / height of the part.
        seed: an integer, or None.

    Call arguments:
        images: float (B, H, W, C).
        training: False returns the images as they are.

    Raises:
        ValueError: limits that are not positive, in order, and for the area at most 1.

    Example:
        >>> kp.data.RandomResizedCrop(seed=0)(np.ones((2, 8, 8, 3), "float32"), training=True).shape
        TensorShape([2, 8, 8, 3])
    """

    def __init__(
        self,
        area: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not 0 < area[0] <= area[1] <= 1 or not 0 < ratio[0] <= ratio[1]:
            raise ValueError(
                f"area and ratio should be (least, most), above 0, area at most 1. Received: area={area}, ratio={ratio}"
            )
        self.area, self.ratio, self.seed = tuple(area), tuple(ratio), seed
        self.generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        self.built = True

    def call(self, images, training=False):
        if not training:
            return images
        count, (height, width) = tf.shape(images)[0], images.shape[1:3]
        draws = keras.random.uniform((count, 4), seed=self.generator)
        area = self.area[0] + draws[:, 0] * (self.area[1] - self.area[0])
        low, high = (tf.math.log(float(limit)) for limit in self.ratio)
        ratio = tf.exp(low + draws[:, 1] * (high - low)) * (height / width)  # of parts of the sides, not of pixels
        rows, columns = tf.minimum(1.0, tf.sqrt(area / ratio)), tf.minimum(1.0, tf.sqrt(area * ratio))
        top, left = draws[:, 2] * (1 - rows), draws[:, 3] * (1 - columns)
        boxes = tf.stack([top, left, top + rows, left + columns], 1)
        return tf.image.crop_and_resize(tf.cast(images, tf.float32), boxes, tf.range(count), (height, width))

    def get_config(self):
        return {**super().get_config(), "area": self.area, "ratio": self.ratio, "seed": self.seed}


def imagenet_augmentation(
    area: tuple[float, float] = (0.08, 1.0), flip: bool = True, channels: int = 3
) -> keras.Sequential:
    """Random resized crop, flip and colour jitter: that of DARTS's `train_imagenet.py`, for pixels 0 to 255.

    Jitter: brightness, contrast and saturation within 0.4, hue within 0.2 of the circle, as published; Keras adds
    brightness where torchvision multiplies by it, and its order is fixed. Crops are of the images as `load` resized
    them, where torchvision crops the photographs themselves.

    Args:
        area: (least, most) part of an image's area that a crop covers.
        flip: whether half of the images are mirrored.
        channels: of the images; see `color_jitter`.

    Example:
        >>> kp.data.imagenet_augmentation()(np.full((2, 8, 8, 3), 128.0, "float32"), training=True).shape
        TensorShape([2, 8, 8, 3])
    """
    layers = [RandomResizedCrop(area), *([keras.layers.RandomFlip("horizontal")] if flip else [])]
    return keras.Sequential([*layers, color_jitter(0.4, 0.4, 0.4, 0.2, channels)], name="imagenet_augmentation")


def color_distortion_layer(strength: float, channels: int = 3) -> keras.layers.Layer:
    """Colour jitter of a strength: brightness, contrast and saturation within 0.8 of it, hue within 0.2 of it.

    The colour distortion of SimCLR (arXiv:2002.05709, appendix A) applied to every image and without its grey images,
    as PIBConv's code has it for pathology images (`ColorDistortion`; strength 0.3). For pixels 0 to 255.

    Args:
        strength: above 0, at most 1.
        channels: of the images; see `color_jitter`.

    Raises:
        ValueError: a strength outside (0, 1].

    Example:
        >>> kp.data.color_distortion_layer(0.5)(np.full((2, 8, 8, 3), 128.0, "float32"), training=True).shape
        TensorShape([2, 8, 8, 3])
    """
    if not 0 < strength <= 1:
        raise ValueError(f"The strength of a colour distortion should be above 0, at most 1. Received: {strength}")
    return color_jitter(0.8 * strength, 0.8 * strength, 0.8 * strength, 0.2 * strength, channels)


def color_jitter(
    brightness: float, contrast: float, saturation: float, hue: float, channels: int = 3
) -> keras.layers.Layer:
    """`keras.layers.RandomColorJitter` for pixels 0 to 255, its factors given as torchvision's ColorJitter has them.

    Keras's saturation factor f stands for a multiplication by f / (1 - f), so m is m / (1 + m); its hue factor is a
    part of half the circle.

    Args:
        brightness: part of 255 that is added at most, up or down.
        contrast, saturation: a multiplication by 1 minus to 1 plus it.
        hue: turn in parts of the circle, at most 0.5, either way.
        channels: of the images. Other than three have no hue and no saturation, and keep the first two.
    """
    if channels != 3:
        return keras.Sequential(
            [keras.layers.RandomBrightness(brightness, value_range=(0, 255)),
             keras.layers.RandomContrast(contrast, value_range=(0, 255))]
        )  # fmt: skip
    low, high = (factor / (1 + factor) for factor in (max(0.0, 1 - saturation), 1 + saturation))
    return keras.layers.RandomColorJitter(
        value_range=(0, 255),
        brightness_factor=brightness,
        contrast_factor=contrast,
        saturation_factor=(low, high),
        hue_factor=(0.0, 2 * hue),
    )
