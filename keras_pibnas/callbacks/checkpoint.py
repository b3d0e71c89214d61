"""Checkpoints: the complete state of a run is saved, and `fit` resumes from it."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from keras_pibnas.distribution import cluster
from keras_pibnas.keras_private import begin_at
from keras_pibnas.runs.files import is_chief
from keras_pibnas.runs.snapshot import keep_newest, newest_snapshot, no_space, snapshot_path, write_snapshot
from keras_pibnas.runs.state import CheckpointError, build_optimizers, not_finite, read_state, set_state
from keras_pibnas.runs.trouble import Interrupted, NotFinite, Signals, check_loss, scale_rate, trouble


class Checkpoint(keras.callbacks.Callback):
    """Saves a run, and has `fit` go on where the newest checkpoint in the directory stands.

    Call `fit` again with the same arguments and it ends, however and whenever the process before was killed, with the
    weights, alphas and history of a run that was never disturbed: to the bit on a CPU. A checkpoint holds weights,
    alphas, statistics and random states, every optimizer's slots and iterations, the running metrics, the history,
    epoch and step. It is written aside, moved into place, and has a checksum; a damaged one is named and the one
    before it used. SIGTERM and Ctrl-C save, and end `fit` with `Interrupted`. A loss that is not finite ends it with
    `NotFinite`.

    To go on within an epoch, one batch is computed for nothing: the step before, which builds whatever Keras
    builds at the first step. The weights are set after it.

    Args:
        directory: of the checkpoints, one run's; made if it is not there. There is one at the begin of every epoch.
        data: the training data of `fit`, as `keras_pibnas.data` makes it: its `position` is set. (`.map` and the like
            drop it: hand over the dataset from before.) None: for data in the same order in every epoch.
        every_steps: steps from one checkpoint within an epoch to the next, or None.
        every_minutes: the same in minutes; None, and on several machines, whose clocks differ: none.
        keep: how many checkpoints are kept, at least 2.
        states: callbacks with `get_state()`, a JSON value, and `set_state(value)`, saved too.
        go_on: how to go on, for the text of `Interrupted`.
        clock: returns seconds.
        write: takes a line of text.

    Attributes:
        last: path of the last good checkpoint, or None.
        seconds: how long the run has taken up to now, without what killed processes did after their last checkpoint.
        factor: of the learning rate, see `halving`.

    Raises:
        ValueError: data without a position, or keep below 2; when training starts, as `CheckpointError`, a
            checkpoint of another run.
        OSError: a checkpoint cannot be written; the ones before it are untouched.

    Example:
        >>> checkpoint = kp.callbacks.Checkpoint("checkpoints", every_minutes=None, every_steps=100)
        >>> checkpoint.last is None  # fit(..., callbacks=[checkpoint]) goes on from the newest one
        True
    """

    def __init__(
        self,
        directory: str | Path,
        data: Any = None,
        every_steps: int | None = None,
        every_minutes: float = 10,
        keep: int = 2,
        states: Sequence = (),
        go_on: str = "fit again with the same Checkpoint",
        clock: Callable[[], float] = time.monotonic,
        write: Callable[[str], Any] = print,
    ):
        super().__init__()
        if data is not None and not hasattr(data, "position"):
            raise ValueError(
                "data should be a dataset as keras_pibnas.data makes it, with a position; .map and the like drop it. "
                f"Received: {data!r}"
            )
        if keep < 2:
            raise ValueError(f"At least two checkpoints are kept, as one may be damaged. Received: keep={keep}")
        self.directory, self.position = Path(directory), getattr(data, "position", None)
        self.together = cluster()[0] > 1  # several machines save at the same step, whatever their clocks say
        self.every_steps, self.every_minutes, self.keep = every_steps, None if self.together else every_minutes, keep
        self.states, self.go_on, self.clock, self.write = states, go_on, clock, write
        self.signals = Signals()
        self.last, self.factor, self.pending = None, 1.0, None
        self._before, self._begun = 0.0, None

    @property
    def seconds(self):
        return self._before + (0.0 if self._begun is None else self.clock() - self._begun)

    def on_train_begin(self, logs=None):
        if is_chief():
            self.directory.mkdir(parents=True, exist_ok=True)
        build_optimizers(self.model)
        self.epoch = self.step = self.steps_since = 0
        self._begun = self._saved_at = self.clock()
        self.signals.watch()
        found = newest_snapshot(self.directory, self.write)
        if found is not None:
            self._find_place(*found)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch, self.step = epoch, 0
        if self.position is not None:
            self.position.epoch, self.position.moves, self.position.step = epoch, False, 0
        if self.pending is None:
            self._save_and_leave() if self.signals.received else self.save()
            return
        self._restore_history()
        if self.pending[1]["step"]:
            self._catch_up(*self.pending)
        else:
            self.pending = None

    def on_train_batch_end(self, batch, logs=None):
        if self.pending is not None:
            self._leave_if_asked()
            return
        self.steps_since += batch + 1 - self.step
        self.step = batch + 1
        check_loss(self.model, self.epoch, batch, logs, self.last)
        if self.signals.received:
            self._save_and_leave()
        if self._due():
            self.save()

    def on_test_begin(self, logs=None):
        self._metrics = _metrics(read_state(self.model, metrics=True))

    def on_test_batch_end(self, batch, logs=None):
        if self.signals.received:
            self._save_and_leave(self._metrics)

    def on_train_end(self, logs=None):
        if self.pending is None:
            self.epoch, self.step = self.epoch + 1, 0
            self.save(stopped=self.model.stop_training)
        else:  # There was nothing left to train.
            self._restore_history()
        self._end()

    def save(self, metrics=None, stopped=False):
        """Writes a checkpoint of this moment between two steps.

        Args:
            metrics: {name: array} in place of the metrics' present state, which an evaluation has reset.
            stopped: whether the run has been stopped for good before its last epoch.
        """
        arrays = read_state(self.model, metrics=self.step > 0) | (metrics or {})
        bad = not_finite({name: array for name, array in arrays.items() if name.startswith("model/")})
        if bad:
            raise NotFinite(trouble(self.model, "A weight", bad[0], self.epoch, self.step, self.last))
        path = snapshot_path(self.directory, self.epoch, self.step)
        try:
            if is_chief():
                write_snapshot(path, arrays, self._meta(stopped))
                keep_newest(self.directory, self.keep)
        except OSError as error:
            raise self._explained(error) from None
        self.last, self.steps_since, self._saved_at = path, 0, self.clock()

    def _meta(self, stopped):
        history = getattr(self.model, "history", None)
        return {
            "epoch": self.epoch,
            "step": self.step,
            "steps": self.params["steps"],
            "key": self.position and list(map(int, self.position.key)),
            "history": {name: list(map(float, values)) for name, values in history.history.items()} if history else {},
            "states": [callback.get_state() for callback in self.states],
            "seconds": self.seconds,
            "factor": self.factor,
            "stopped": bool(stopped),
        }

    def _due(self):
        steps = self.every_steps is not None and self.steps_since >= self.every_steps
        return steps or (self.every_minutes is not None and self.clock() - self._saved_at >= 60 * self.every_minutes)

    def _find_place(self, path, arrays, meta):
        """Sets what can be set before the first step, and where `fit` begins."""
        for name, received in (("steps", self.params["steps"]), ("key", self._meta(False)["key"])):
            if meta[name] != received:
                raise CheckpointError(
                    f"{path} is of a run on other data: its {_MEANING[name]} {meta[name]}. Received: {received}"
                )
        set_state(self.model, arrays)
        self.factor = min(self.factor, meta["factor"])
        scale_rate(self.model, self.factor, meta["factor"])
        for callback, state in zip(self.states, meta["states"], strict=True):
            callback.set_state(state)
        self.last, self._before, self.pending = path, meta["seconds"], (arrays, meta)
        epochs = self.params["epochs"]
        first = epochs if meta["stopped"] else meta["epoch"]
        begin_at(self.model, first)
        ended = first >= epochs
        place = "the run has ended" if ended else f"epoch {meta['epoch'] + 1}, step {meta['step'] + 1}"
        self.write(f"Going on from {path}: {place}")

    def _restore_history(self):
        history, meta = getattr(self.model, "history", None), self.pending[1]
        if history is not None:
            history.history = {name: list(values) for name, values in meta["history"].items()}
            history.epoch = list(range(meta["epoch"]))

    def _catch_up(self, arrays, meta):
        """Replaces the train function until the steps that the checkpoint holds have passed."""
        train, passed, each = self.model.train_function, 0, self.model.steps_per_execution
        if self.position is not None:
            self.position.step = meta["step"] - each

        def skip(iterator):
            nonlocal passed
            passed += each
            if passed < meta["step"]:
                if self.position is None:
                    for _ in range(each):
                        next(iterator)
                return {}
            self.model.train_function = train
            train(iterator)
            set_state(self.model, arrays, metrics=True)
            scale_rate(self.model, self.factor, meta["factor"])
            self.step, self.pending = meta["step"], None
            return self.model.get_metrics_result()

        self.model.train_function = skip

    def _save_and_leave(self, metrics=None):
        if not self.together:  # a signal reaches one machine only, and saving takes all
            self.save(metrics)
        self._leave_if_asked()

    def _leave_if_asked(self):
        if self.signals.received:
            number = self.signals.received
            self._end()
            saved = f"the last checkpoint is {self.last}" if self.together else "everything is saved"
            raise Interrupted(
                f"Stopped at epoch {self.epoch + 1}, step {self.step}; {saved}. To go on: {self.go_on}", number
            )

    def _end(self):
        self._before, self._begun = self.seconds, None
        begin_at(self.model, None)
        self.pending = None
        if self.position is not None:
            self.position.moves, self.position.step = True, 0
        self.signals.release()

    def _explained(self, error):
        if not no_space(error):
            return error
        return OSError(
            error.errno,
            f"The disk is full: the checkpoint of epoch {self.epoch + 1}, step {self.step} could not be written. "
            f"The last good one is {self.last or 'none'}. Make room, then go on: {self.go_on}",
        )


_MEANING = {"steps": "epochs have a number of steps of", "key": "batches come from the seed and split"}


def _metrics(arrays):
    return {name: array for name, array in arrays.items() if name.startswith("metrics/")}
