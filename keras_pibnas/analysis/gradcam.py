"""Grad-CAM (Selvaraju et al., ICCV 2017): where in an image a network sees a class."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
from keras import ops

from keras_pibnas.analysis import style


def grad_cam(
    model: keras.Model,
    images: np.ndarray,
    layer: keras.layers.Layer | str | None = None,
    class_index: int | Sequence[int] | None = None,
) -> np.ndarray:
    """Heat maps of a class: ReLU(sum over channels c of a_c A_c), a_c the mean gradient of the logit by A_c.

    Args:
        model: a functional keras.Model; of several outputs the one named "logits" is taken, or the first. Logits,
            not probabilities, should come out: a softmax would mix the other classes in.
        images: (B, H, W, C), as the model takes them.
        layer: a layer of the model or its name, with an output A of shape (B, h, w, c). By default the last
            such layer before the output: the last cell.
        class_index: None for the predicted class of each image, a class, or one an image.

    Returns:
        Array (B, h, w), float32, each map divided by its largest value: from 0 to 1, all 0 where nothing
        speaks for the class.

    Raises:
        ValueError: no such layer, an output of another shape, or a class out of range.

    Example:
        >>> images = keras.Input((8, 8, 1))
        >>> features = keras.layers.Conv2D(4, 3)(images)
        >>> model = keras.Model(images, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(features)))
        >>> kp.analysis.grad_cam(model, np.ones((1, 8, 8, 1), "float32"), class_index=1).shape
        (1, 6, 6)
    """
    features, gradients = _features_and_gradients(tapped(model, layer), images, class_index)
    weights = ops.mean(gradients, axis=(1, 2), keepdims=True)
    maps = ops.convert_to_numpy(ops.relu(ops.sum(weights * features, axis=-1)))
    largest = maps.max(axis=(1, 2), keepdims=True)
    return np.divide(maps, largest, out=np.zeros_like(maps), where=largest > 0)


def tapped(model, layer=None):
    """A model of the same layers that gives the output (B, h, w, c) of one of them, and the logits.

    Args:
        model: a functional or sequential model.
        layer: a layer or its name; None: the last one with such an output on the way to the logits.

    Raises:
        ValueError: there is none.
    """
    trunk, maps = keras.Model(model.inputs, _logits(model)), {}

    def call(each, *args, **kwargs):
        output = each(*args, **kwargs)
        if hasattr(output, "shape") and len(output.shape) == 4:
            maps[each.name] = output
        return output

    # In a graph of its own: layers may be part of several, as after `network.inference_model`.
    again = keras.models.clone_model(trunk, clone_function=lambda each: each, call_function=call)
    name = next(reversed(maps), None) if layer is None else getattr(layer, "name", layer)
    if name not in maps:
        known = ", ".join(maps) or "none"
        raise ValueError(f"No layer {name!r} with an output (B, h, w, c). Layers with one: {known}")
    return keras.Model(again.inputs, [maps[name], again.outputs[0]])


def _logits(model):
    """The output named logits, beside an auxiliary head's, or the first."""
    return model.output["logits"] if isinstance(model.output, dict) else model.outputs[0]


def _features_and_gradients(tapped, images, class_index):
    """The layer's output and the gradient of the class's logit by it, in float32."""
    import tensorflow as tf  # Keras has no call for gradients.

    images = ops.convert_to_tensor(images, dtype=tapped.inputs[0].dtype)
    with tf.GradientTape() as tape:
        tape.watch(images)
        features, logits = tapped(images, training=False)
        logits = ops.cast(logits, "float32")
        classes = _classes(class_index, logits)
        score = ops.sum(logits * ops.one_hot(classes, logits.shape[-1], dtype="float32"))
    gradients = tape.gradient(score, features, unconnected_gradients="zero")
    return ops.cast(features, "float32"), ops.cast(gradients, "float32")


def _classes(class_index, logits):
    """One class an image."""
    count, known = logits.shape
    if class_index is None:
        return ops.argmax(logits, axis=-1)
    classes = np.broadcast_to(np.asarray(class_index), (count,)) if np.ndim(class_index) == 0 else class_index
    classes = np.asarray(classes)
    if classes.shape != (count,) or classes.min() < 0 or classes.max() >= known:
        raise ValueError(f"Classes are 0 to {known - 1}, one or {count} of them. Received: class_index={class_index}")
    return classes


def upsample(images: np.ndarray, side: int | tuple[int, int] = 224) -> np.ndarray:
    """Bilinear enlargement for display.

    Args:
        images: (B, h, w) heat maps or (B, h, w, c) images.
        side: of the result, in pixels, or (height, width).

    Returns:
        Array (B, height, width) or (B, height, width, c), float32.

    Example:
        >>> kp.analysis.upsample(np.ones((1, 4, 4), "float32"), side=8).shape
        (1, 8, 8)
    """
    height, width = (side, side) if isinstance(side, int) else side
    images = np.asarray(images, "float32")
    channels = images if images.ndim == 4 else images[..., None]
    large = ops.image.resize(channels, (height, width), interpolation="bilinear", data_format="channels_last")
    large = ops.convert_to_numpy(large)
    return large if images.ndim == 4 else large[..., 0]


def gradcam_figure(
    models: Mapping[str, keras.Model],
    images: np.ndarray | Mapping[str, np.ndarray],
    path: str | Path,
    labels: Sequence[str] | None = None,
    pictures: np.ndarray | None = None,
    class_index: int | Sequence[int] | None = None,
    layer: keras.layers.Layer | str | None = None,
) -> Path:
    """Draws heat maps over images: images down, networks across, upsampled to at most 224 (PIBConv paper, Fig. 5).

    Args:
        models: {name: keras.Model}.
        images: (B, H, W, C), as all models take them; or {name: such images} where they differ.
        path: where to write the picture.
        labels: one name an image.
        pictures: the images as they should be seen, (B, H, W, C); by default those of the first model. Each is
            stretched to the full range; of other channels than one or three the first three are shown, or the first.
        class_index, layer: as in `grad_cam`.

    Returns:
        The path.

    Raises:
        ValueError: as `grad_cam`, or labels or pictures are not as many as the images.

    Example:
        >>> images = keras.Input((8, 8, 1))
        >>> features = keras.layers.Conv2D(4, 3)(images)
        >>> model = keras.Model(images, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(features)))
        >>> kp.analysis.gradcam_figure({"small": model}, np.ones((1, 8, 8, 1), "float32"), "gradcam.png").name
        'gradcam.png'
    """
    images = images if isinstance(images, dict) else dict.fromkeys(models, images)
    first = next(iter(images.values()))
    pictures_of = first if pictures is None else pictures
    size = tuple(round(224 * pixels / max(pictures_of.shape[1:3])) for pixels in pictures_of.shape[1:3])
    maps = {name: upsample(grad_cam(model, images[name], layer, class_index), size) for name, model in models.items()}
    shown = upsample(pictures_of, size)
    for name, values in (("labels", labels), ("pictures", pictures)):
        if values is not None and len(values) != len(first):
            raise ValueError(f"{len(first)} images need as many {name}. Received: {len(values)}")
    rows, columns = len(first), 1 + len(models)
    height, width = (1.7 * pixels / 224 for pixels in size)
    figure, axes = style.new_figure(0.3 + width * columns, 0.35 + height * rows, rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
        ax.spines[:].set_visible(False)
    for row, picture in enumerate(_visible(shown)):
        axes[row, 0].imshow(picture)
        axes[row, 0].set_ylabel("" if labels is None else labels[row], fontsize=10, color=style.INK)
        for ax, name in zip(axes[row, 1:], maps, strict=True):
            ax.imshow(picture)
            ax.imshow(maps[name][row], cmap="jet", alpha=0.45, vmin=0, vmax=1)
    for ax, name in zip(axes[0], ("input", *models), strict=True):
        ax.set_title(name, fontsize=10, color=style.INK)
    return style.save(figure, path)


def _visible(images):
    """Images (B, H, W, C) as (B, H, W, 3) from 0 to 1, each stretched to the full range; see `gradcam_figure`."""
    images = images[..., :3] if images.shape[-1] >= 3 else images[..., :1]
    low, high = images.min(axis=(1, 2, 3), keepdims=True), images.max(axis=(1, 2, 3), keepdims=True)
    images = (images - low) / np.maximum(high - low, 1e-6)
    return np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images
