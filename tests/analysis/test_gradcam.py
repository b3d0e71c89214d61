import keras
import numpy as np
import pytest

import keras_pibnas as kp
from keras_pibnas.analysis import grad_cam, gradcam_figure, upsample
from keras_pibnas.analysis.gradcam import tapped

# One image of 2x2 pixels, one channel.
IMAGE = np.array([[1.0, 2.0], [3.0, 4.0]], "float32")[None, :, :, None]


@pytest.fixture
def model():
    """A 1x1 convolution to the channels x and 4 - x, their means m and n, the logits 3 m - n and 2 n - m."""
    inputs = keras.Input((2, 2, 1))
    conv = keras.layers.Conv2D(2, 1, name="conv")
    pool = keras.layers.GlobalAveragePooling2D()
    dense = keras.layers.Dense(2, name="logits")
    model = keras.Model(inputs, dense(pool(conv(inputs))))
    conv.set_weights([np.array([[[[1.0, -1.0]]]]), np.array([0.0, 4.0])])
    dense.set_weights([np.array([[3.0, -1.0], [-1.0, 2.0]]), np.zeros(2)])
    return model


def test_a_case_worked_by_hand(model):
    # A_0 = [1 2; 3 4], A_1 = [3 2; 1 0], means 2.5 and 1.5: logits 6 and 0.5, so class 0 is predicted.
    # Each pixel of A_c moves its mean by 1/4: a_0 = 3/4, a_1 = -1/4 for class 0.
    # Sum: [3/4 - 3/4, 6/4 - 2/4; 9/4 - 1/4, 3 - 0] = [0 1; 2 3], over its largest value 3.
    heat = grad_cam(model, IMAGE)
    assert heat.dtype == np.float32
    np.testing.assert_allclose(heat, [[[0, 1 / 3], [2 / 3, 1]]], atol=1e-6)


def test_another_class_and_the_relu(model):
    # Class 1: a_0 = -1/4, a_1 = 2/4. Sum: [-1/4 + 6/4, -2/4 + 4/4; -3/4 + 2/4, -1] = [5/4 1/2; -1/4 -1].
    heat = grad_cam(model, IMAGE, class_index=1)
    np.testing.assert_allclose(heat, [[[1, 0.4], [0, 0]]], atol=1e-6)


def test_a_class_an_image(model):
    heat = grad_cam(model, np.concatenate([IMAGE, IMAGE]), class_index=[1, 0])
    np.testing.assert_allclose(heat, [[[1, 0.4], [0, 0]], [[0, 1 / 3], [2 / 3, 1]]], atol=1e-6)


def test_nothing_for_the_class_is_all_zero(model):
    model.get_layer("logits").set_weights([np.array([[-1.0, 0.0], [-1.0, 0.0]]), np.zeros(2)])
    assert not grad_cam(model, IMAGE, class_index=0).any()


def test_it_changes_nothing(model):
    before = model.get_weights()
    grad_cam(model, IMAGE)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("auxiliary", [False, True])
def test_networks_of_ours_show_their_last_cell(auxiliary):
    side = 32 if auxiliary else 8
    network = kp.build_network("PIBCONV", (side, side, 3), 4, channels=4, layers=3, auxiliary=auxiliary)
    assert tapped(network).outputs[0].shape[1:] == (side // 4, side // 4, 64)
    images = np.random.default_rng(0).normal(size=(2, side, side, 3)).astype("float32")
    heat = grad_cam(network, images)
    np.testing.assert_array_equal(heat, grad_cam(network, images, layer=network.get_layer("cell_2")))
    np.testing.assert_array_equal(heat, grad_cam(kp.network.inference_model(network), images))
    assert heat.shape == (2, side // 4, side // 4) and heat.min() >= 0 and heat.max() <= 1
    early = grad_cam(network, images, layer="cell_0")
    assert early.shape == (2, side, side) and early.max() == 1


@pytest.mark.parametrize("auxiliary", [False, True])
def test_at_the_last_cell_it_is_the_class_activation_map(auxiliary):
    # After it come the mean over pixels and a linear layer with the kernel K: the gradient of logit k by channel c of
    # each of n pixels is K[c, k] / n, and the map ReLU(sum_c K[c, k] A_c) but for its scale (Selvaraju, section 3).
    side = 32 if auxiliary else 8
    network = kp.build_network("DARTS_V2", (side, side, 1), 3, channels=2, layers=4, auxiliary=auxiliary)
    images = np.random.default_rng(1).normal(size=(2, side, side, 1)).astype("float32")
    cell = keras.Model(network.inputs, network.get_layer("cell_3").output)
    kernel = network.get_layer("logits").get_weights()[0]
    by_hand = np.maximum(cell.predict(images, verbose=0) @ kernel[:, 2], 0)
    by_hand /= np.maximum(by_hand.max((1, 2), keepdims=True), 1e-12)
    np.testing.assert_allclose(grad_cam(network, images, class_index=2), by_hand, atol=1e-5)


def test_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        network = kp.build_network("DARTS_V2", (8, 8, 1), 2, channels=4, layers=2)
    finally:
        keras.config.set_dtype_policy("float32")
    heat = grad_cam(network, np.random.default_rng(0).normal(size=(1, 8, 8, 1)))
    assert heat.dtype == np.float32 and np.isfinite(heat).all()


def test_upsample():
    large = upsample(np.array([[[0.0, 1.0]]]), side=4)
    # Pixel centres at 1/8, 3/8, 5/8, 7/8 of the width; those of the source at 1/4 and 3/4.
    np.testing.assert_allclose(large, np.broadcast_to([0, 0.25, 0.75, 1], (1, 4, 4)), atol=1e-6)
    assert upsample(np.zeros((2, 3, 3))).shape == (2, 224, 224)
    assert upsample(np.zeros((2, 3, 3, 3)), 8).shape == (2, 8, 8, 3)


def test_figure_images_down_networks_across(model, tmp_path, drawn):
    images = np.concatenate([IMAGE, 5 - IMAGE, IMAGE])
    path = gradcam_figure({"one": model, "two": model}, images, tmp_path / "g.png", labels=["x", "y", "z"])
    assert path.is_file()
    axes = np.array(drawn[0].axes).reshape(3, 3)
    assert [ax.get_title() for ax in axes[0]] == ["input", "one", "two"]
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["x", "y", "z"]
    assert [len(ax.images) for ax in axes[0]] == [1, 2, 2]
    picture, heat = (image.get_array() for image in axes[1, 2].images)
    assert picture.shape == (224, 224, 3) and heat.shape == (224, 224)
    np.testing.assert_allclose(heat, upsample(grad_cam(model, images))[1])


def test_the_figure_shows_the_pictures_it_is_given(model, tmp_path, drawn):
    seen = np.zeros((1, 2, 2, 3))
    seen[0, 0, 0] = [255, 0, 0]
    gradcam_figure({"one": model}, IMAGE, tmp_path / "g.png", pictures=seen)
    corner = drawn[0].axes[0].images[0].get_array()[0, 0]
    np.testing.assert_allclose(corner, [1, 0, 0])


def test_models_of_different_sides_get_their_own_images(model, tmp_path, drawn):
    inputs = keras.Input((4, 4, 1))
    outputs = keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(2, 1)(inputs)))
    other, large = keras.Model(inputs, outputs), upsample(IMAGE, 4)
    gradcam_figure(
        {"small": model, "large": other}, {"small": IMAGE, "large": large}, tmp_path / "g.png", class_index=0
    )
    heats = [ax.images[1].get_array() for ax in drawn[0].axes[1:]]
    np.testing.assert_allclose(heats[0], upsample(grad_cam(model, IMAGE, class_index=0))[0])
    np.testing.assert_allclose(heats[1], upsample(grad_cam(other, large, class_index=0))[0])


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"layer": "nope"}, "No layer 'nope' .* Layers with one: conv"),
        ({"layer": "logits"}, "No layer 'logits' with an output"),
        ({"class_index": 2}, "Classes are 0 to 1, .*class_index=2"),
        ({"class_index": -1}, "class_index=-1"),
        ({"class_index": [0, 1]}, r"class_index=\[0, 1\]"),
    ],
)
def test_errors(arguments, words, model):
    with pytest.raises(ValueError, match=words):
        grad_cam(model, IMAGE, **arguments)


@pytest.mark.parametrize("name", ["labels", "pictures"])
def test_the_figure_counts(name, model, tmp_path):
    with pytest.raises(ValueError, match=f"1 images need as many {name}. Received: 2"):
        gradcam_figure({"a": model}, IMAGE, tmp_path / "g.png", **{name: np.zeros((2, 2, 2, 1))})
