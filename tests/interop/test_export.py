"""A trained network in every format: as its runtime gives it, and where nothing else can be imported."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import keras_pibnas as kp
from keras_pibnas.interop import export_runtimes

pytestmark = pytest.mark.slow

GENOTYPE = kp.Genotype(
    (("pib_conv_3x3", 0), ("sep_conv_3x3", 1)), (("max_pool_3x3", 0), ("skip_connect", 1)), (2,), (2,)
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A network trained on digits, its file in every format, its logits on the test images."""
    keras.utils.set_random_seed(0)
    data, folder = kp.data.load("digits", 8), tmp_path_factory.mktemp("exports")
    model = kp.build_network(GENOTYPE, data.input_shape, channels=8, layers=3)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(kp.optimizers.SGD(0.05), loss, metrics=["accuracy"])
    model.fit(data.batches("train", 64), epochs=6, shuffle=False, verbose=0)
    model.normalization = (data.mean, data.std)
    model.save(folder / "model.keras")
    images, labels = data.arrays["test"]
    train = data.arrays["train"][0][::10]
    files = {name: kp.interop.export(model, folder / name, name, representative=train) for name in kp.interop.FORMATS}
    reference = kp.interop.reference_logits(model, images)
    return SimpleNamespace(
        model=model, folder=folder, files=files, images=images, labels=labels, reference=reference, data=data
    )


@pytest.fixture(scope="module")
def rows(digits):
    """What each file gives beside the Keras model."""
    return {
        name: kp.interop.compare_export(path, name, digits.images, digits.reference, digits.labels, repeats=20)
        for name, path in digits.files.items()
    }


def test_the_reference_is_what_evaluation_sees(digits):
    normalized = np.stack([image for image, _ in digits.data.test])
    np.testing.assert_allclose(digits.reference, digits.model.predict(normalized, verbose=0), atol=1e-4)
    assert np.mean(digits.reference.argmax(-1) == digits.labels) > 0.9


@pytest.mark.parametrize("name", ["saved_model", "litert", "onnx"])
def test_float32_files_agree_within_1e_4(rows, name):
    assert 0 < rows[name]["max_difference"] < 1e-4
    assert rows[name]["mean_difference"] <= rows[name]["max_difference"]
    assert rows[name]["agreement"] == 1


def test_float16_weights_agree_to_their_eleven_bits(rows, digits):
    assert rows["litert_float16"]["max_difference"] < 2**-10 * np.abs(digits.reference).max()
    assert rows["litert_float16"]["bytes"] < rows["litert"]["bytes"]


@pytest.mark.parametrize("name", ["litert_dynamic", "litert_int8"])
def test_int8_loses_at_most_a_point_of_accuracy(rows, digits, name):
    accuracy = np.mean(digits.reference.argmax(-1) == digits.labels)
    assert rows[name]["accuracy"] >= accuracy - 0.01
    assert rows[name]["bytes"] < rows["litert"]["bytes"]


def test_a_row_says_what_was_measured(rows, digits):
    for name, row in rows.items():
        low, high = row["latency_quartiles_ms"]
        assert row["format"] == name and row["images"] == len(digits.images)
        assert 0 < low <= row["latency_ms"] <= high
        files = [path for path in [digits.files[name], *digits.files[name].rglob("*")] if path.is_file()]
        assert row["bytes"] == sum(path.stat().st_size for path in files)


def test_all_integers_take_raw_pixels(digits):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(digits.files["litert_int8"]))
    (given,), (found,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert given["dtype"] == np.uint8 and given["quantization"] == (1.0, 0)
    assert found["dtype"] == np.int8 and found["quantization"][0] > 0


def test_export_leaves_the_model_as_it_was(digits):
    np.testing.assert_array_equal(kp.interop.reference_logits(digits.model, digits.images), digits.reference)
    counted = kp.analysis.complexity(digits.model).params
    assert counted == sum(int(np.prod(weight.shape)) for weight in digits.model.trainable_weights)


BLOCKED = """
import runpy, sys
class Block:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Block)
for name in {blocked}:
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    sys.exit(name + " can be imported")
sys.argv = {argv}
runpy.run_path(sys.argv[0], run_name="__main__")
"""
OURS = {"keras_pibnas", "apps"}
ALONE = {
    "saved_model": (OURS, "tensorflow"),
    "litert": (OURS | {"tensorflow", "keras", "onnxruntime"}, "ai_edge_litert"),
    "litert_int8": (OURS | {"tensorflow", "keras", "onnxruntime"}, "ai_edge_litert"),
    "onnx": (OURS | {"tensorflow", "keras", "ai_edge_litert", "onnx", "tf2onnx"}, "onnxruntime"),
}


@pytest.mark.parametrize("name", ALONE)
def test_a_file_runs_where_only_its_runtime_can_be_imported(digits, name, tmp_path):
    blocked, runtime = ALONE[name]
    np.save(tmp_path / "images.npy", digits.images[:50])
    argv = [export_runtimes.__file__, name, digits.files[name], tmp_path / "images.npy", tmp_path / "result.npz", 1]
    code = BLOCKED.format(blocked=blocked, argv=[str(word) for word in argv])
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "result.npz") as result:
        modules, logits = set(result["modules"]), result["logits"]
    assert runtime in modules and not modules & blocked
    if name == "litert_int8":
        assert np.mean(logits.argmax(-1) == digits.reference[:50].argmax(-1)) >= 0.96
    else:
        np.testing.assert_allclose(logits, digits.reference[:50], atol=1e-4)


def test_a_keras_file_loads_where_only_the_package_was_imported(digits, tmp_path):
    np.save(tmp_path / "images.npy", digits.images[:50])
    code = (
        "import keras_pibnas, sys, numpy; from keras.saving import load_model; model = load_model(sys.argv[1]);"
        "images = numpy.load('images.npy') / 255; mean, std = model.normalization;"
        "numpy.save('logits.npy', model.predict((images - mean) / std, verbose=0))"
    )
    code = f"import sys; sys.path.insert(0, {str(Path(kp.__file__).parents[1])!r}); {code}"
    argv = [sys.executable, "-I", "-c", code, digits.folder / "model.keras"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), digits.reference[:50], atol=1e-4)


def test_a_file_that_its_runtime_cannot_read(tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(ValueError, match=r"broken\.onnx does not run as onnx"):
        kp.interop.compare_export(tmp_path / "broken.onnx", "onnx", np.zeros((1, 8, 8, 1), "uint8"), np.zeros((1, 10)))
