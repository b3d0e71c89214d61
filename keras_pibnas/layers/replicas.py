"""Sums over the replicas of a TensorFlow distribution strategy; without one, nothing happens."""

import keras

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf


def replica_count():
    """How many replicas share the global batch; 1 outside a strategy and on other backends."""
    if keras.backend.backend() != "tensorflow" or not tf.distribute.has_strategy():
        return 1
    context = tf.distribute.get_replica_context()
    return context.num_replicas_in_sync if context is not None else 1


def replica_sum(value):
    """The sum of a tensor (or a nest of them) over all replicas; differentiable to any order."""
    if replica_count() == 1:
        return value
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, value)


def replica_moments(mean, variance, count):
    """Mean, variance and count of the global batch, from those of count values on this replica (which may be none)."""
    if replica_count() == 1:
        return mean, variance, count
    total = replica_sum(count)
    share = count / total
    whole = replica_sum(mean * share)
    return whole, replica_sum((variance + (mean - whole) ** 2) * share), total
