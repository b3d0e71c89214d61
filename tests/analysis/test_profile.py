import keras
import numpy as np
import pytest

import keras_pibnas as kp
from keras_pibnas.analysis import roofline
from keras_pibnas.analysis.profile import LayerProfile, Profile


@pytest.fixture(scope="module")
def model():
    images = keras.Input((8, 8, 4), name="images")
    x = kp.layers.ReLUConvBN(6, name="first")(images)
    y = kp.layers.SepConv(6, name="second")(x)
    x = keras.layers.Add(name="sum")([x, y])
    return keras.Model(images, keras.layers.Dense(3, name="logits")(keras.layers.GlobalAveragePooling2D()(x)))


def test_a_profile_by_hand(model):
    steps = []
    found = kp.analysis.profile(model, batch_size=2, repeats=3, progress=lambda *step: steps.append(step))
    counted = kp.analysis.complexity(model)
    assert (found.params, found.macs) == (counted.params, counted.macs)
    assert found.peak_memory == kp.analysis.peak_activation_memory(model)
    assert [layer.name for layer in found.layers][:3] == ["first", "second", "sum"]
    assert steps == [(number, 5) for number in range(1, 6)]
    first, logits = found.layers[0], found.layers[-1]
    # 1x1 from 4 to 6 channels, and a BN of 4 * 6 numbers; 64 pixels; float32.
    assert (first.kind, first.params, first.macs) == ("ReLUConvBN", 24 + 2 * 6, 64 * 24)
    assert first.traffic == 4 * (2 * 64 * (4 + 6) + 24 + 4 * 6)
    assert logits.traffic == 4 * (2 * (6 + 3) + 6 * 3 + 3)
    assert found.traffic == sum(layer.traffic for layer in found.layers)
    assert 0 < found.quartiles[0] <= found.seconds <= found.quartiles[1]
    assert all(layer.seconds >= 0 for layer in found.layers)


def test_a_layer_that_works_more_takes_longer():
    images = keras.Input((32, 32, 16))
    small = kp.layers.ReLUConvBN(4, name="small")(images)
    large = kp.layers.Conv7x1_1x7(16, name="large")(keras.layers.Concatenate()([images]))
    model = keras.Model(images, [small, large])
    seconds = {layer.name: layer.seconds for layer in kp.analysis.profile(model, 32, 5).layers}
    assert seconds["large"] > seconds["small"]  # 120 times as many MACs


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"repeats": 0}, {"repeats": 2.5}])
def test_wrong_numbers(model, wrong):
    (name, value) = next(iter(wrong.items()))
    with pytest.raises(ValueError, match=f"{name}={value}"):
        kp.analysis.profile(model, **wrong)


def made(name, layers):
    parts = [LayerProfile(f"{name}{i}", "Op", 1, *numbers) for i, numbers in enumerate(layers)]
    macs, traffic, seconds = (sum(column) for column in zip(*layers, strict=True))
    return Profile(name, 4, 1, macs, 1, traffic, seconds, (seconds, seconds), tuple(parts))


def test_the_roofline_by_hand(tmp_path, drawn):
    # (MACs an image, bytes, seconds): 4 images, so 8 operations a MAC.
    profiles = [made("A", [(1000, 4000, 1e-6), (500, 8000, 2e-6), (0, 10, 1e-6)]), made("B", [(10, 80, 1e-8)])]
    path = roofline.roofline_plot(profiles, (16e9, 8e9), tmp_path / "roofline.png")
    assert path.stat().st_size > 0
    ax = drawn[0].axes[0]
    layers, model, only, _ = (np.asarray(dots.get_offsets()) for dots in ax.collections)
    np.testing.assert_allclose(layers, [[8000 / 4000, 8.0], [4000 / 8000, 2.0]])  # the third multiplies nothing
    np.testing.assert_allclose(model, [[12000 / 12010, 12000 / 4e-6 / 1e9]])
    np.testing.assert_allclose(only, [[1.0, 8.0]])
    x, y = ax.lines[0].get_data()
    np.testing.assert_allclose(y, np.minimum(16, 8 * x))
    assert x[0] < 0.5 < 2 < x[-1]  # the ridge at 2 operations a byte is in the picture


def test_a_roofline_of_nothing(tmp_path):
    with pytest.raises(ValueError, match=r"nothing to draw.*\['A'\]"):
        roofline.roofline_plot([made("A", [(0, 10, 1e-6)])], (1e9, 1e9), tmp_path / "roofline.png")


def test_the_machine_has_roofs():
    flops, bandwidth = roofline.machine_roofs(repeats=2, side=256, megabytes=8)
    assert flops > 1e8 and bandwidth > 1e8
