"""Several devices and machines: the strategy of a run, and what Keras needs so that replicas make one batch."""

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops, tree

from keras_pibnas import engine, optimizers
from keras_pibnas.engine.replicas import on_real_images, replica_count, replica_mean, replica_sum
from keras_pibnas.keras_private import all_layers, distributed_spec
from keras_pibnas.layers import BatchNorm
from keras_pibnas.training.batches import check_batch, with_images, wrong_sizes

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf


class WorkerLost(RuntimeError):
    """Another machine's process is gone, so this one ends too. They start again together.

    Example:
        >>> issubclass(kp.distribution.WorkerLost, RuntimeError)
        True
    """


def cluster() -> tuple[int, int]:
    """(Number of machines, index of this process's machine) from TF_CONFIG; (1, 0) without it.

    Raises:
        ValueError: TF_CONFIG is not JSON with workers and a task.

    Example:
        >>> kp.distribution.cluster()  # one machine, without TF_CONFIG
        (1, 0)
    """
    text = os.environ.get("TF_CONFIG") or "{}"
    try:
        config = json.loads(text)
        jobs = config.get("cluster", {})
        chiefs, workers = len(jobs.get("chief", ())), len(jobs.get("worker", ()))
        task = config["task"] if chiefs + workers else {"type": "worker", "index": 0}
        return max(1, chiefs + workers), int(task["index"]) + (chiefs if task["type"] == "worker" else 0)
    except (ValueError, KeyError, TypeError, AttributeError):
        example = '{"cluster": {"worker": ["host:port", "host:port"]}, "task": {"type": "worker", "index": 0}}'
        raise ValueError(f"TF_CONFIG should look like {example}. Received: {text}") from None


def strategy(devices: int = 1) -> Any:
    """The strategy to make and train a model under: `with strategy(2).scope():`.

    Several machines where TF_CONFIG names them (each with all its GPUs, or its CPU), else so many devices of this one.
    To be called before TensorFlow does anything else, as it sets devices up. Without GPUs the devices are parts of the
    CPU: no faster, but it shows that all is right.

    Args:
        devices: how many devices of this machine share a batch.

    Raises:
        ValueError: the machine has fewer GPUs, or TensorFlow has been used already.

    Example:
        >>> with kp.distribution.strategy(1).scope():  # before TensorFlow does anything else
        ...     model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    """
    if cluster()[0] > 1:
        return tf.distribute.MultiWorkerMirroredStrategy()
    if devices == 1:
        return tf.distribute.get_strategy()
    gpus = tf.config.list_logical_devices("GPU") if tf.config.list_physical_devices("GPU") else []
    if gpus and len(gpus) < devices:
        raise ValueError(f"This machine has {len(gpus)} GPUs. Received: devices={devices}")
    return tf.distribute.MirroredStrategy([device.name for device in (gpus or _parts_of_cpu(devices))[:devices]])


def _parts_of_cpu(count):
    part = tf.config.LogicalDeviceConfiguration()
    with contextlib.suppress(RuntimeError):  # TensorFlow has started: its devices are what they are
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], [part] * count)
    parts = tf.config.list_logical_devices("CPU")
    if len(parts) < count:
        raise ValueError(
            f"TensorFlow has started with {len(parts)} CPU device: call strategy() first. Received: devices={count}"
        )
    return parts


@contextlib.contextmanager
def ending_together() -> Iterator[None]:
    """Inside, the error that TensorFlow gives after another machine's process died becomes `WorkerLost`.

    Example:
        >>> with kp.distribution.ending_together():
        ...     pass  # fit
    """
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError) as error:
        if cluster()[0] == 1:
            raise
        raise WorkerLost(
            "A worker of this cluster is gone, so the others end: start all of them again, and they go on together "
            f"from the last checkpoint. TensorFlow says: {_last_line(error)}"
        ) from None


def _last_line(error):
    told = [line.strip() for line in str(error.message).splitlines() if "ollective" in line and "File" not in line]
    return (told or [type(error).__name__])[-1]


def global_part(loss: Any, count: Any, function: Any = None, sample_weight: Any = None) -> Any:
    """This replica's term of the global batch's loss.

    Keras divides the mean over the images of a replica by the number of replicas, which is right where all have
    equally many images. Here every image of the global batch weighs the same.

    Args:
        loss: the result of Keras's `compute_loss` on this replica.
        count: images on this replica; 0 is right too.
        function: the loss that was compiled, or a nest of them; sums (reduction="sum") are parts already.
        sample_weight: of the images, or None; its sum counts in place of the images where the loss divides by that
            (reduction="mean_with_sample_weight").

    Raises:
        ValueError: of several losses, some are reduced in another way than others.

    Example:
        >>> float(kp.distribution.global_part(keras.ops.convert_to_tensor(2.0), count=8))  # one replica: all of it
        2.0
    """
    replicas = replica_count()
    if replicas == 1:
        return loss
    loss = ops.sum(loss)  # Keras leaves a loss of no images at shape (0,), where it knows that there are none
    kinds = {getattr(one, "reduction", None) for one in tree.flatten(function)}
    special = kinds & {"sum", "mean_with_sample_weight"}
    if special and len(kinds) > 1:
        raise ValueError(f"Under a strategy all losses should be means, or all sums. Received: {function}")
    if "sum" in special:
        return loss
    count = ops.sum(sample_weight) if special and sample_weight is not None else count
    count = ops.cast(count, loss.dtype)
    return loss * (replicas * count / replica_sum(count))


class ReplicatedMixin:
    """For a keras.Model: replicas of any number of images compute and report the same as one device.

    Keras 3.15 needs three things for it, all here, and a test says when it no longer does:

    * `fit` and `evaluate` under a strategy build a model from a batch that they average over the replicas, which fails
      where they have several machines or unequal shares, and takes that batch from the data. Here it is built from the
      shapes.
    * A train step under a strategy returns the metrics of its own replica, and `fit` averages them: over several
      machines on axis 0, which a scalar has not got, and without regard to the number of images.
    * The loss of a replica is weighted as if all had equally many images.

    Batch normalizations that are not `synchronized` normalize a replica's images by themselves; their moved statistics
    are averaged once a step.

    Example:
        >>> class Classifier(kp.distribution.ReplicatedMixin, keras.Model):
        ...     pass
        >>> issubclass(kp.network.DiscreteNetwork, kp.distribution.ReplicatedMixin)
        True
    """

    def compile(self, optimizer="rmsprop", *args, auto_scale_loss=True, jit_compile=False, **kwargs):
        """As keras.Model.compile, but that XLA is used where asked for alone, and then with the plain engine.

        On a CPU it compiles grouped convolutions into code that is 20 times slower than TensorFlow's own.
        """
        if auto_scale_loss and self.scales_loss:
            optimizer = optimizers.with_loss_scale(keras.optimizers.get(optimizer))
        super().compile(optimizer, *args, auto_scale_loss=auto_scale_loss, jit_compile=jit_compile is True, **kwargs)

    def compile_from_config(self, config):
        """Builds the optimizer of a loaded or cloned model, as Keras does where `compile` is its own."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    @property
    def scales_loss(self):
        """Whether gradients in float16 need a scaled loss."""
        return keras.backend.backend() == "tensorflow" and self.dtype_policy.name == "mixed_float16"

    def fit(self, *args, **kwargs):
        """As keras.Model.fit. Raises `WorkerLost` where another machine's process dies."""
        if keras.backend.backend() != "tensorflow":
            return super().fit(*args, **kwargs)
        with ending_together(), wrong_sizes(self.image_shape):
            return super().fit(*args, **kwargs)

    def evaluate(self, *args, **kwargs):
        """As keras.Model.evaluate."""
        with wrong_sizes(self.image_shape):
            return super().evaluate(*args, **kwargs)

    def predict(self, *args, **kwargs):
        """As keras.Model.predict."""
        with wrong_sizes(self.image_shape):
            return super().predict(*args, **kwargs)

    @property
    def image_shape(self):
        """(H, W, C) of the images that the model takes."""
        return tuple(self.inputs[0].shape[1:])

    def engine_in_use(self):
        """A context in which the engine of this model's steps is in use: XLA cannot compile the others' kernels."""
        return engine.use("plain" if getattr(self, "jit_compile", False) else None)

    def _with_images(self, args):
        """The arguments of a step, of which data is the last."""
        if keras.backend.backend() != "tensorflow":
            return args
        return (*args[:-1], with_images(args[-1], self.image_shape))

    def train_step(self, *args):
        args = self._with_images(args)
        with self.engine_in_use() as used, used.own_tapes():
            return super().train_step(*args) if replica_count() == 1 else self._replicated_train_step(*args)

    def _replicated_train_step(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            y_pred, loss = self._forward(x, y, sample_weight, training=True)
            scaled = self.optimizer.scale_loss(loss)
        self.optimizer.apply(tape.gradient(scaled, self.trainable_variables), self.trainable_variables)
        self._agree_on_statistics(ops.shape(x)[0])
        return self._update_metrics(x, y, y_pred, sample_weight, loss)

    def _agree_on_statistics(self, images):
        layers = [layer for layer in all_layers(self) if isinstance(layer, BatchNorm)]
        norms = [layer for layer in layers if layer.trainable and not layer.synchronized]
        variables = [variable for layer in norms for variable in layer.non_trainable_variables]
        if variables:
            used = engine.current()
            used.assign(variables, replica_mean(used.read(variables), images))

    def test_step(self, *args):
        args = self._with_images(args)
        with self.engine_in_use():
            return super().test_step(*args) if replica_count() == 1 else self._replicated_test_step(*args)

    def _replicated_test_step(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        y_pred, loss = self._forward(x, y, sample_weight, training=False)
        return self._update_metrics(x, y, y_pred, sample_weight, loss)

    def predict_step(self, *args):
        args = self._with_images(args)
        with self.engine_in_use():
            return super().predict_step(*args)

    @property
    def loss_tracker(self):
        """The metric that means the loss."""
        return next(metric for metric in self.metrics if metric.name == "loss")

    def _forward(self, x, y, sample_weight, training):
        y_pred = on_real_images(lambda x: self(x, training=training), x)
        loss = self.compute_loss(x, y, y_pred, sample_weight, training)
        return y_pred, global_part(loss, ops.shape(x)[0], self.loss, sample_weight)

    def _update_metrics(self, x, y, y_pred, sample_weight, loss):
        self.loss_tracker.update_state(replica_sum(loss), sample_weight=ops.shape(x)[0])
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def get_metrics_result(self):
        """The metrics by name; in a replica, those of all."""
        if replica_count() == 1:
            return super().get_metrics_result()
        variables = self.metrics_variables
        totals = replica_sum([tf.convert_to_tensor(variable.value) for variable in variables])
        with keras.StatelessScope(state_mapping=list(zip(variables, totals, strict=True))):
            results = super().get_metrics_result()
        return {name: _reducible(value) for name, value in results.items()}

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Builds metrics, loss and optimizer before a step is traced; made within, they would have it traced twice."""
        if iterator is not None:
            data_batch = tree.map_structure(_one_replica, distributed_spec(iterator))
        if not all(part is None or hasattr(part, "shape") for part in tree.flatten(data_batch)):
            return  # lists of numbers
        with self.distribute_strategy.scope():
            self._symbolic_build(data_batch=tree.map_structure(symbolic, data_batch))

    def _symbolic_build(self, iterator=None, data_batch=None):
        """As Keras's, from `_symbolic_outputs`: the model itself has been built, and need not be traced for them."""
        if keras.backend.backend() != "tensorflow":
            return super()._symbolic_build(iterator=iterator, data_batch=data_batch)
        check_batch(data_batch, self.image_shape)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data_batch)
        if y is None:
            raise ValueError(
                "Batches must hold labels: (x, y), for the fit of a supernet pairs of that. Received: images alone"
            )
        for function in (self.compute_metrics, self._compute_loss):
            _Symbolic(function).compute_output_spec(x, y, self._symbolic_outputs(), sample_weight)
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)

    def _symbolic_outputs(self):
        return tree.map_structure(symbolic, self.output)


class CompiledStepMixin(ReplicatedMixin):
    """For a keras.Model whose `train_step` calls layers and takes gradients by the engine: the engine compiles it.

    Example:
        >>> issubclass(kp.Supernet, kp.distribution.CompiledStepMixin)
        True
    """

    def make_train_function(self, force=False):
        """As Keras's, but that its graph is ready sooner."""
        if self.train_function is not None and not force:
            return self.train_function
        if self.run_eagerly or self.jit_compile or self.steps_per_execution > 1:
            super().make_train_function(force)  # of some versions of Keras it returns nothing
            return self.train_function
        strategy = self.distribute_strategy

        def on_data(data):
            outputs = strategy.run(self.train_step, args=(data,))
            return tree.map_structure(lambda value: ops.reshape(_local(strategy, value), ()), outputs)

        with self.engine_in_use() as used:
            from_iterator = used.compile(lambda iterator: on_data(next(iterator)))
            from_data = used.compile(on_data)
        iterators = tf.data.Iterator, tf.distribute.DistributedIterator
        self.train_function = lambda iterator: (
            from_iterator(iterator) if isinstance(iterator, iterators) else from_data(next(iterator))
        )  # train_on_batch gives a generator
        return self.train_function


def _local(strategy, value):
    """A metric, which every replica has computed for all."""
    return strategy.experimental_local_results(value)[0]


def _reducible(value):
    """`fit` averages metrics over machines on axis 0."""
    machines = isinstance(tf.distribute.get_strategy(), tf.distribute.MultiWorkerMirroredStrategy)
    return ops.reshape(value, (1,)) if machines else value


def _one_replica(spec):
    return tf.nest.flatten(spec, expand_composites=True)[0]


class _Symbolic(keras.Operation):
    """A function of tensors, which Keras calls for shapes and types alone."""

    def __init__(self, function):
        super().__init__()
        self.call = function


def symbolic(tensor: Any) -> Any:
    """A KerasTensor of any number of images.

    Example:
        >>> kp.distribution.symbolic(np.zeros((4, 8, 8, 3), "float32")).shape
        (None, 8, 8, 3)
    """
    if tensor is None:
        return None
    return keras.KerasTensor((None, *tensor.shape[1:]), keras.backend.standardize_dtype(tensor.dtype))
