"""The curvature of the validation loss by the alphas, measured during a search, and the early end that follows from it.

Zela et al., "Understanding and Robustifying Differentiable Architecture Search" (arXiv:1909.09656).
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_pibnas.runs import sharpened_since
from keras_pibnas.search.curvature import AlphaHessian


class Eigenvalues(keras.callbacks.Callback):
    """Puts the largest eigenvalues of the Hessian of the validation loss by the alphas into the logs of `fit`.

    As "eigenvalue", and "eigenvalue_2", ... of further ones; what records the logs after it (a `SearchRecorder`,
    TensorBoard, the history) has them. Measured when epochs 0, every, 2 * every, ... end.

    Args:
        data: a validation batch (x, y), or a dataset whose first batch is taken, always the same.
        every: epochs from one measurement to the next.
        k: how many eigenvalues.

    Example:
        >>> callback = kp.callbacks.Eigenvalues((np.zeros((4, 8, 8, 3)), np.zeros(4)), every=2)
    """

    def __init__(self, data: Any, every: int = 2, k: int = 1):
        super().__init__()
        if every < 1 or k < 1:
            raise ValueError(f"every and k should be at least 1. Received: every={every}, k={k}")
        self.every, self.k, self._data, self._batch, self._hessian = every, k, data, None, None

    def on_epoch_end(self, epoch, logs=None):
        if epoch % self.every or logs is None:
            return
        if self._batch is None:
            self._batch = self._data if isinstance(self._data, tuple | list) else next(iter(self._data))
        if self._hessian is None or self._hessian.supernet is not self.model:
            self._hessian = AlphaHessian(self.model)
        for number, value in enumerate(self._hessian.eigenvalues(self._batch, self.k)):
            logs["eigenvalue" if number == 0 else f"eigenvalue_{number + 1}"] = float(value)


class EigenvalueStop(keras.callbacks.Callback):
    """Stops a search whose largest eigenvalue has grown, and goes back to the architecture from before it did.

    Stands after an `Eigenvalues`, whose logs it reads, and before a `SearchRecorder`. The weights stay. The rule and
    its numbers are those of `runs.sharpened_since`.

    Args:
        window, back: numbers of measurements; factor: above 1; first: epoch, from 0.
        write: takes a line of text.

    Example:
        >>> callback = kp.callbacks.EigenvalueStop(factor=1.5)
    """

    def __init__(
        self,
        window: int = 5,
        back: int = 4,
        factor: float = 1.3,
        first: int = 10,
        write: Callable[[str], Any] = print,
    ):
        super().__init__()
        if window < 1 or back < 1 or first < 0 or not factor > 1:
            raise ValueError(
                "window and back should be at least 1, first at least 0, factor above 1. "
                f"Received: window={window}, back={back}, first={first}, factor={factor}"
            )
        self.rule = {"window": window, "back": back, "factor": factor, "first": first}
        self.write, self.reached = write, None
        self.epochs, self.values, self.architectures = [], [], []

    def on_epoch_end(self, epoch, logs=None):
        if "eigenvalue" not in (logs or {}):
            return
        self.epochs.append(epoch)
        self.values.append(float(logs["eigenvalue"]))
        self.architectures.append([keras.ops.convert_to_numpy(v).tolist() for v in self.model.architecture])
        self.reached = sharpened_since(self.epochs, self.values, **self.rule)
        if self.reached is not None:
            self.model.stop_training = True
            self.write(f"Epoch {epoch + 1}: the largest eigenvalue has grown since epoch {self.reached + 1}: stopping")

    def on_train_end(self, logs=None):
        if self.reached is None:
            return
        kept = self.architectures[self.epochs.index(self.reached)]
        for variable, value in zip(self.model.architecture, kept, strict=True):
            variable.assign(np.array(value, variable.dtype))
        self.write(f"The alphas are those of epoch {self.reached + 1} again")

    def get_state(self):
        """For `Checkpoint(states=...)`."""
        return {
            "epochs": self.epochs,
            "values": self.values,
            "architectures": self.architectures,
            "reached": self.reached,
        }

    def set_state(self, state):
        for name, value in state.items():
            setattr(self, name, value)
