"""What the replicas of a TensorFlow distribution strategy have in common; without one, nothing happens."""

import contextvars

import keras
from keras import ops

from keras_pibnas.engine.context import holding

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

# Every replica is traced in a thread of its own, and a thread has its own value.
_COUNTED = contextvars.ContextVar("how many images of the batch are real", default=None)


def replica_count():
    """How many replicas share the global batch; 1 outside a strategy and on other backends."""
    if keras.backend.backend() != "tensorflow" or not tf.distribute.has_strategy():
        return 1
    context = tf.distribute.get_replica_context()
    return context.num_replicas_in_sync if context is not None else 1


def strategy_replicas():
    """How many replicas the strategy has in whose scope this is called; 1 without one."""
    if keras.backend.backend() != "tensorflow":
        return 1
    return tf.distribute.get_strategy().num_replicas_in_sync


def replica_sum(value):
    """The sum of a tensor (or a nest of them) over all replicas; differentiable to any order."""
    if replica_count() == 1:
        return value
    return tf.nest.pack_sequence_as(value, _sums(*tf.nest.flatten(value)))


def _sums(*values):
    context = tf.distribute.get_replica_context()
    devices = context.strategy.extended.worker_devices  # those of this machine

    @tf.custom_gradient
    def summed(*values):
        if len(devices) == 1:  # then TensorFlow asks where the tensors are, and derivatives do not know
            with tf.device(devices[0]):
                values = [tf.identity(value) for value in values]
        return context.all_reduce(tf.distribute.ReduceOp.SUM, values), lambda *g: _sums(*g)

    return summed(*values)


def replica_totals(values):
    """As `replica_sum` of a nest of many tensors, in one sum for each of their types; no gradient flows through."""
    if replica_count() == 1:
        return values
    tensors = [tf.convert_to_tensor(value) for value in tf.nest.flatten(values)]
    totals = [None] * len(tensors)
    for dtype in {tensor.dtype for tensor in tensors}:
        places = [place for place, tensor in enumerate(tensors) if tensor.dtype == dtype]
        total = replica_sum(tf.concat([tf.reshape(tensors[place], (-1,)) for place in places], 0))
        sizes = [tensors[place].shape.num_elements() for place in places]
        for place, part in zip(places, tf.split(total, sizes), strict=True):
            totals[place] = tf.reshape(part, tensors[place].shape)
    return tf.nest.pack_sequence_as(values, totals)


def replica_mean(values, images):
    """The mean of a nest of tensors over all replicas, each weighted by its number of images."""
    if replica_count() == 1:
        return values
    share = tf.cast(images, "float32") / tf.cast(replica_sum(images), "float32")
    return replica_totals(tf.nest.map_structure(lambda value: value * tf.cast(share, value.dtype), values))


def replica_rows(value):
    """The vectors (N,) of all replicas as the rows of a matrix (replicas, N), in one sum; differentiable likewise."""
    here = tf.distribute.get_replica_context().replica_id_in_sync_group
    row = tf.one_hot(here, replica_count(), dtype=value.dtype)
    return replica_sum(row[:, None] * value)


def replica_moments(mean, variance, count):
    """Mean, variance and count of the global batch, from those of count values on this replica (which may be none)."""
    if replica_count() == 1:
        return mean, variance, count
    rows = replica_rows(ops.concatenate((mean, variance, count[None]), 0))
    means, variances, counts = ops.split(rows, (mean.shape[0], 2 * mean.shape[0]), axis=-1)
    total = ops.sum(counts)
    shares = counts / total
    whole = ops.sum(means * shares, 0)
    return whole, ops.sum((variances + (means - whole) ** 2) * shares, 0), total


def image_count(x):
    """How many images of x (B, ...) are real: B, but where `on_real_images` put a blank one."""
    counted = _COUNTED.get()
    return ops.shape(x)[0] if counted is None else counted


def on_real_images(function, images):
    """function(images), a nest of tensors (B, ...), where B may be 0 on this replica.

    A replica without images still takes part in every sum. It computes with one blank image, which no statistic
    counts, so that no kernel meets an empty tensor and no mean is 0 / 0.
    """
    if replica_count() == 1:
        return function(images)
    count = tf.shape(images)[0]
    blank = tf.pad(images, [(0, tf.cast(count == 0, "int32")), *[(0, 0)] * (images.shape.rank - 1)])
    with holding(_COUNTED, count):
        outputs = function(tf.ensure_shape(blank, (None, *images.shape[1:])))
    return tf.nest.map_structure(lambda output: output[:count], outputs)
