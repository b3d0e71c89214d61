"""Metrics of several labels an image, of logits or probabilities (B, labels)."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_pibnas")
class MeanAveragePrecision(keras.metrics.Metric):
    """Mean over labels of the average precision: sum over ranks of (recall gained) * precision, larger scores first.

    Scores are counted in equal bins of the probability, so memory does not grow with the images. Images of one bin
    tie, which is how scikit-learn's `average_precision_score` takes equal scores: the result is exact for probabilities
    rounded to bins. A label that no image has does not count; without any, the result is 0.

    Args:
        labels: number of labels.
        bins: of the probability, from 0 to 1.
        from_logits: whether predictions are logits rather than probabilities.

    Call arguments:
        y_true: 0 or 1, (B, labels).
        y_pred: (B, labels).
        sample_weight: (B,), or None.

    Raises:
        ValueError: no label, or less than two bins.

    Example:
        >>> metric = MeanAveragePrecision(1, from_logits=False)
        >>> metric.update_state([[1], [0], [1]], [[0.9], [0.8], [0.7]])  # precision 1 at recall 1/2, then 2/3 at 1
        >>> round(float(metric.result()), 4)
        0.8333
    """

    def __init__(self, labels, bins=1000, from_logits=True, name="mean_average_precision", dtype=None):
        super().__init__(name=name, dtype=dtype)
        _check_labels(labels)
        if bins < 2:
            raise ValueError(f"bins should be at least 2. Received: bins={bins}")
        self.labels, self.bins, self.from_logits = labels, bins, from_logits
        shape = (labels * bins,)
        self.positives = self.add_variable(shape, initializer="zeros", name="positives")
        self.images = self.add_variable(shape, initializer="zeros", name="images")

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = ops.cast(y_true, self.dtype), ops.cast(y_pred, self.dtype)
        scores = ops.sigmoid(y_pred) if self.from_logits else ops.clip(y_pred, 0.0, 1.0)
        place = ops.cast(ops.round(scores * (self.bins - 1)), "int32") + self.bins * ops.arange(self.labels)
        weight = ops.ones_like(y_true) * _per_image(sample_weight, self.dtype)
        for counts, amount in ((self.positives, weight * y_true), (self.images, weight)):
            counts.assign_add(ops.segment_sum(ops.ravel(amount), ops.ravel(place), self.labels * self.bins))

    def per_label(self):
        """Average precision of each label, (labels,); 0 where no image has it."""
        positives = ops.cumsum(self._falling(self.positives), 1)
        images = ops.cumsum(self._falling(self.images), 1)
        precision = positives / ops.maximum(images, 1e-7)
        total = ops.maximum(positives[:, -1], 1e-7)
        return ops.sum(precision * self._falling(self.positives), 1) / total

    def result(self):
        present = ops.cast(ops.sum(self._falling(self.positives), 1) > 0, self.dtype)
        return ops.sum(self.per_label() * present) / ops.maximum(ops.sum(present), 1.0)

    def get_config(self):
        config = {"labels": self.labels, "bins": self.bins, "from_logits": self.from_logits}
        return {**super().get_config(), **config}

    def _falling(self, counts):
        """(labels, bins) of a state, the largest scores first."""
        return ops.flip(ops.reshape(counts, (self.labels, self.bins)), 1)


@keras.saving.register_keras_serializable("keras_pibnas")
class LabelAccuracy(keras.metrics.Metric):
    """The part of the images whose label is predicted right, for each label; the result is the mean over labels.

    Args:
        labels: number of labels.
        threshold: a label is predicted where y_pred is above it: 0 for logits, 0.5 for probabilities.

    Call arguments:
        y_true: 0 or 1, (B, labels).
        y_pred: (B, labels).
        sample_weight: (B,), or None.

    Raises:
        ValueError: no label.
    """

    def __init__(self, labels, threshold=0.0, name="label_accuracy", dtype=None):
        super().__init__(name=name, dtype=dtype)
        _check_labels(labels)
        self.labels, self.threshold = labels, threshold
        self.right = self.add_variable((labels,), initializer="zeros", name="right")
        self.images = self.add_variable((), initializer="zeros", name="images")

    def update_state(self, y_true, y_pred, sample_weight=None):
        predicted = ops.cast(y_pred, self.dtype) > self.threshold
        right = ops.cast(predicted == (ops.cast(y_true, self.dtype) > 0.5), self.dtype)
        weight = ops.ones_like(right) * _per_image(sample_weight, self.dtype)
        self.right.assign_add(ops.sum(right * weight, 0))
        self.images.assign_add(ops.sum(weight[:, 0]))

    def per_label(self):
        """Accuracy of each label, (labels,)."""
        return self.right / ops.maximum(self.images, 1e-7)

    def result(self):
        return ops.mean(self.per_label())

    def get_config(self):
        return {**super().get_config(), "labels": self.labels, "threshold": self.threshold}


def _check_labels(labels):
    if labels < 1:
        raise ValueError(f"A metric needs at least one label. Received: labels={labels}")


def _per_image(sample_weight, dtype):
    """(B, 1) of the weights of images, or 1."""
    return 1.0 if sample_weight is None else ops.reshape(ops.cast(sample_weight, dtype), (-1, 1))
