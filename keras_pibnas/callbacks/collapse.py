"""Early ends of a search: too many skip connections, or alphas whose ranking does not change any more.

Both criteria are those of DARTS+ (Liang et al., 2019, arXiv:1909.06035), section 3.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_pibnas.runs import alpha_ranking, skip_connections


class SkipLimit(keras.callbacks.Callback):
    """Stops a search whose current normal cell has too many skip connections.

    Args:
        limit: the number that is too many; DARTS+ has two.
        restore: whether the alphas go back, when the search ends, to those of the best epoch below the limit. The
            weights stay. Record what a search found after this callback: put it before a `SearchRecorder`.
        monitor: by which the best epoch is best, from the logs of `fit`; without it there, the latest is best.
        at_least: epochs before which nothing is counted; the alphas begin at random.
        write: takes a line of text.
        mode: "max" or "min", whether more of the monitor is better.

    Example:
        >>> callback = kp.callbacks.SkipLimit(2, restore=True)
    """

    def __init__(
        self,
        limit: int = 2,
        restore: bool = False,
        monitor: str = "val_accuracy",
        at_least: int = 0,
        write: Callable[[str], Any] = print,
        mode: str = "max",
    ):
        super().__init__()
        if mode not in ("max", "min"):
            raise ValueError(f"mode should be 'max' or 'min'. Received: mode={mode!r}")
        if limit < 1 or at_least < 0:
            raise ValueError(
                f"limit should be at least 1, at_least at least 0. Received: limit={limit}, at_least={at_least}"
            )
        self.limit, self.restore, self.monitor = limit, restore, monitor
        self.at_least, self.write, self.sign = at_least, write, 1 if mode == "max" else -1
        self.reached, self.best = None, None

    def on_epoch_end(self, epoch, logs=None):
        count = skip_connections(self.model.genotype())
        if epoch + 1 > self.at_least and count >= self.limit:
            self.reached, self.model.stop_training = epoch, True
            self.write(f"Epoch {epoch + 1}: {count} skip connections in the normal cell, limit {self.limit}: stopping")
        elif self.restore and count < self.limit:
            self._keep(epoch, (logs or {}).get(self.monitor))

    def on_train_end(self, logs=None):
        if self.reached is None or not self.restore:
            return
        if self.best is None:
            self.write("No epoch was below the limit of skip connections: the last alphas stay")
            return
        for alpha, value in zip(_architecture(self.model), self.best["alphas"], strict=True):
            alpha.assign(np.array(value, alpha.dtype))
        self.write(f"The alphas are those of epoch {self.best['epoch'] + 1} again")

    def _keep(self, epoch, score):
        score = None if score is None else self.sign * float(score)
        if self.best is None or score is None or self.best["score"] is None or score > self.best["score"]:
            alphas = [keras.ops.convert_to_numpy(alpha).tolist() for alpha in _architecture(self.model)]
            self.best = {"epoch": epoch, "score": score, "alphas": alphas}

    def get_state(self):
        """For `Checkpoint(states=...)`."""
        return {"reached": self.reached, "best": self.best}

    def set_state(self, state):
        self.reached, self.best = state["reached"], state["best"]


class StableRanking(keras.callbacks.Callback):
    """Stops a search when the ranking of the learnable ops on every edge has been the same for N epochs.

    Args:
        epochs: N; DARTS+ has ten.
        at_least: epochs before which the search does not stop.
        write: takes a line of text.

    Example:
        >>> callback = kp.callbacks.StableRanking(epochs=10)
    """

    def __init__(self, epochs: int = 10, at_least: int = 0, write: Callable[[str], Any] = print):
        super().__init__()
        if epochs < 1 or at_least < 0:
            raise ValueError(
                f"epochs should be at least 1, at_least at least 0. Received: epochs={epochs}, at_least={at_least}"
            )
        self.epochs, self.at_least, self.write = epochs, at_least, write
        self.ranking, self.stable = None, 0

    def on_epoch_end(self, epoch, logs=None):
        ranking = alpha_ranking(self.model.alphas, self.model.space.primitives)
        self.stable = self.stable + 1 if ranking == self.ranking else 0
        self.ranking = ranking
        if self.stable >= self.epochs and epoch + 1 > self.at_least:
            self.model.stop_training = True
            self.write(f"Epoch {epoch + 1}: the ranking of the alphas is stable for {self.stable} epochs: stopping")

    def get_state(self):
        """For `Checkpoint(states=...)`."""
        return {"ranking": self.ranking, "stable": self.stable}

    def set_state(self, state):
        self.ranking, self.stable = state["ranking"], state["stable"]


def _architecture(model):
    """All variables that a genotype follows from: edge weights, too, where there are some."""
    return getattr(model, "architecture", model.alphas)
