"""Alpha gradients of whole supernets by the TensorFlow engine, against the plain one."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_pibnas as kp

# Of both spaces, with all their ops; a normal cell and two reductions.
SUPERNETS = {
    "darts": {"space": "darts", "input_shape": (8, 8, 3), "nodes": 1},
    "darts, odd sides": {"space": "darts", "input_shape": (9, 7, 1), "nodes": 2},
    "pibconv": {"space": "pibconv", "input_shape": (8, 8, 3), "nodes": 2},
    "pibconv, patchify": {"space": "pibconv", "input_shape": (32, 32, 3), "nodes": 1, "stem": "patchify"},
}


def gradients(settings, order, engine):
    keras.utils.set_random_seed(0)
    supernet = kp.Supernet(**settings, num_classes=3, channels=2, layers=3, order=order, seed=0)
    supernet.compile(kp.optimizers.SGD(0.1), engine=engine)
    shape = supernet.settings["input_shape"]
    train, valid = (
        (tf.constant(np.random.default_rng(seed).normal(size=(4, *shape)), "float32"), tf.range(4) % 3)
        for seed in range(2)
    )
    return np.concatenate([np.ravel(g) for g in supernet.alpha_gradients(train, valid)])


@pytest.mark.slow
@pytest.mark.parametrize("order", (1, 2))
@pytest.mark.parametrize("name", SUPERNETS)
def test_engines_agree(name, order):
    tf.config.run_functions_eagerly(True)
    try:
        want = gradients(SUPERNETS[name], order, "plain")
    finally:
        tf.config.run_functions_eagerly(False)
    got = gradients(SUPERNETS[name], order, "tensorflow")
    assert np.linalg.norm(got - want) < 1e-2 * np.linalg.norm(want)  # a ReLU near its kink may fall otherwise
