import json

import pytest

from keras_pibnas.callbacks import Progress, TimeLeft
from keras_pibnas.runs import duration, mark, seconds_left


@pytest.mark.parametrize(
    "seconds, words",
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (725, "12 min 5 s"), (12000, "3 h 20 min")],
)
def test_duration(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize("begun, left", [([7, 37], 30 * 5), ([0, 100, 110], 10 * 5), ([0, 100, 110, 130], 15 * 5)])
def test_seconds_left_is_the_mean_epoch_but_the_first_times_the_epochs_to_come(begun, left):
    assert seconds_left(begun, todo=5) == left


def run(callback, clock, epochs, first, step_seconds, steps=2):
    callback.set_params({"epochs": epochs, "steps": steps})
    for epoch in range(first, epochs):
        callback.on_epoch_begin(epoch)
        for batch in range(steps):
            clock["now"] += step_seconds
            callback.on_train_batch_end(batch, {"loss": 0.5})
        callback.on_epoch_end(epoch)
    callback.on_train_end()


def test_time_left_counts_the_epochs_of_this_process_only():
    clock, lines = {"now": 100.0}, []
    callback = TimeLeft(every=None, clock=lambda: clock["now"], write=lines.append)
    run(callback, clock, epochs=5, first=2, step_seconds=10)
    # Two steps of 10 s an epoch; after the third epoch two are left, then one.
    assert lines == ["3 of 5 epochs done, about 40 s left", "4 of 5 epochs done, about 20 s left"]


def test_without_a_terminal_long_epochs_report_in_between():
    clock, lines = {"now": 0.0}, []
    callback = TimeLeft(every=15, clock=lambda: clock["now"], write=lines.append)
    run(callback, clock, epochs=1, first=0, step_seconds=10, steps=4)
    assert lines == ["epoch 1, step 2 of 4, loss 0.5", "epoch 1, step 4 of 4, loss 0.5"]


def test_progress_is_on_file_for_others(tmp_path):
    clock = {"now": 0.0}
    callback = Progress(tmp_path, every=15, clock=lambda: clock["now"], now=lambda: 1000 + clock["now"])
    callback.set_params({"epochs": 2, "steps": 4})
    read = lambda: json.loads((tmp_path / "progress.json").read_text())  # noqa: E731
    callback.on_train_begin()
    callback.on_epoch_begin(0)
    assert (read()["step"], read()["seconds_left"]) == (0, None)
    callback.on_train_batch_end(0, {})  # left out by a resumed run
    for batch, now in ((1, 50), (2, 60), (3, 70)):
        clock["now"] = now
        callback.on_train_batch_end(batch, {"loss": 0.5})
    # Written after 50 and 70 seconds; two steps took 20 seconds since the first one; four are left.
    assert read() == {
        "state": "running", "epoch": 0, "epochs": 2, "step": 4, "steps": 4, "logs": {"loss": 0.5},
        "seconds_left": 40.0, "time": 1070.0,
    }  # fmt: skip
    callback.on_epoch_end(0, {"loss": 0.5, "val_loss": 1.0})
    assert (read()["epoch"], read()["step"], read()["logs"]["val_loss"]) == (1, 0, 1.0)
    callback.on_train_end()
    assert (read()["state"], read()["seconds_left"]) == ("ended", 0)
    mark(tmp_path, "stopped")
    assert read()["state"] == "stopped"
