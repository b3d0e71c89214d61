"""Grad-CAM (Selvaraju et al., ICCV 2017): where in an image a network sees a class."""

import keras
import numpy as np
from keras import ops

from keras_pibnas.analysis import style


def grad_cam(model, images, layer=None, class_index=None):
    """Heat maps of a class: ReLU(sum over channels c of a_c A_c), a_c the mean gradient of the logit by A_c.

    Args:
        model: a functional keras.Model; of several outputs the first is taken. Logits, not probabilities,
            should come out: a softmax would mix the other classes in.
        images: (B, H, W, C), as the model takes them.
        layer: a layer of the model or its name, with an output A of shape (B, h, w, c). By default the last
            such layer before the output: the last cell.
        class_index: None for the predicted class of each image, a class, or one an image.

    Returns:
        Array (B, h, w), float32, each map divided by its largest value: from 0 to 1, all 0 where nothing
        speaks for the class.

    Raises:
        ValueError: no such layer, an output of another shape, or a class out of range.
    """
    layer = find_layer(model, layer)
    features, gradients = _features_and_gradients(model, layer, images, class_index)
    weights = ops.mean(gradients, axis=(1, 2), keepdims=True)
    maps = ops.convert_to_numpy(ops.relu(ops.sum(weights * features, axis=-1)))
    largest = maps.max(axis=(1, 2), keepdims=True)
    return np.divide(maps, largest, out=np.zeros_like(maps), where=largest > 0)


def find_layer(model, layer=None):
    """The layer of that name, or the last one with an output (B, h, w, c) on the way to the first output.

    Raises:
        ValueError: there is none.
    """
    trunk = keras.Model(model.inputs, model.outputs[0])
    candidates = [
        each for each in trunk.layers if _is_map(each) and not isinstance(each, keras.layers.InputLayer)
    ]
    if layer is None and candidates:
        return candidates[-1]
    for each in candidates:
        if each is layer or each.name == layer:
            return each
    known = ", ".join(each.name for each in candidates) or "none"
    name = getattr(layer, "name", layer)
    raise ValueError(f"No layer {name!r} with an output (B, h, w, c). Layers with one: {known}")


def _is_map(layer):
    output = layer.output
    return hasattr(output, "shape") and len(output.shape) == 4


def _features_and_gradients(model, layer, images, class_index):
    """The layer's output and the gradient of the class's logit by it, in float32."""
    import tensorflow as tf  # Keras has no call for gradients.

    tapped = keras.Model(model.inputs, [layer.output, model.outputs[0]])
    images = ops.convert_to_tensor(images, dtype=model.inputs[0].dtype)
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
        raise ValueError(
            f"Classes are 0 to {known - 1}, one or {count} of them. Received: class_index={class_index}"
        )
    return classes


def upsample(images, side=224):
    """Bilinear enlargement for display.

    Args:
        images: (B, h, w) heat maps or (B, h, w, c) images.
        side: of the result, in pixels.

    Returns:
        Array (B, side, side) or (B, side, side, c), float32.
    """
    images = np.asarray(images, "float32")
    channels = images if images.ndim == 4 else images[..., None]
    large = ops.image.resize(channels, (side, side), interpolation="bilinear", data_format="channels_last")
    large = ops.convert_to_numpy(large)
    return large if images.ndim == 4 else large[..., 0]


def gradcam_figure(models, images, path, labels=None, pictures=None, class_index=None, layer=None):
    """Draws heat maps over images: images down, networks across, upsampled to 224 (PIBConv paper, Fig. 5).

    Args:
        models: {name: keras.Model}, which all take `images`.
        images: (B, H, W, C), as the models take them.
        path: where to write the picture.
        labels: one name an image.
        pictures: the images as they should be seen, (B, H, W, 1 or 3); by default `images`. Each is stretched
            to the full range.
        class_index, layer: as in `grad_cam`.

    Returns:
        The path.

    Raises:
        ValueError: as `grad_cam`, or labels or pictures are not as many as the images.
    """
    maps = {name: upsample(grad_cam(model, images, layer, class_index)) for name, model in models.items()}
    shown = upsample(images if pictures is None else pictures)
    for name, values in (("labels", labels), ("pictures", pictures)):
        if values is not None and len(values) != len(images):
            raise ValueError(f"{len(images)} images need as many {name}. Received: {len(values)}")
    rows, columns = len(images), 1 + len(models)
    figure, axes = style.new_figure(0.3 + 1.7 * columns, 0.35 + 1.7 * rows, rows, columns, squeeze=False)
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
    """Images of 1 or 3 channels as (B, side, side, 3) from 0 to 1, each stretched to the full range."""
    low, high = images.min(axis=(1, 2, 3), keepdims=True), images.max(axis=(1, 2, 3), keepdims=True)
    images = (images - low) / np.maximum(high - low, 1e-6)
    return np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images
