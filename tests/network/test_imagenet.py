"""DARTS's network for ImageNet: 14 cells of 48 channels, 224 x 224 pixels, 1000 classes."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_pibnas as kp

GOLDEN = Path(__file__).parent.parent / "golden" / "genotypes_published.json"
COUNTED = {name: entry["counted"] for name, entry in json.loads(GOLDEN.read_text()).items() if "counted" in entry}
SIZE = {"input_shape": (224, 224, 3), "num_classes": 1000, "channels": 48, "layers": 14, "stem": "imagenet"}


@pytest.mark.parametrize("name", sorted(set(COUNTED) - {"NASNet"}) + ["NASNET"])
def test_counts_of_other_projects(name, shapes_alone):
    counted = kp.analysis.complexity(kp.build_network(name, **SIZE))
    want = COUNTED["NASNet" if name == "NASNET" else name]["imagenet_48x14"]
    assert {"params": counted.params, "macs": counted.macs} == want


@pytest.mark.parametrize(
    ("name", "params", "macs"), [("DARTS_V2", 4718752, 544589032), ("PC_DARTS_image", 5342464, 597207976)]
)
def test_published_figures(name, params, macs, shapes_alone):
    """544.59 M is what a user measured of the published code, 597 M what PC-DARTS prints."""
    counted = kp.analysis.complexity(kp.build_network(name, **SIZE))
    assert (counted.params, counted.ptflops_macs) == (params, macs)


def small(side=64, auxiliary=True, **kwargs):
    shape = (*((side, side) if isinstance(side, int) else side), 3)
    return kp.build_network("DARTS_V2", shape, 5, 4, 6, "imagenet", auxiliary, **kwargs)


def test_the_auxiliary_head_adds_its_parameters(shapes_alone):
    """1x1 from C to 128, BN, 2x2 to 768, linear; no second BN. C: 4 states of 4 * 4 channels."""
    counts = [kp.analysis.complexity(small(auxiliary=auxiliary)) for auxiliary in (True, False)]
    assert counts[0].params - counts[1].params == 64 * 128 + 2 * 128 + 4 * 128 * 768 + 768 * 5 + 5
    # 2x2 pixels reach it at a side of 64; they are pooled 1x1 into 2x2, and the 2x2 convolution gives one.
    assert counts[0].macs - counts[1].macs == 4 * 64 * 128 + 4 * 128 * 768 + 768 * 5
    assert counts[0].extra - counts[1].extra == 2 * 4 * 64 + 3 * 4 * 128 + 768 + 5


@pytest.mark.parametrize("side", (64, 65, 97, 224, (64, 130)))
def test_any_side_from_64(side, tmp_path):
    model = small(side, drop_path=0.1)
    x = np.random.default_rng(0).normal(size=(2, *model.input.shape[1:])).astype("float32")
    outputs = model(x)
    assert {name: value.shape for name, value in outputs.items()} == {"logits": (2, 5), "auxiliary": (2, 5)}
    height, width = (-(-n // 4) for n in x.shape[1:3])
    assert model.get_layer("stem_0").output.shape == (None, height, width, 4)
    assert model.get_layer("cell_0").output.shape == (None, -(-height // 2), -(-width // 2), 16)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(x)["auxiliary"], outputs["auxiliary"])


@pytest.mark.parametrize("side", (63, (64, 32)))
def test_smaller_sides(side):
    with pytest.raises(ValueError, match="imagenet stem needs a side of at least 64 pixels"):
        small(side)


def test_stems_are_their_convolutions():
    """Against Keras's own layers, at the moving statistics: stem1(stem0(x))."""
    first, second = kp.layers.ImageNetStem(4), kp.layers.StemReduction(4)
    x = np.random.default_rng(0).normal(size=(2, 9, 12, 3)).astype("float32")
    got = [first(x), second(first(x))]

    def conv(x, kernel):
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        y = keras.ops.conv(padded, kernel, 2, "valid", data_format="channels_last")
        return np.asarray(y) / np.float32(np.sqrt(1 + 1e-5))  # BN of mean 0 and variance 1

    y = conv(np.maximum(conv(x, first.kernel_1), 0), first.kernel_2)
    np.testing.assert_allclose(got[0], y, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(got[1], conv(np.maximum(y, 0), second.kernel_1), rtol=1e-4, atol=1e-5)
