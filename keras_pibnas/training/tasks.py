"""Tasks: which loss and metrics a network of logits is trained with, and what its logits mean."""

from collections.abc import Callable
from dataclasses import dataclass

import keras

from .metrics import LabelAccuracy, MeanAveragePrecision


@dataclass(frozen=True)
class Task:
    """Loss, metrics and decoding of a network with `outputs` outputs. It gives logits (B, outputs), never activated.

    Args:
        name: "multiclass", "multilabel" or "regression".
        make_loss: label smoothing -> a new Keras loss of (y_true, logits).
        make_metrics: outputs -> new Keras metrics of (y_true, logits).
        activation: name of the Keras activation from logits to what is reported: class probabilities, the probability
            of each label, or the values themselves.
        monitor: name of the metric that says which of two networks is better.
        mode: "max" or "min": whether more of it is better.
        labels: the meaning of y_true, in words for messages.

    Example:
        >>> task = get("multilabel")
        >>> task.activation, [metric.name for metric in task.metrics(outputs=3)]
        ('sigmoid', ['mean_average_precision', 'label_accuracy'])
    """

    name: str
    make_loss: Callable[[float], keras.losses.Loss]
    make_metrics: Callable[[int], list[keras.metrics.Metric]]
    activation: str
    monitor: str
    mode: str
    labels: str

    def loss(self, label_smoothing: float = 0.0) -> keras.losses.Loss:
        """A new loss of (y_true, logits).

        Raises:
            ValueError: label smoothing outside [0, 1), or of a regression, which has nothing to smooth.
        """
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing should be at least 0 and below 1. Received: {label_smoothing}")
        return self.make_loss(label_smoothing)

    def metrics(self, outputs: int) -> list[keras.metrics.Metric]:
        """New metrics of (y_true, logits) of that many outputs."""
        return self.make_metrics(outputs)

    def activate(self, logits):
        """Predictions of logits (B, outputs), of the same shape."""
        return keras.activations.get(self.activation)(logits)


def names() -> tuple[str, ...]:
    """Names of all tasks."""
    return tuple(_TASKS)


def get(name: str) -> Task:
    """The task of a name, as `keras_pibnas.data.load(...).task` says it.

    Raises:
        ValueError: an unknown name.
    """
    if name not in _TASKS:
        raise ValueError(f"Unknown task {name!r}. Known: {', '.join(_TASKS)}")
    return _TASKS[name]


@keras.saving.register_keras_serializable("keras_pibnas")
class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy of integer labels (B,) and logits (B, classes), a part of each target spread over all classes.

    Keras smooths one-hot labels alone, and those would change the data.

    Args:
        label_smoothing: the part, 0.1 in the ImageNet training of DARTS.
    """

    def __init__(self, label_smoothing=0.0, name="smoothed_crossentropy", **kwargs):
        super().__init__(name=name, **kwargs)
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        classes = y_pred.shape[-1]
        y_true = keras.ops.one_hot(
            keras.ops.cast(keras.ops.reshape(y_true, (-1,)), "int32"), classes, dtype=y_pred.dtype
        )
        target = y_true * (1 - self.label_smoothing) + self.label_smoothing / classes
        return keras.losses.categorical_crossentropy(target, y_pred, from_logits=True)

    def get_config(self):
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


def _multiclass_loss(label_smoothing):
    if label_smoothing:
        return SmoothedCrossentropy(label_smoothing)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _multiclass_metrics(outputs):
    metrics = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
    if outputs > 10:  # among the ten of CIFAR-10, being one of five says little
        metrics.append(keras.metrics.SparseTopKCategoricalAccuracy(5, name="top5_accuracy"))
    return metrics


def _multilabel_loss(label_smoothing):
    return keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=label_smoothing)


def _multilabel_metrics(outputs):
    return [MeanAveragePrecision(outputs), LabelAccuracy(outputs)]


def _regression_loss(label_smoothing):
    if label_smoothing:
        raise ValueError(f"A regression has no labels to smooth. Received: label_smoothing={label_smoothing}")
    return keras.losses.MeanSquaredError()


def _regression_metrics(outputs):
    return [keras.metrics.MeanAbsoluteError(name="mae"), keras.metrics.RootMeanSquaredError(name="rmse")]


_TASKS = {
    task.name: task
    for task in (
        Task(
            "multiclass",
            _multiclass_loss,
            _multiclass_metrics,
            "softmax",
            "accuracy",
            "max",
            "an integer an image, (B,)",
        ),
        Task(
            "multilabel",
            _multilabel_loss,
            _multilabel_metrics,
            "sigmoid",
            "mean_average_precision",
            "max",
            "0 or 1 for each label, (B, labels)",
        ),  # fmt: skip
        Task("regression", _regression_loss, _regression_metrics, "linear", "mae", "min", "numbers, (B, outputs)"),
    )
}
