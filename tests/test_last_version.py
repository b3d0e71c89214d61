"""Files that the version of commit 34f6518 wrote: they load, give what they gave, and are gone on with."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.ops import convert_to_numpy

import keras_pibnas as kp
from keras_pibnas.cli import common, search

FILES = Path(__file__).parent / "golden" / "version_34f6518"
OUTPUTS = dict(np.load(FILES / "outputs.npz"))
TRAIN, VALID = ((OUTPUTS[x], OUTPUTS["y"]) for x in ("x", "x_valid"))
KINDS = ("normal", "reduce")


def assert_alphas(alphas, arrays, atol=0.0):
    for alpha, kind in zip(alphas, KINDS, strict=True):
        np.testing.assert_allclose(convert_to_numpy(alpha), arrays[f"alphas_{kind}"], atol=atol, rtol=0.0)


def test_a_supernet():
    """Logits, alphas, the exact second order and both optimizers."""
    supernet = keras.saving.load_model(FILES / "supernet.keras")
    assert_alphas(supernet.alphas, OUTPUTS)
    np.testing.assert_allclose(supernet(OUTPUTS["x"]), OUTPUTS["supernet"], atol=1e-5)
    assert int(supernet.optimizer.iterations) == int(supernet.alpha_optimizer.iterations) == 2
    assert all(convert_to_numpy(velocity).any() for velocity in supernet.optimizer.velocities)
    tf.config.run_functions_eagerly(True)
    try:
        gradient = supernet.alpha_gradients(TRAIN, VALID)
    finally:
        tf.config.run_functions_eagerly(False)
    for got, kind in zip(gradient, KINDS, strict=True):
        want = OUTPUTS[f"gradient_{kind}"]  # of two cells, both reduce: nothing moves the normal cell's alphas
        assert np.linalg.norm(got - want) <= 1e-3 * np.linalg.norm(want)
    assert np.abs(OUTPUTS["gradient_reduce"]).max() > 0


def test_a_network():
    network = keras.saving.load_model(FILES / "network.keras")
    np.testing.assert_allclose(network(OUTPUTS["x"]), OUTPUTS["network"], atol=1e-5)
    assert network.normalization == ((0.5,), (0.25,))
    assert int(network.optimizer.iterations) == 1 and len(list(kp.network.drop_path.drop_paths(network))) > 0


def test_a_checkpoint(tmp_path):
    """`fit` goes on from it: the second epoch ends where the undisturbed one ended there."""
    shutil.copytree(FILES / "checkpoints", tmp_path / "checkpoints")
    supernet = kp.Supernet("darts", (8, 8, 1), 2, channels=2, layers=2, nodes=1, order=1, seed=1)
    supernet.compile(kp.optimizers.SGD(0.05), kp.optimizers.Adam(0.01), run_eagerly=True)
    pairs = tf.data.Dataset.from_tensors((TRAIN, VALID)).repeat(2)
    checkpoint = kp.callbacks.Checkpoint(tmp_path / "checkpoints", every_minutes=None, write=lambda text: None)
    history = supernet.fit(pairs, epochs=2, callbacks=[checkpoint], verbose=0).history
    want = np.load(FILES / "resumed.npz")
    np.testing.assert_allclose(history["loss"], want["loss"], rtol=1e-3)
    assert_alphas(supernet.alphas, want, atol=1e-4)
    np.testing.assert_allclose(supernet(OUTPUTS["x"]), want["logits"], atol=1e-3)


@pytest.fixture
def run(tmp_path):
    return shutil.copytree(FILES / "run", tmp_path / "run")


def test_a_run_directory(run):
    genotype = common.resolve_genotype(str(run))
    assert genotype == kp.Genotype.from_json((run / "genotype.json").read_text()) and genotype.nodes == 1
    assert kp.runs.read_config(run, "search")["dataset"] == "digits"
    epochs = [json.loads(line) for line in (run / "genotypes.jsonl").read_text().splitlines()]
    assert len(epochs) == 2 and len(kp.runs.read_table(run / "history.csv")) == 2


@pytest.mark.slow
def test_a_run_is_gone_on_with(run):
    """`search --resume` does the second epoch again."""
    before = dict(np.load(run / "alphas.npz")), kp.runs.read_table(run / "history.csv")
    assert search.main(["--resume", str(run)]) == run
    after = dict(np.load(run / "alphas.npz")), kp.runs.read_table(run / "history.csv")
    assert before[0].keys() == after[0].keys()
    assert after[0]["primitives"].tolist() == before[0].pop("primitives").tolist()
    for name, array in before[0].items():
        np.testing.assert_allclose(after[0][name], array, atol=1e-4)
    for one, other in zip(before[1], after[1], strict=True):
        assert float(one["loss"]) == pytest.approx(float(other["loss"]), rel=1e-3)
