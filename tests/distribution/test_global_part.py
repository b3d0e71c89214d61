"""What a replica adds to the loss of the global batch, for all ways that Keras reduces a loss."""

import keras
import numpy as np
import pytest

from keras_pibnas import distribution

LABELS, WEIGHTS = np.array([0, 1, 2, 0]), np.array([2.0, 1.0, 0.5, 3.0], "float32")
LOGITS = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
PARTS = slice(0, 3), slice(3, 4)  # 3 images on one replica, 1 on the other


@pytest.mark.parametrize("weighted", (True, False))
@pytest.mark.parametrize("reduction", ("sum_over_batch_size", "mean_with_sample_weight", "sum"))
def test_parts_add_up_to_the_loss_of_all_images(reduction, weighted, monkeypatch):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction)
    weights = WEIGHTS if weighted else None
    by_weight = weighted and reduction == "mean_with_sample_weight"
    monkeypatch.setattr(distribution, "replica_count", lambda: 2)
    monkeypatch.setattr(distribution, "replica_sum", lambda count: count * 0 + (WEIGHTS.sum() if by_weight else 4.0))
    total = 0.0
    for part in PARTS:
        own = None if weights is None else weights[part]
        value = loss(LABELS[part], LOGITS[part], own)
        value = value if reduction == "sum" else value / 2  # Keras divides means by the replicas
        total += float(distribution.global_part(value, len(LABELS[part]), loss, own))
    assert total == pytest.approx(float(loss(LABELS, LOGITS, weights)), rel=1e-6)


def test_losses_that_are_reduced_in_different_ways(monkeypatch):
    monkeypatch.setattr(distribution, "replica_count", lambda: 2)
    losses = [keras.losses.MeanSquaredError(reduction=r) for r in ("sum_over_batch_size", "mean_with_sample_weight")]
    with pytest.raises(ValueError, match="all losses should be means, or all sums"):
        distribution.global_part(keras.ops.ones(()), 1, losses)
