"""Every registered op exports; what cannot is named; wrong arguments are refused."""

import keras
import numpy as np
import pytest

import keras_pibnas as kp
from keras_pibnas.interop import export_runtimes

CHANNELS, SIDE = 4, 8
UNIT = ((0.0,) * CHANNELS, (1.0,) * CHANNELS)


def model_of(ops, images):
    """A model whose outputs are those of all these (op, strides), side by side, and which output is whose.

    Each is scaled to a deviation of 1 on the images: LiteRT does not join integers of very different scales.
    """
    given = keras.Input((SIDE, SIDE, CHANNELS))
    layers = {(name, s): kp.spaces.build_op(name, CHANNELS, s, name=f"{name}_{s}") for name, s in ops}
    flat = [keras.layers.Flatten()(layer(given)) for layer in layers.values()]
    raw = keras.Model(given, flat)
    random = np.random.default_rng(0)
    for weight in raw.weights:
        positive = any(word in weight.name for word in ("variance", "gamma", "beta"))  # no ReLU gives only zeros
        weight.assign(random.uniform(0.5, 1.0, weight.shape) if positive else random.normal(0, 0.3, weight.shape))
    deviations = [max(np.std(y), 1e-3) for y in raw.predict(images / 255, verbose=0)]
    scaled = [keras.layers.Rescaling(1 / float(std))(x) for x, std in zip(flat, deviations, strict=True)]
    ends = np.cumsum([x.shape[1] for x in flat])
    spans = [slice(*span) for span in zip([0, *ends], ends, strict=False)]
    return keras.Model(given, keras.layers.Concatenate()(scaled)), dict(zip(layers, spans, strict=True))


def largest_differences(ops, format, folder):
    """Of each (op, strides): the largest difference from Keras, where the op's outputs have a deviation of 1."""
    images = np.random.default_rng(0).integers(0, 256, (8, SIDE, SIDE, CHANNELS), "uint8")
    model, spans = model_of(ops, images)
    path = kp.interop.export(model, folder / "file", format, UNIT, images)
    logits = export_runtimes.RUNTIMES[format](path)(images)
    reference = kp.interop.reference_logits(model, images, UNIT)
    assert all(np.std(reference[:, span]) > 0.9 for (name, _), span in spans.items() if name != "none")
    return {op: np.abs(logits - reference)[:, span].max() for op, span in spans.items()}


NAMES = [name for name in kp.spaces.op_names() if name != "noise"]  # drawn anew in every call
HALVES = [NAMES[::2], NAMES[1::2]]


@pytest.mark.slow
@pytest.mark.parametrize("names", HALVES, ids=["first half", "second half"])
@pytest.mark.parametrize("format", ["litert", "onnx"])
def test_every_op_exports_where_it_halves_the_side(names, format, tmp_path):
    wrong = largest_differences([(name, 2) for name in names], format, tmp_path)
    assert max(wrong.values()) < 1e-4, wrong


@pytest.mark.slow
@pytest.mark.parametrize("names", HALVES, ids=["first half", "second half"])
def test_every_op_exports_in_integers(names, tmp_path):
    wrong = largest_differences([(name, 1) for name in names], "litert_int8", tmp_path)
    # Eight bits are too few for the variances of layer normalization, as the documentation of export says.
    precise = {op: difference for op, difference in wrong.items() if "layernorm" not in op[0]}
    assert max(precise.values()) < 0.5, precise


class Beta(keras.layers.Layer):
    """An op that neither LiteRT nor ONNX has."""

    def call(self, x):
        import tensorflow as tf

        return tf.math.betainc(tf.abs(x) + 1, tf.abs(x) + 1, tf.sigmoid(x))

    def compute_output_shape(self, input_shape):
        return input_shape


@pytest.fixture
def odd_model():
    images = keras.Input((4, 4, 1))
    return keras.Sequential([images, keras.layers.Flatten(), Beta(name="odd"), keras.layers.Dense(2)])


@pytest.mark.parametrize("format", ["litert", "litert_int8", "onnx"])
def test_an_op_that_cannot_be_exported_is_named_with_its_place(odd_model, format, tmp_path):
    images = np.zeros((2, 4, 4, 1), "uint8")
    with pytest.raises(ValueError, match=rf"{format} cannot express 1 layers.*: odd \(Beta\): it has no op Betainc$"):
        kp.interop.export(odd_model, tmp_path / "file", format, ((0.5,), (0.2,)), images)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def small():
    pairs = (("skip_connect", 0), ("avg_pool_3x3", 1))
    genotype = kp.Genotype(pairs, pairs, (2,), (2,))
    return genotype, kp.build_network(genotype, (8, 8, 3), 2, channels=2, layers=2)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"format": "tflite"}, r"Known: saved_model, litert, .*onnx.*Received: format='tflite'"),
        ({"normalization": None}, r"carries no normalization.*Received: normalization=None"),
        ({"normalization": ((0.5,), (0.2,))}, r"each 3 numbers.*Received: \(\(0.5,\), \(0.2,\)\)"),
        ({"normalization": ((0.5,) * 3, (0.2, 0, 0.2))}, "std above 0"),
        ({"format": "litert_int8"}, r"\('N', 8, 8, 3\).*Received: None"),
        ({"format": "litert_int8", "representative": np.zeros((2, 8, 8, 3), "float32")}, r"Received: float32 \(2, 8"),
        ({"format": "litert_int8", "representative": np.zeros((2, 8, 8, 1), "uint8")}, r"Received: uint8 \(2, 8, 8, 1"),
    ],
)
def test_wrong_arguments(small, changes, words, tmp_path):
    arguments = {"format": "litert", "normalization": ((0.5,) * 3, (0.2,) * 3)} | changes
    with pytest.raises(ValueError, match=words):
        kp.interop.export(small[1], tmp_path / "file", **arguments)
    assert not list(tmp_path.iterdir())


def test_a_folder_is_not_written_over(small, tmp_path):
    with pytest.raises(ValueError, match="a folder already"):
        kp.interop.export(small[1], tmp_path, "saved_model", ((0.5,) * 3, (0.2,) * 3))


def test_an_auxiliary_head_is_taken_off_first(small, tmp_path):
    model = kp.build_network(small[0], (32, 32, 3), 2, channels=2, layers=2, auxiliary=True)
    with pytest.raises(ValueError, match="inference_model.*2 outputs"):
        kp.interop.export(model, tmp_path / "file", "litert", ((0.5,) * 3, (0.2,) * 3))


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"onnx needs tf2onnx, onnxruntime: pip install 'keras_pibnas\[export\]'"):
        kp.interop.check_format("onnx")


def test_the_normalization_is_saved_with_the_model_and_outlives_training(tmp_path):
    pairs = (("max_pool_3x3", 0), ("sep_conv_3x3", 1))
    model = kp.build_network(kp.Genotype(pairs, pairs, (2,), (2,)), (8, 8, 1), 2, 2, 2, drop_path=0.2)
    assert model.normalization is None
    model.normalization = ((0.25,), (0.5,))
    kp.network.inference_model(model).save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").normalization == ((0.25,), (0.5,))
