"""The discrete network: the published counts and outputs, and what Keras models can do."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_pibnas as kp
from keras_pibnas.layers import AuxiliaryHead, DropPath
from keras_pibnas.network.build import inference_model

ARRAYS = np.load(Path(__file__).parent.parent / "golden" / "net_darts_v2_C4_L3.npz")
IMAGES = ARRAYS["x_nchw"].transpose(0, 2, 3, 1)
STATE = {key.removeprefix("sd/"): ARRAYS[key] for key in ARRAYS.files if key.startswith("sd/")}


SMALLEST = {"space": "darts", "input_shape": (8, 8, 3), "num_classes": 3, "channels": 2, "layers": 2, "nodes": 1}


def parameters(model):
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


def small(**kwargs):
    return kp.build_network("DARTS_V2", **{"input_shape": (8, 8, 3), "channels": 4, "layers": 3} | kwargs)


@pytest.fixture(scope="module")
def loaded():
    model = kp.build_network("DARTS_V2", channels=4, layers=3)
    kp.interop.load_torch_weights(model, STATE)
    return model


@pytest.mark.parametrize(
    ("genotype", "layers", "count"),
    (
        ("DARTS_V2", 20, 3349342),
        ("DARTS_V2", 7, 1047430),
        ("DARTS_V2", 2, 82342),
        ("PIBCONV", 20, 6006790),
        ("PIBCONV", 7, 2050534),
        ("PIBCONV", 2, 376534),
    ),
)
def test_published_parameter_counts(genotype, layers, count, shapes_alone):
    assert parameters(kp.build_network(genotype, channels=36, layers=layers)) == count


def test_auxiliary_head_adds_its_parameters(shapes_alone):
    assert parameters(kp.build_network("DARTS_V2", channels=36, layers=3, auxiliary=True)) == 116650 + 476426


def test_reference_logits_and_features(loaded):
    np.testing.assert_allclose(loaded(IMAGES), ARRAYS["eval_logits"], atol=1e-4)
    for name, key in (("stem", "eval_stem"), *((f"cell_{i}", f"eval_cell{i}") for i in range(3))):
        features = keras.Model(loaded.input, loaded.get_layer(name).output)(IMAGES[:1])
        np.testing.assert_allclose(features, ARRAYS[f"{key}_nchw"].transpose(0, 2, 3, 1), atol=1e-4)


def test_reference_training_step(loaded):
    """Logits, loss, moving statistics and every kind of gradient with batch statistics."""
    with tf.GradientTape() as tape:
        logits = loaded(IMAGES, training=True)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(ARRAYS["y"], logits)
    gradients = tape.gradient(loss, loaded.trainable_variables)
    np.testing.assert_allclose(logits, ARRAYS["train_logits"], atol=1e-4)
    np.testing.assert_allclose(loss, ARRAYS["train_loss"], rtol=1e-5)
    by_path = dict(zip((variable.path for variable in loaded.trainable_variables), gradients, strict=True))
    for path, name, axes in (
        ("stem/kernel", "stem.0.weight", (2, 3, 1, 0)),
        ("cell_0_op_0_sep_conv_3x3/depthwise_1", "cells.0._ops.0.op.1.weight", (2, 3, 0, 1)),
        ("cell_0_op_0_sep_conv_3x3/pointwise_2", "cells.0._ops.0.op.6.weight", (2, 3, 1, 0)),
        ("logits/kernel", "classifier.weight", (1, 0)),
    ):
        want = ARRAYS[f"train_grad/{name}"].transpose(axes)
        assert np.linalg.norm(by_path[path] - want) < 1e-3 * np.linalg.norm(want), path
    norm = loaded.get_layer("stem").norm
    np.testing.assert_allclose(norm.moving_mean, ARRAYS["train_after/stem.1.running_mean"], atol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, ARRAYS["train_after/stem.1.running_var"], rtol=1e-4)
    kp.interop.load_torch_weights(loaded, STATE)


def test_summary(loaded):
    lines = []
    loaded.summary(print_fn=lambda line, **_: lines.append(line))
    text = "\n".join(lines)
    assert "cell_0_op_0_sep_c" in text and f"{parameters(loaded):,}" in text


LOAD = """
import sys, numpy as np, keras, keras_pibnas
model = keras.saving.load_model(sys.argv[1])
assert not model.jit_compile
np.save(sys.argv[3], model(np.load(sys.argv[2])))
"""


def test_another_process_loads_it(tmp_path, loaded):
    """Without custom_objects; the logits are the same to the last bit."""
    loaded.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", IMAGES)
    command = [sys.executable, "-c", LOAD, *(tmp_path / name for name in ("model.keras", "x.npy", "y.npy"))]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), loaded(IMAGES))


@pytest.mark.parametrize("stem", ("conv3x3", "patchify"))
def test_training_model_and_its_inference_model(stem, tmp_path):
    side = 32 if stem == "conv3x3" else 128  # the head needs 8 pixels after two reductions
    model = kp.build_network(
        "PIBCONV", (side, side, 1), 5, channels=4, layers=3, stem=stem, auxiliary=True, drop_path=0.2
    )
    x = np.random.default_rng(0).normal(size=(2, side, side, 1)).astype("float32")
    outputs = model(x)
    assert {name: value.shape for name, value in outputs.items()} == {"logits": (2, 5), "auxiliary": (2, 5)}
    assert any(isinstance(layer, DropPath) for layer in model.layers)
    plain = inference_model(model)
    assert not [layer for layer in plain.layers if isinstance(layer, AuxiliaryHead | DropPath)]
    np.testing.assert_array_equal(plain(x), outputs["logits"])
    model.save(tmp_path / "training.keras")
    plain.save(tmp_path / "inference.keras")
    again = inference_model(keras.saving.load_model(tmp_path / "training.keras"))
    np.testing.assert_array_equal(again(x), outputs["logits"])
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "inference.keras")(x), outputs["logits"])


def test_drop_path_on_every_edge_but_identity():
    """DARTS_V2, cells normal, reduction, reduction, 8 pairs each: identities (skip_connect at stride 1) stay
    whole; in a reduction cell a skip_connect that leaves states 0 or 1 is a factorized reduce."""
    genotype = kp.genotypes.get("DARTS_V2")
    normal = sum(op != "skip_connect" for op, _ in genotype.normal)
    reduce = sum(op != "skip_connect" or source < 2 for op, source in genotype.reduce)
    model = small(drop_path=0.1)
    assert sum(isinstance(layer, DropPath) for layer in model.layers) == normal + 2 * reduce
    assert not [layer for layer in small().layers if isinstance(layer, DropPath)]


def test_fit_lowers_the_loss(tmp_path):
    """Random images, learned by heart; and jit_compile resolves to False on a CPU, also after loading."""
    model = small(num_classes=3)
    model.compile(
        optimizer=kp.optimizers.SGD(0.01),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(12, 8, 8, 3)).astype("float32"), np.arange(12) % 3
    history = model.fit(x, y, batch_size=12, epochs=10, verbose=0).history
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    assert model.jit_compile == bool(tf.config.list_physical_devices("GPU"))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.jit_compile == model.jit_compile
    np.testing.assert_allclose(again.evaluate(x, y, verbose=0), model.evaluate(x, y, verbose=0), rtol=1e-5)
    assert int(again.optimizer.iterations) == 10


@pytest.mark.parametrize(
    "data",
    (
        lambda x, y: {"x": x, "y": y, "batch_size": 2},
        lambda x, y: {"x": x, "y": y, "batch_size": 2, "sample_weight": np.ones(6)},
        lambda x, y: {"x": tf.data.Dataset.from_tensor_slices((x, y)).batch(2)},
    ),
)
def test_a_training_step_is_traced_once(data, monkeypatch):
    """It takes seconds. Where metrics or optimizer are made within, tf.function does it twice."""
    model, seen = small(num_classes=3, layers=2), []
    monkeypatch.setattr(model, "train_step", lambda batch, step=model.train_step: seen.append(1) or step(batch))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(kp.optimizers.SGD(0.01), loss, metrics=["accuracy"])
    x, y = np.zeros((6, 8, 8, 3), "float32"), np.arange(6) % 3
    assert "accuracy" in model.fit(**data(x, y), verbose=0).history
    assert len(seen) == 1


@pytest.mark.parametrize("model", (lambda: small(num_classes=3, layers=2), lambda: kp.Supernet(**SMALLEST)))
@pytest.mark.parametrize("what", ("fit", "evaluate"))
def test_images_without_labels(model, what):
    model = model()
    model.compile("sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match=r"must hold labels: \(x, y\).*Received: images alone"):
        getattr(model, what)(np.zeros((2, 8, 8, 3), "float32"), verbose=0)


def test_a_training_step_is_the_same_in_and_out_of_a_graph():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(6, 8, 8, 3)).astype("float32"), np.arange(6) % 3
    after = []
    for eagerly in (False, True):
        keras.utils.set_random_seed(0)
        model = small(num_classes=3, layers=2)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(kp.optimizers.SGD(0.01), loss, metrics=["accuracy"], run_eagerly=eagerly)
        results = model.train_on_batch(x, y, return_dict=True)
        after.append([*results.values(), *(weight.numpy() for weight in model.weights)])
    for traced, eager in zip(*after, strict=True):
        np.testing.assert_allclose(traced, eager, rtol=1e-4, atol=1e-5)


def test_xla_may_be_asked_for():
    model = small()
    model.compile(loss="mse", jit_compile=True)
    assert model.jit_compile is True


def buildable():
    """Published genotypes of which every op is registered."""
    for name in kp.genotypes.names():
        genotype = kp.genotypes.get(name).resolved()
        try:
            for op, _ in genotype.normal + genotype.reduce:
                kp.spaces.canonical(op)
        except ValueError:
            continue
        yield name


BUILDABLE = tuple(buildable())


def test_most_published_genotypes_are_buildable():
    assert {"DARTS_V1", "DARTS_V2", "PIBCONV", "NASNET", "AMOEBANET"} <= set(BUILDABLE)


@pytest.mark.parametrize("name", BUILDABLE)
def test_every_published_genotype_builds(name):
    model = kp.build_network(name, (8, 8, 3), channels=4, layers=3)
    assert model(np.zeros((1, 8, 8, 3), "float32")).shape == (1, 10)


def test_odd_sides():
    assert small(input_shape=(9, 7, 3))(np.zeros((2, 9, 7, 3), "float32")).shape == (2, 10)


def test_logits_stay_float32_under_mixed_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = small()
    finally:
        keras.config.set_dtype_policy(before)
    assert model(np.zeros((1, 8, 8, 3), "float32")).dtype == "float32"
    assert model.get_layer("cell_0").compute_dtype == "bfloat16"


@pytest.mark.parametrize(
    ("wrong", "message"),
    (
        ({"genotype": "DARTS_V9"}, "DARTS_V9"),
        ({"genotype": 3}, "Received: 3"),
        ({"input_shape": (8, 8)}, r"Received: \(8, 8\)"),
        ({"input_shape": (8, 0, 3)}, r"Received: \(8, 0, 3\)"),
        ({"num_classes": 0}, "num_classes=0"),
        ({"channels": 5}, "channels=5"),
        ({"channels": 0}, "channels=0"),
        ({"layers": 1}, "layers=1"),
        ({"stem": "conv5x5"}, "conv3x3, patchify.*'conv5x5'"),
        ({"drop_path": 1.0}, "Received: 1.0"),
        ({"auxiliary": True}, "at least 8 pixels"),
    ),
)
def test_wrong_arguments(wrong, message):
    with pytest.raises(ValueError, match=message):
        small(**wrong) if "genotype" not in wrong else kp.build_network(**wrong)


def test_unknown_op():
    pairs = (("sep_conv_9x9", 0), ("sep_conv_9x9", 1))
    genotype = kp.Genotype(pairs, pairs, (2,), (2,))
    with pytest.raises(ValueError, match="Unknown op 'sep_conv_9x9'. Known: "):
        kp.build_network(genotype, channels=4, layers=2)
