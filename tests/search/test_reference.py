"""The `darts` supernet against the published PyTorch code, channels 4, layers 3."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_pibnas as kp
from keras_pibnas.engine.kernels import average_pool, gelu
from keras_pibnas.layers import BatchNorm, MaxPool

GOLDEN = Path(__file__).parent.parent / "golden"
ARRAYS = np.load(GOLDEN / "supernet_darts_C4_L3.npz")
SMOOTH = np.load(GOLDEN / "supernet_smooth_C4_L3.npz")
STATE = {key.removeprefix("sd/"): ARRAYS[key] for key in ARRAYS.files if key.startswith("sd/")}
TRAIN, VALID = ((ARRAYS[f"x_{part}_nchw"].transpose(0, 2, 3, 1), ARRAYS[f"y_{part}"]) for part in ("train", "val"))
ETA = float(ARRAYS["hyper_eta_wd_r"][0])


def published(**kwargs):
    supernet = kp.Supernet("darts", channels=4, layers=3, **kwargs)
    kp.interop.load_torch_weights(supernet, STATE)
    for alpha, kind in zip(supernet.alphas, ("normal", "reduce"), strict=True):
        alpha.assign(ARRAYS[f"alphas_{kind}"])
    supernet.compile(optimizer=kp.optimizers.SGD(ETA))
    return supernet


def check(gradients, arrays, key, tolerance=1e-3):
    for got, kind in zip(gradients, ("normal", "reduce"), strict=True):
        want = arrays[f"{key}_{kind}_f64"]
        assert np.linalg.norm(got - want) < tolerance * np.linalg.norm(want)


@pytest.fixture
def eagerly():
    """Without tf.function: one run costs a tenth of a trace."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def smooth(monkeypatch):
    """GELU for ReLU, average for maximum pooling."""
    plain = BatchNorm.of_pointwise

    def of_pointwise(norm, x, kernel, weights=None, training=False, relu=False):
        y = plain(norm, x, kernel, weights, training)
        return gelu(y) if relu else y

    monkeypatch.setattr(keras.ops, "relu", gelu)
    monkeypatch.setattr(BatchNorm, "of_pointwise", of_pointwise)
    monkeypatch.setattr(MaxPool, "pool", staticmethod(average_pool))


def test_logits_and_first_order(eagerly):
    supernet = published(order=1)
    for part, (images, labels) in (("train", TRAIN), ("val", VALID)):
        seen = supernet.weight_gradient((images, labels)).aux
        gradients = supernet.alpha_gradients((images, labels), (images, labels))
        np.testing.assert_allclose(seen.logits, ARRAYS[f"{part}_logits"], atol=1e-4)
        np.testing.assert_allclose(seen.loss, ARRAYS[f"{part}_loss"], rtol=1e-5)
        check(gradients, ARRAYS, f"{part}_galpha")
    check(supernet.alpha_gradients(TRAIN, VALID), ARRAYS, "val_galpha")


def test_exact_second_order(eagerly):
    check(published().alpha_gradients(TRAIN, VALID), ARRAYS, "so_exact")


@pytest.mark.parametrize(("order", "key"), ((1, "val_galpha"), (2, "so_exact")))
def test_traced(order, key):
    """As users run it. TensorFlow rewrites the graph, and other digits are rounded than eagerly."""
    check(published(order=order).alpha_gradients(TRAIN, VALID), ARRAYS, key)


def test_smooth_network(eagerly, smooth):
    """Here the published finite difference agrees with the exact term: both are right."""
    supernet = published()
    logits = supernet(TRAIN[0], training=True)
    np.testing.assert_allclose(logits, SMOOTH["train_logits"], atol=1e-4)
    kp.interop.load_torch_weights(supernet, STATE)
    check(supernet.alpha_gradients(TRAIN, VALID), SMOOTH, "so_exact")
    check(published(hvp="finite_difference").alpha_gradients(TRAIN, VALID), SMOOTH, "so_fd")
