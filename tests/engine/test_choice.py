"""Which engine is in use, and what happens where one cannot be used."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import keras_pibnas as kp
from keras_pibnas.engine import choice
from keras_pibnas.engine.plain import Plain
from keras_pibnas.engine.tensorflow import private

SPACE = kp.spaces.SearchSpace("chosen", ("none", "skip_connect", "dil_conv_3x3"))


@pytest.fixture(name="nothing_wanted")
def without_use(monkeypatch):
    """As where neither `use` nor the environment says anything."""
    monkeypatch.setattr(choice, "_WANTED", [])
    monkeypatch.delenv(choice.VARIABLE, raising=False)


def test_names_and_the_current_engine(nothing_wanted, monkeypatch):
    assert kp.engine.names() == ("plain", "tensorflow")
    assert kp.engine.current() == "tensorflow" and str(kp.engine.current()) == "tensorflow"
    monkeypatch.setenv(choice.VARIABLE, "plain")
    assert kp.engine.current() == "plain"
    with kp.engine.use("tensorflow") as used:
        assert kp.engine.current() is used and used == "tensorflow"
        with kp.engine.use(None), kp.engine.use("plain"):
            assert kp.engine.current() == "plain"
        assert kp.engine.current() == "tensorflow"
        with kp.engine.use("auto"):
            assert kp.engine.current() == "tensorflow"
    assert kp.engine.current() == "plain"


def test_unknown_engines(nothing_wanted, monkeypatch):
    with pytest.raises(ValueError, match="Unknown engine 'torch'. Known: auto, plain, tensorflow"):
        kp.engine.use("torch").__enter__()
    monkeypatch.setenv(choice.VARIABLE, "jax")
    with pytest.raises(ValueError, match="Unknown engine 'jax'"):
        kp.engine.current()
    with pytest.raises(ValueError, match="'plain' is there already"):
        kp.engine.register("plain", Plain, lambda: True)


def test_an_engine_of_a_users_own(nothing_wanted, monkeypatch):
    monkeypatch.setattr(choice, "_ENTRIES", dict(choice._ENTRIES))
    monkeypatch.setattr(choice, "_ENGINES", dict(choice._ENGINES))

    class Counting(Plain):
        name, calls = "counting", 0

        def call(self, layer, *inputs, **arguments):
            self.calls += 1
            return super().call(layer, *inputs, **arguments)

    kp.engine.register("counting", Counting, lambda: True)
    kp.engine.register("elsewhere", Counting, lambda: False)
    with kp.engine.use("counting") as engine:
        kp.Supernet(SPACE, (8, 8, 3), 3, channels=2, layers=2, nodes=1)(np.zeros((1, 8, 8, 3), "float32"))
        assert engine.calls == 2 + 2 * 3  # stem and classifier; preprocessing and two bundles of each cell
    with pytest.raises(ValueError, match="'elsewhere' cannot compute with Keras's backend 'tensorflow'"):
        choice.resolve("elsewhere")


def test_compile_says_it_for_one_model(nothing_wanted):
    supernet = kp.Supernet(SPACE, (8, 8, 3), 3, channels=2, layers=2, nodes=1)
    supernet.compile(engine="plain")
    with supernet.engine_in_use() as used:
        assert used == "plain"
    supernet.compile()
    with supernet.engine_in_use() as used:
        assert used == "tensorflow"
    with pytest.raises(ValueError, match="Unknown engine 'fast'"):
        supernet.compile(engine="fast")


BROKEN = """
import sys, warnings
sys.modules["keras_pibnas.engine.tensorflow.kernels"] = None  # as where TensorFlow has moved what it imports
import keras_pibnas as kp
import keras, numpy as np
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    model = keras.saving.load_model(sys.argv[1])
    model.predict(np.zeros((1, 8, 8, 3), "float32"), verbose=0)
    model(np.zeros((1, 8, 8, 3), "float32"))
print(kp.engine.current(), sum("tensorflow engine is left out" in str(one.message) for one in told))
"""


def test_where_its_import_fails_plain_goes_on(tmp_path):
    """With one warning; a trained network loads and predicts."""
    kp.build_network("PIBCONV", (8, 8, 3), channels=2, layers=2).save(tmp_path / "network.keras")
    environment = {name: value for name, value in os.environ.items() if name != choice.VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", BROKEN, tmp_path / "network.keras"], capture_output=True, text=True, env=environment
    )
    assert done.stdout.split() == ["plain", "1"], done.stderr[-2000:]


@pytest.mark.parametrize("order", (1, 2))
def test_without_a_private_name_the_public_way_gives_the_same(order, monkeypatch):
    """tf.custom_gradient in place of recording on tapes."""
    train, valid = ((np.random.default_rng(i).normal(size=(4, 8, 8, 3)), np.arange(4) % 3) for i in range(2))

    def gradients():
        supernet = kp.Supernet(SPACE, (8, 8, 3), 3, channels=2, layers=2, nodes=1, order=order, seed=0)
        supernet.set_weights([np.random.default_rng(2).normal(size=v.shape) for v in supernet.get_weights()])
        supernet.compile(kp.optimizers.SGD(0.1), engine="tensorflow")
        batches = ((tf.cast(images, "float32"), labels) for images, labels in (train, valid))
        return np.stack([g.numpy() for g in supernet.alpha_gradients(*batches)])

    want = gradients()
    monkeypatch.setattr(private, "record", None)
    got = gradients()
    assert np.linalg.norm(got - want) < 1e-4 * np.linalg.norm(want)
