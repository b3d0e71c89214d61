"""The result of every reader of a data set."""

from dataclasses import dataclass

import numpy as np

from .images import Stored

TASKS = ("multiclass", "multilabel", "regression")


@dataclass(frozen=True, eq=False)
class Source:
    """A data set as it is stored.

    Args:
        train, test: (images, labels): images uint8 (N, H, W, C), in memory or on disk; labels integers (N,), or for
            the tasks multilabel and regression numbers (N, labels). test is None where there is none.
        class_names: one a class, or one a label.
        flip: whether a mirrored image means the same.
    """

    train: tuple[np.ndarray | Stored, np.ndarray]
    test: tuple[np.ndarray | Stored, np.ndarray] | None
    class_names: list[str]
    flip: bool = True


def check_task(task: str):
    """Raises ValueError for a task that there is not."""
    if task not in TASKS:
        raise ValueError(f"Unknown task {task!r}. Known: {', '.join(TASKS)}")


def check_values(where: str, labels: np.ndarray, task: str) -> np.ndarray:
    """float32 (N, labels) of labels of the task multilabel (0 or 1) or regression (finite).

    Raises:
        ValueError: others; `where` says which file and what in it.
    """
    if labels.ndim != 2 or not labels.shape[1]:
        raise ValueError(f"{where} should be of shape (N, labels) for task={task!r}. Received: {labels.shape}")
    if not (np.issubdtype(labels.dtype, np.number) or labels.dtype == bool):
        raise ValueError(f"{where} should hold numbers for task={task!r}. Received: {labels.dtype}")
    labels = labels.astype(np.float32)
    wrong = ~np.isfinite(labels) if task == "regression" else (labels != 0) & (labels != 1)
    if wrong.any():
        wanted = "finite numbers" if task == "regression" else "0 or 1"
        raise ValueError(f"{where} should hold {wanted} for task={task!r}. Received: {labels[wrong][0]:g}")
    return labels
