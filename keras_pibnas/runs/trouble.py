"""Losses that are not finite, and signals that ask a run to stop."""

import math
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import keras

from keras_pibnas.keras_private import own_learning_rate
from keras_pibnas.schedules import Scaled


class NotFinite(ArithmeticError):
    """A loss, or a weight, that is not a finite number; the text names step, learning rate and last checkpoint.

    Example:
        >>> issubclass(kp.runs.NotFinite, ArithmeticError)
        True
    """


class Interrupted(SystemExit):
    """SIGTERM or Ctrl-C, after everything has been saved; the text says how to go on.

    Not caught, it ends the process with the text on standard error.

    Args: text; number: the signal's.

    Example:
        >>> str(kp.runs.Interrupted("Stopped at epoch 3.", number=15))
        'Stopped at epoch 3.'
    """

    def __init__(self, text: str, number: int):
        super().__init__(text)
        self.number = number

    def __str__(self):
        return str(self.code)


def check_loss(model, epoch, batch, logs, last=None):
    """Raises NotFinite where the loss in `logs` is not finite.

    Args:
        model: whose learning rate the text names.
        epoch, batch: from 0, as callbacks count them.
        logs: a dictionary with the loss; without one nothing is checked.
        last: path of the last good checkpoint, or None.
    """
    loss = float((logs or {}).get("loss", 0.0))
    if not math.isfinite(loss):
        raise NotFinite(trouble(model, "The loss", loss, epoch, batch + 1, last))


def trouble(model, what, value, epoch, step, last):
    """One line; epoch from 0, step from 1."""
    rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
    return (
        f"{what} is not finite ({value}) at epoch {epoch + 1}, step {step}, learning rate {rate:.4g}. "
        f"Last good checkpoint: {last or 'none'}"
    )


class Signals:
    """Notes the first SIGTERM or Ctrl-C instead of dying of it; the second one works as ever.

    In threads other than the main one Python has no say in signals, so nothing is caught there.
    """

    caught = (signal.SIGTERM, signal.SIGINT)

    def __init__(self):
        self.received, self._before = None, {}

    def watch(self):
        """Starts to catch signals."""
        self.received = None
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in self.caught}

    def release(self):
        """Puts back what was there before."""
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before = {}

    def _note(self, number, frame):
        self.received = number
        self.release()
        # Not print: the signal may have come in the middle of another one, which does not take that.
        os.write(2, b"Stopping: the run is saved after this step. Once more, and it stops at once.\n")


def scale_rate(model, factor, already=1.0):
    """Has the weights' optimizer follow its learning rate, or its schedule, times a factor.

    Where there is a schedule, the train step is traced anew.

    Args:
        model: compiled.
        factor: of the rate that it was compiled with.
        already: the factor that the optimizer's rate, where it is a variable, holds now.
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # of a LossScaleOptimizer
    rate = own_learning_rate(optimizer)
    if not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        optimizer.learning_rate = float(keras.ops.convert_to_numpy(rate)) * factor / already
    elif factor != getattr(rate, "factor", 1.0):
        optimizer.learning_rate = Scaled(getattr(rate, "schedule", rate), factor)
        model.make_train_function(force=True)


def halving(fit: Callable, checkpoint: Any, times: int = 10, write: Callable[[str], Any] = print) -> Any:
    """Calls `fit` and, where it ends with `NotFinite`, again from the last checkpoint at half the learning rate.

    Args:
        fit: without arguments; fits a model with `checkpoint` among the callbacks.
        checkpoint: a `Checkpoint`; every one that it writes holds the factor of the rate.
        times: how often in all.
        write: takes a line of text.

    Returns:
        What `fit` returns.

    Raises:
        NotFinite: the loss is still not finite.

    Example:
        >>> kp.runs.halving(lambda: "history", checkpoint=None)  # a fit that ends well is called once
        'history'
    """
    while True:
        try:
            return fit()
        except NotFinite as error:
            if checkpoint.factor <= 0.5**times:
                raise
            checkpoint.factor /= 2
            write(f"{error}. Going on from it at {checkpoint.factor:.4g} of the learning rate")
