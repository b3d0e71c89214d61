"""A network is exported in float32, whatever it was trained in, and nothing is left of an export that failed."""

import sys

import keras
import numpy as np
import pytest

import keras_pibnas as kp
from keras_pibnas.interop import export_runtimes

PAIRS = (("pib_conv_3x3", 0), ("sep_conv_3x3", 1)), (("max_pool_3x3", 0), ("skip_connect", 1))
GENOTYPE = kp.Genotype(*PAIRS, (2,), (2,))
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1), "uint8")


@pytest.fixture
def network():
    """A function from a policy to a network made and trained for a step in it, with drop path and normalization."""
    before = keras.config.dtype_policy()

    def make(policy):
        keras.config.set_dtype_policy(policy)
        model = kp.build_network(GENOTYPE, (8, 8, 1), 3, channels=4, layers=2, drop_path=0.1)
        model.compile(kp.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.run_eagerly = True
        model.fit(IMAGES / 255, np.arange(4) % 3, verbose=0)
        model = kp.network.inference_model(model)
        model.normalization = ((0.5,), (0.25,))
        keras.config.set_dtype_policy(before)
        return model

    yield make
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("policy", ("mixed_bfloat16", "mixed_float16"))
def test_a_network_trained_in_low_precision(policy, network, tmp_path):
    """The file gives what a float32 network of the same weights gives; the model is as it was."""
    model = network(policy)
    wide = kp.build_network(GENOTYPE, (8, 8, 1), 3, channels=4, layers=2)
    wide.set_weights(model.get_weights())
    want = wide.predict((IMAGES / 255 - 0.5) / 0.25, verbose=0)
    path = kp.interop.export(model, tmp_path / "new" / "model.tflite", "litert")
    np.testing.assert_allclose(export_runtimes.litert(path)(IMAGES), want, atol=1e-4)
    np.testing.assert_allclose(kp.interop.reference_logits(model, IMAGES), want, atol=1e-5)
    assert model.dtype_policy.name == policy
    copy = kp.interop.in_float32(model)
    assert copy.normalization == model.normalization and kp.interop.in_float32(copy) is copy


def test_other_floats_in_float32(network):
    for policy in ("bfloat16", "float64"):
        model = network(policy)
        copy = kp.interop.in_float32(model)
        assert {layer.dtype_policy.name for layer in copy._flatten_layers()} == {"float32"}
        assert {weight.dtype for weight in copy.weights} == {"float32"}
        for one, other in zip(copy.weights, model.weights, strict=True):
            np.testing.assert_allclose(one, np.asarray(keras.ops.cast(other, "float32")), rtol=1e-6)


def test_nothing_is_left_of_an_export_that_failed(network, tmp_path, monkeypatch):
    """Its new folder is not there either."""

    def fail(*_):
        raise ValueError("no such op")

    monkeypatch.setattr(sys.modules["keras_pibnas.interop.export"], "_lite", fail)
    with pytest.raises(ValueError, match="cannot express .* layers .*: no such op"):
        kp.interop.export(network("float32"), tmp_path / "new" / "model.tflite", "litert")
    assert not list(tmp_path.iterdir())
