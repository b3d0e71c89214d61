"""Checkpoints within one process; `test_kill` kills real ones."""

import errno
import os
import signal
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_pibnas import callbacks, runs

sys.path.insert(0, str(Path(__file__).parent))
import resumable  # noqa: E402


class At(keras.callbacks.Callback):
    """Calls a function after a training step or a validation step, counted from 1 over the whole run."""

    def __init__(self, step, function, test=False):
        super().__init__()
        self.step, self.function, self.test, self.seen = step, function, test, 0

    def on_train_batch_end(self, batch, logs=None):
        self.count(not self.test)

    def on_test_batch_end(self, batch, logs=None):
        self.count(self.test)

    def count(self, counts):
        self.seen += counts
        if counts and self.seen == self.step:
            self.function()


def killed():
    raise RuntimeError("killed")


def run(directory, *extra, **options):
    """{name: array} of what the training of `resumable` comes to."""
    directory.mkdir(exist_ok=True)
    options = {"write": lambda line: None} | options
    resumable.fit("training", directory, extra, **options)
    return dict(np.load(directory / "end.npz"))


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return run(tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Directory of a run that was killed in epoch 2 of 6, after step 3 of 10."""
    directory = tmp_path_factory.mktemp("stopped")
    with pytest.raises(RuntimeError, match="killed"):
        run(directory, At(13, killed))
    return directory


def copied(directory, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    for name in ["history.csv", *(f"checkpoints/{path.name}" for path in (directory / "checkpoints").iterdir())]:
        (tmp_path / name).write_bytes((directory / name).read_bytes())
    return tmp_path, sorted((tmp_path / "checkpoints").iterdir())


def test_two_are_kept_with_what_decides_the_future(stopped):
    before, last = runs.snapshots(stopped / "checkpoints")
    assert [path.name for path in (before, last)] == [
        "epoch-00001-step-0000002.checkpoint",
        "epoch-00001-step-0000003.checkpoint",
    ]
    arrays, meta = runs.read_snapshot(last)
    assert (meta["epoch"], meta["step"], meta["steps"], meta["key"]) == (1, 3, 10, [3, 0])
    assert len(meta["history"]["val_loss"]) == 1
    assert int(arrays["optimizer/0"]) == 13  # iterations
    states = [array for array in arrays.values() if array.shape == (2,) and array.dtype.kind in "iu"]
    assert len(states) == 1, "the random state of drop path"
    assert any(name.startswith("metrics/") for name in arrays)


def test_a_stopped_run_ends_as_an_undisturbed_one(stopped, undisturbed, tmp_path):
    lines = []
    directory, (_, last) = copied(stopped, tmp_path)
    assert_same(run(directory, write=lines.append), undisturbed)
    assert lines == [f"Going on from {last}: epoch 2, step 4"]
    assert [row["epoch"] for row in runs.read_table(directory / "history.csv")] == list("123456")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda content: content[:-1], "should hold .* bytes"),
        (lambda content: content[:200] + bytes([content[200] ^ 1]) + content[201:], "checksum"),
        (lambda content: b"", "does not begin as a checkpoint"),
    ],
    ids=["cut", "flipped", "empty"],
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(damage, words, stopped, undisturbed, tmp_path):
    directory, (before, last) = copied(stopped, tmp_path)
    last.write_bytes(damage(last.read_bytes()))
    path, _, meta = runs.newest_snapshot(directory / "checkpoints", (lines := []).append)
    assert (path, meta["step"]) == (before, 2)
    assert len(lines) == 1 and str(last) in lines[0]
    with pytest.raises(runs.DamagedCheckpoint, match=words):
        runs.read_snapshot(last.with_name(f"{last.name}.damaged"))
    if words == "checksum":  # One run is enough.
        assert_same(run(directory), undisturbed)


def test_where_all_are_damaged_the_run_does_not_begin_anew(stopped, tmp_path):
    directory, both = copied(stopped, tmp_path)
    for path in both:
        path.write_bytes(b"x")
    with pytest.raises(runs.DamagedCheckpoint, match="No checkpoint in .* is whole. Damaged: .*step-0000003"):
        run(directory)


def test_what_a_killed_process_was_writing_is_swept(stopped, undisturbed, tmp_path):
    directory, both = copied(stopped, tmp_path)
    half = directory / "checkpoints" / f".{both[1].stem}-aside-x1.checkpoint"
    half.write_bytes(both[1].read_bytes()[:100])
    assert_same(run(directory), undisturbed)
    assert not half.exists()


@pytest.mark.parametrize("step, test", [(24, False), (20, False), (3, True)], ids=["within", "last", "validation"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_says_how_to_go_on(step, test, number, undisturbed, tmp_path, capfd):
    if number == signal.SIGINT and step != 24:
        pytest.skip("one place is enough for the second signal")
    handlers = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    at = At(step, lambda: os.kill(os.getpid(), number), test)
    said = "Stopped at epoch ., step .*; everything is saved. To go on: fit"
    with pytest.raises(runs.Interrupted, match=said) as end:
        run(tmp_path, at, every_steps=None)
    assert end.value.number == number
    assert capfd.readouterr().err.splitlines()[-1] == (
        "Stopping: the run is saved after this step. Once more, and it stops at once."
    )
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == handlers
    assert_same(run(tmp_path), undisturbed)


def test_a_run_that_has_ended_trains_no_more_and_has_its_history(undisturbed, tmp_path):
    run(tmp_path)
    assert_same(run(tmp_path, At(1, killed)), undisturbed)


def test_a_run_can_get_more_epochs(undisturbed, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setitem(resumable.EPOCHS, "training", 2)
        patched.setattr(keras.optimizers.schedules, "CosineDecay", lambda rate, steps: rate)
        run(tmp_path)
    assert len(runs.newest_snapshot(tmp_path / "checkpoints")[2]["history"]["loss"]) == 2


def test_data_without_a_position_is_drawn_again_up_to_the_place(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(2, 12, 3)).astype("float32")

    def fit(directory, *extra, each=1):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3), keras.layers.Dropout(0.5)])
        model.compile(keras.optimizers.Adam(0.1), "mse", steps_per_execution=each)
        checkpoint = callbacks.Checkpoint(directory, every_steps=2, write=lambda line: None)
        model.fit(x, y, batch_size=2, epochs=3, shuffle=False, verbose=0, callbacks=[checkpoint, *extra])
        return runs.read_state(model)

    for each in (1, 2):
        expected = fit(tmp_path / f"whole-{each}", each=each)
        with pytest.raises(RuntimeError):
            fit(tmp_path / f"cut-{each}", At(10 // each, killed), each=each)
        assert_same(fit(tmp_path / f"cut-{each}", each=each), expected)


def test_a_full_disk_loses_no_earlier_checkpoint_and_says_so(tmp_path, undisturbed, monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(OSError) as end:
        run(tmp_path, At(13, lambda: patched.setattr(os, "fsync", full)))
    last = tmp_path / "checkpoints" / "epoch-00001-step-0000003.checkpoint"
    assert end.value.errno == errno.ENOSPC and end.value.strerror == (
        "The disk is full: the checkpoint of epoch 2, step 4 could not be written. "
        f"The last good one is {last}. Make room, then go on: fit again with the same Checkpoint"
    )
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "epoch-00001-step-0000002.checkpoint",
        "epoch-00001-step-0000003.checkpoint",
    ]
    assert_same(run(tmp_path), undisturbed)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda p: p.setattr(resumable, "BATCH", 4), "a number of steps of 10. Received: 20"),
        (lambda p: p.setattr(resumable, "SEED", 4), r"from the seed and split \[3, 0\]. Received: \[4, 0\]"),
        (lambda p: p.setattr(resumable, "CHANNELS", 3), r"another model: model/0 .* \(3, 3, 1, 3\).*Received"),
    ],
)
def test_another_run_is_refused(change, words, stopped, tmp_path, monkeypatch):
    directory, _ = copied(stopped, tmp_path)
    change(monkeypatch)
    with pytest.raises(runs.CheckpointError, match=words):
        run(directory)


def test_wrong_arguments(tmp_path):
    with pytest.raises(ValueError, match="At least two.*Received: keep=1"):
        callbacks.Checkpoint(tmp_path, keep=1)
    with pytest.raises(ValueError, match="with a position.*Received: .*MapDataset"):
        callbacks.Checkpoint(tmp_path, resumable.training()[1].map(lambda x, y: (x, y)))
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="whose weights exist.*Received: model='sequential"):
        model.fit(np.ones((2, 1)), np.ones(2), verbose=0, callbacks=[callbacks.Checkpoint(tmp_path)])


def test_checkpoints_by_time(tmp_path):
    clock, names = {"now": 0.0}, []

    class Seen(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            clock["now"] += 20

        def on_epoch_end(self, epoch, logs=None):
            names.append([path.name[12:-11] for path in sorted(tmp_path.rglob("*.checkpoint"))])

    run(tmp_path, Seen(), every_steps=None, every_minutes=1, clock=lambda: clock["now"])
    # Steps of 20 seconds, a checkpoint each minute: after steps 3, 6 and 9; the two newest are kept.
    assert names == [["step-0000006", "step-0000009"]] * 6
