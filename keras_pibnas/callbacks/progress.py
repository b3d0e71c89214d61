"""Time left of the whole run, beside Keras's progress bar, which knows one epoch only."""

import sys
import time

import keras


class TimeLeft(keras.callbacks.Callback):
    """Prints, between epochs, how long the rest of the run will take; without a terminal, also within them.

    Args:
        every: seconds between two lines within an epoch; None: only between epochs. The default is None on a
            terminal and 60 elsewhere.
        clock: returns seconds.
        write: takes a line of text.
    """

    def __init__(self, every="auto", clock=time.monotonic, write=print):
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


def seconds_left(begun, todo):
    """Seconds for `todo` epochs, when the epochs so far and the next one began at the times `begun`.

    The first epoch, which also traces the model, counts only while there is no other.
    """
    begun = begun[1:] if len(begun) > 2 else begun
    return (begun[-1] - begun[0]) / (len(begun) - 1) * todo


def duration(seconds):
    """Seconds in words: "45 s", "12 min 5 s", "3 h 20 min"."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"
