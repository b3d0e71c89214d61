"""How far a run is: lines with the time left, and a file that others can look at."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from keras_pibnas.runs import duration, is_chief, mark, seconds_left, write_json


class TimeLeft(keras.callbacks.Callback):
    """Prints, between epochs, how long the rest of the run will take; without a terminal, also within them.

    Args:
        every: seconds between two lines within an epoch; None: only between epochs. The default is None on a
            terminal and 60 elsewhere.
        clock: returns seconds.
        write: takes a line of text.

    Example:
        >>> callback = kp.callbacks.TimeLeft(every=60)
    """

    def __init__(
        self,
        every: float | str | None = "auto",
        clock: Callable[[], float] = time.monotonic,
        write: Callable[[str], Any] = print,
    ):
        super().__init__()
        self.every = (None if sys.stdout.isatty() else 60) if every == "auto" else every
        self.clock, self.write = clock, write
        self.begun, self.told, self.epoch = [], None, None

    def on_epoch_begin(self, epoch, logs=None):
        self.begun.append(self.clock())
        self.epoch, self.told = epoch, self.begun[-1]
        epochs = self.params["epochs"]
        if len(self.begun) > 1:
            left = seconds_left(self.begun, epochs - epoch)
            self.write(f"{epoch} of {epochs} epochs done, about {duration(left)} left")

    def on_train_batch_end(self, batch, logs=None):
        if self.every is None or self.clock() - self.told < self.every:
            return
        self.told = self.clock()
        values = "".join(f", {name} {float(value):.4g}" for name, value in (logs or {}).items())
        steps = f" of {self.params['steps']}" if self.params["steps"] else ""
        self.write(f"epoch {self.epoch + 1}, step {batch + 1}{steps}{values}")

    def on_train_end(self, logs=None):
        self.begun = []


class Progress(keras.callbacks.Callback):
    """Keeps `progress.json` of a run: state, epoch, epochs, step, steps, logs, seconds_left, time.

    epoch and step count what is done; seconds_left is None before there is something to judge by; time is that of
    the writing, in seconds since 1970; state: "running", "ended", or what `mark` wrote.

    Args:
        directory: an existing directory.
        every: seconds between two writings within an epoch.
        clock, now: return seconds, the second one since 1970.

    Example:
        >>> callback = kp.callbacks.Progress(".", every=5)  # keras-pibnas watch shows what it writes
    """

    def __init__(
        self,
        directory: str | Path,
        every: float = 5,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ):
        super().__init__()
        self.path, self.every, self.clock, self.now = Path(directory) / "progress.json", every, clock, now
        self.epoch = self.step = self.begun = self.done = 0
        self.told = None

    def on_train_begin(self, logs=None):
        self.begun = self.told = None
        self.done = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch, self.step = epoch, 0
        self.write({})

    def on_train_batch_end(self, batch, logs=None):
        steps, self.step = batch + 1 - self.step, batch + 1
        if not logs:  # A step that a resumed run leaves out.
            return
        if self.begun is None:  # The first step traces the model: it is no measure.
            self.begun = self.clock()
        else:
            self.done += steps
        if self.told is None or self.clock() - self.told >= self.every:
            self.write(logs)

    def on_epoch_end(self, epoch, logs=None):
        self.epoch, self.step = epoch + 1, 0
        self.write(logs)

    def on_train_end(self, logs=None):
        if self.told is None:  # Nothing was left to train.
            mark(self.path.parent, "ended")
        else:
            self.write(logs, "ended")

    def write(self, logs, state="running"):
        """Writes the file."""
        self.told = self.clock()
        if not is_chief():
            return
        value = {"epoch": self.epoch, "epochs": self.params["epochs"], "step": self.step}
        value |= {"steps": self.params["steps"], "logs": {name: float(v) for name, v in (logs or {}).items()}}
        left = self.seconds_left() if state == "running" else 0
        write_json(self.path, {"state": state, **value, "seconds_left": left, "time": self.now()})

    def seconds_left(self):
        """Seconds for the rest of the run at the pace so far, validation included; None before the second step."""
        steps = self.params["steps"]
        if not self.done or not steps:
            return None
        todo = (self.params["epochs"] - self.epoch) * steps - self.step
        return (self.clock() - self.begun) / self.done * todo
