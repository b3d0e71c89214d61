"""What TensorBoard gets, read back from the event files."""

import sys
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import keras_pibnas as kp
from keras_pibnas import callbacks, runs

sys.path.insert(0, str(Path(__file__).parent))
import resumable  # noqa: E402


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    """The events of a search of two epochs, and the supernet."""
    directory = tmp_path_factory.mktemp("board")
    supernet, pairs, _ = resumable.search()

    def pictures(model, folder):
        kp.analysis.plot_genotype(model.genotype(), folder)

    supernet.run_eagerly = True
    supernet.fit(pairs, epochs=2, verbose=0, callbacks=[callbacks.Board(directory, resumable.BATCH, pictures)])
    found = EventAccumulator(str(directory / "details"), {"tensors": 0})
    found.Reload()
    return found, supernet


def last(events, name):
    import tensorflow as tf

    event = events.Tensors(name)[-1]
    return event.step, tf.make_ndarray(event.tensor_proto)


def test_scalars_of_every_epoch(events):
    found, supernet = events
    names = {"learning_rate", "alpha_learning_rate", "images_per_second", "memory_mb", "skip_connections"}
    assert names | {"entropy_normal", "entropy_reduce"} <= set(found.Tags()["tensors"])
    assert all(len(found.Tensors(name)) == 2 for name in names)
    assert last(found, "learning_rate") == (2, pytest.approx(float(supernet.optimizer.learning_rate)))
    assert last(found, "skip_connections")[1] == runs.skip_connections(supernet.genotype())
    assert last(found, "images_per_second")[1] > 0 and last(found, "memory_mb")[1] > 100


def test_alphas_as_histograms_and_cells_as_pictures(events):
    found, supernet = events
    step, buckets = last(found, "alphas_normal")
    assert step == 2 and buckets[:, 2].sum() == 6  # two edges, three ops
    assert buckets[0, 0] == pytest.approx(float(np.min(supernet.alphas[0])))
    _, picture = last(found, "normal")  # width, height, one PNG
    assert len(picture) == 3 and picture[2][:4] == b"\x89PNG"


def test_entropy_of_the_mix():
    assert runs.mix_entropy(np.zeros((3, 4))) == pytest.approx(np.log(4))
    # One edge undecided between two ops, one decided.
    alphas = np.array([[0.0, 0.0, -100.0], [100.0, 0.0, 0.0]])
    assert runs.mix_entropy(alphas) == pytest.approx(np.log(2) / 2)


def test_steps_that_a_resumed_run_leaves_out_are_no_images():
    clock = iter([0.0, 10.0, 11.0, 14.0, 14.0, 16.0, 16.0])
    board = callbacks.Board("logs", 8, clock=lambda: next(clock))
    board.on_epoch_begin(0)
    board.on_train_batch_end(0, {})
    board.on_train_batch_end(1, {"loss": 1.0})
    board.on_train_batch_end(2, {"loss": 1.0})
    # Two steps of eight images between seconds 10 or 11 and 14.
    assert board.steps == 2 and 16 / (board.ended - board.begun) in (pytest.approx(16 / 4), pytest.approx(16 / 3))
