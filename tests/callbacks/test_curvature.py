"""Eigenvalues in the logs, and the early end of RobustDARTS."""

import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_pibnas as kp
from keras_pibnas import callbacks, runs
from keras_pibnas.cli import watch

sys.path.insert(0, str(Path(__file__).parent))
import resumable  # noqa: E402

# The largest eigenvalues of a search in RobustDARTS's published logs, epochs 0, 2, ..., 14.
PUBLISHED = [0.1788, 0.1482, 0.1703, 0.1464, 0.1211, 0.2488, 0.2311, 0.3595]


class Search:
    """What `EigenvalueStop` reads of a supernet."""

    def __init__(self):
        self.architecture, self.stop_training = [keras.Variable(np.zeros((2, 3), "float32"))], False


def run(stop, values, search, first=0):
    """Epochs with an eigenvalue in every second one, whose alphas are the number of the epoch; how many there were."""
    stop.set_model(search)
    for epoch in range(first, first + 2 * len(values)):
        search.architecture[0].assign(np.full((2, 3), epoch, "float32"))
        stop.on_epoch_end(epoch, {"loss": 1.0} | ({} if epoch % 2 else {"eigenvalue": values[(epoch - first) // 2]}))
        if search.stop_training:
            break
    stop.on_train_end()
    return epoch + 1


def test_the_published_sequence_gives_no_stop_yet():
    epochs = list(range(0, 16, 2))
    assert [runs.sharpened_since(epochs[:n], PUBLISHED[:n]) for n in range(9)] == [None] * 9
    # Its means over 5 are 0.15296 at epoch 4 and 0.22138 at epoch 10. Two more measurements, and the windows of epochs
    # 0 to 8 and 8 to 16 could be compared: they grow by more than 1.3, but their centre, epoch 4, is before epoch 10.
    longer = [*PUBLISHED, 0.4, 0.5]
    assert np.mean(longer[4:9]) / np.mean(longer[:5]) > 1.3
    assert runs.sharpened_since(list(range(0, 20, 2)), longer) is None


def test_a_search_that_stops_and_goes_back():
    """Eigenvalue 1 up to epoch 16, then 2.

    Measurements are at 0, 2, 4, ...; at epoch e the windows end at e and e - 8, and the earlier one's centre is e - 12:
    10 at epoch 22, not before. There the means are (1 * 2 + 2 * 3) / 5 = 1.6 of epochs 14 to 22 and 1 of 6 to 14.
    """
    search, lines = Search(), []
    values = [1.0] * 9 + [2.0] * 8
    assert run(callbacks.EigenvalueStop(write=lines.append), values, search) == 23
    np.testing.assert_array_equal(search.architecture[0], np.full((2, 3), 10))
    assert lines == [
        "Epoch 23: the largest eigenvalue has grown since epoch 11: stopping",
        "The alphas are those of epoch 11 again",
    ]


def test_growth_by_less_than_the_factor_goes_on():
    """Means 1 and (1 * 4 + 2.4) / 5 = 1.28, then 1.28 and 1.56 one later, where the earlier mean is still 1."""
    search = Search()
    assert run(callbacks.EigenvalueStop(write=len), [1.0] * 11 + [2.4], search) == 24 and not search.stop_training
    assert run(callbacks.EigenvalueStop(write=len), [1.0] * 11 + [2.4] * 2, search) == 25 and search.stop_training


def test_its_state_survives():
    one, two, search = callbacks.EigenvalueStop(write=len), callbacks.EigenvalueStop(write=len), Search()
    run(one, [1.0] * 9 + [2.0] * 2, search)
    two.set_state(one.get_state())
    assert run(two, [2.0], search, first=22) == 23
    np.testing.assert_array_equal(search.architecture[0], np.full((2, 3), 10))


def test_eigenvalues_in_logs_history_and_watch(tmp_path, monkeypatch):
    """Measured after epochs 1 and 3 of 3, on the first validation batch; `watch` shows what is recorded."""
    seen = []

    def eigenvalues(self, batch, k):
        seen.append((np.asarray(batch[0]), k))
        return np.array([3.0, 1.0]) / len(seen)

    monkeypatch.setattr(callbacks.curvature.AlphaHessian, "eigenvalues", eigenvalues)
    supernet, pairs, valid = resumable.search()
    supernet.run_eagerly = True
    recorder = kp.callbacks.SearchRecorder(tmp_path)
    history = supernet.fit(
        pairs.take(1), epochs=3, verbose=0, callbacks=[callbacks.Eigenvalues(valid, 2, k=2), recorder]
    )
    assert history.history["eigenvalue"] == [3.0, 1.5] and history.history["eigenvalue_2"] == [1.0, 0.5]
    assert [row["eigenvalue"] for row in runs.read_table(tmp_path / "history.csv")] == ["3.0", "", "1.5"]
    assert all(k == 2 and np.array_equal(x, next(iter(valid))[0]) for x, k in seen)
    text = watch.plain(watch.frame(tmp_path, 0.0))
    assert "eigenvalue     █▁  1.5" in text and "eigenvalue_2   █▁  0.5" in text


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: callbacks.Eigenvalues((), every=0), "every=0"),
        (lambda: callbacks.Eigenvalues((), k=0), "k=0"),
        (lambda: callbacks.EigenvalueStop(window=0), "window=0"),
        (lambda: callbacks.EigenvalueStop(factor=1.0), "factor=1.0"),
    ],
)
def test_wrong_arguments(make, words):
    with pytest.raises(ValueError, match=f"Received: .*{words}"):
        make()
