"""The supernet: DARTS's bilevel search as a Keras model."""

from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from keras_pibnas import engine, optimizers, spaces
from keras_pibnas.distribution import CompiledStepMixin, global_part
from keras_pibnas.engine.interface import value_of
from keras_pibnas.engine.replicas import on_real_images, replica_mean, replica_sum
from keras_pibnas.search.check import check_pair, check_settings
from keras_pibnas.search.derive import derive_genotype, softmax
from keras_pibnas.search.edges import edge_count
from keras_pibnas.search.gradients import ALPHA_GRADIENTS, Problem
from keras_pibnas.search.network import RelaxedNetwork


@dataclass(frozen=True)
class ForwardPass:
    """What a pass through the network in training mode gives beside its loss.

    Attributes: loss: what it adds to the loss of the global batch, a scalar; logits: (B, num_classes); statistics: a
    tensor for each of the network's non-trainable variables, moved by the batch.
    """

    loss: Any
    logits: Any
    statistics: list


@keras.saving.register_keras_serializable("keras_pibnas")
class Supernet(CompiledStepMixin, keras.Model):
    """Searches a cell: `fit` on pairs of training and validation batches moves alphas and weights in turn.

    DARTS (Liu et al., 2019), Algorithm 1, over any registered search space, the PIBConv paper's among them.

    Args:
        space: name of a search space (`spaces.names()`), or a SearchSpace.
        input_shape: (height, width, channels) of the images.
        num_classes: number of logits.
        channels: C of a node in the first cell, even.
        layers: number of cells, at least 2.
        nodes: number of nodes in a cell, 1 to 8.
        stem: "conv3x3", or "patchify" (4x4 convolution of stride 4).
        order: 2 differentiates through one step of the weights; 1 takes the current weights for the trained ones.
        hvp: the second-order term; "exact", or "finite_difference" as published, which crosses kinks
            of ReLU and max pooling and is far off there.
        seed: of the alphas' initial values, or None.
        remat: whether every gradient computes the cells' ops again instead of storing what is inside them: about half
            the memory, for a quarter more time (gradient checkpointing).
        synchronized: whether batch normalization under a distribution strategy uses the statistics of the global batch,
            so that several devices equal one; otherwise each replica uses its own images', as in Keras and PyTorch.

    Raises:
        ValueError: names the argument, its value and what would be right.

    Example:
        supernet = keras_pibnas.Supernet("pibconv", channels=16, layers=8)
        supernet.compile(metrics=["accuracy"])
        supernet.fit(keras_pibnas.data.bilevel(train, valid), validation_data=valid, epochs=50)
        supernet.genotype()
    """

    def __init__(
        self, space="pibconv", input_shape=(32, 32, 3), num_classes=10, channels=16, layers=8, nodes=4,
        stem="conv3x3", order=2, hvp="exact", seed=None, remat=False, synchronized=False, **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        self.space = spaces.get(spaces.SearchSpace(**space) if isinstance(space, dict) else space)
        self.settings = check_settings(
            input_shape=input_shape, num_classes=num_classes, channels=channels, layers=layers, nodes=nodes, stem=stem,
            order=order, hvp=hvp, seed=seed, remat=remat, synchronized=synchronized,
        )  # fmt: skip
        self.nodes, self.order, self.hvp, self.remat = nodes, order, hvp, remat
        self.network = RelaxedNetwork(
            self.space, tuple(input_shape), num_classes, channels, layers, nodes, stem, synchronized,
            name="network", dtype=self.dtype_policy,
        )  # fmt: skip
        self.alphas = [self._alpha(kind, offset, seed) for offset, kind in enumerate(("normal", "reduce"))]
        self.engine_name = None
        self.built = True

    def _alpha(self, kind, offset, seed):
        wide = "float64" if self.dtype_policy.compute_dtype == "float64" else "float32"
        start = keras.initializers.RandomNormal(0.0, 1e-3, None if seed is None else seed + offset)
        shape = (edge_count(self.nodes), len(self.space.primitives))
        return self.add_weight(
            name=f"alpha_{kind}", shape=shape, initializer=start, dtype=wide, autocast=False
        )

    def call(self, images, training=False):
        """Logits (B, num_classes) of images (B, H, W, C) at the current alphas."""
        with self.engine_in_use():
            mix = self.mix([value_of(alpha) for alpha in self.alphas])
            return self.network(images, mix, training=training)

    def mix(self, alphas):
        """The op weights [normal, reduce], each (edges, ops), of alphas as tensors."""
        return [ops.softmax(alpha, axis=-1) for alpha in alphas]

    def compile(
        self, optimizer=None, alpha_optimizer=None, loss=None, metrics=None, engine=None, auto_scale_loss=True, **kwargs
    ):  # fmt: skip
        """Configures the search; every default is DARTS's.

        Args:
            optimizer: of the weights; default `optimizers.SGD(0.025)`.
            alpha_optimizer: of the alphas; default `optimizers.Adam(3e-4)`.
            loss: of logits; default sparse categorical cross-entropy.
            metrics: as keras.Model.compile takes them; default ["accuracy"].
            engine: name of the engine that computes the search (`kp.engine.names()`); None for `kp.engine.current()`.
            auto_scale_loss: whether both optimizers scale the loss under mixed_float16 (`LossScaleOptimizer`).
            **kwargs: further arguments of keras.Model.compile.
        """
        optimizer = optimizers.SGD(0.025) if optimizer is None else optimizer
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if loss is None else loss
        metrics = ["accuracy"] if metrics is None else metrics
        self._use_engine(engine)
        super().compile(optimizer, loss=loss, metrics=metrics, auto_scale_loss=auto_scale_loss, **kwargs)
        alpha_optimizer = keras.optimizers.get(
            optimizers.Adam() if alpha_optimizer is None else alpha_optimizer
        )
        scaled = auto_scale_loss and self.scales_loss
        self.alpha_optimizer = optimizers.with_loss_scale(alpha_optimizer) if scaled else alpha_optimizer
        self.optimizer.build(self.network.trainable_variables)
        self.alpha_optimizer.build(self.alphas)
        self._compiled_alpha_gradients = None

    def _use_engine(self, name):
        with engine.use(name):  # or a ValueError
            self.engine_name = name

    def engine_in_use(self):
        return engine.use(self.engine_name) if self.engine_name else super().engine_in_use()

    def fit(self, *args, shuffle=False, **kwargs):
        """As keras.Model.fit, on a dataset of pairs; datasets shuffle themselves, and Keras warns where asked to."""
        return super().fit(*args, shuffle=shuffle, **kwargs)

    def train_step(self, data):
        """One round of Algorithm 1 on ((x, y), (x_valid, y_valid)); returns the metrics."""
        train, valid = check_pair(data)
        with self.engine_in_use() as used:
            weights = used.read(self.network.trainable_variables)
            # 1. Move alpha down d/dalpha L_valid(w - xi * dL_train/dw, alpha).
            optimizers.apply(self.alpha_optimizer, self._alpha_gradients(train, valid, weights), self.alphas)
            # 2. Move w down dL_train/dw, at the new alpha.
            gradient = self.weight_gradient(train, weights)
            optimizers.apply(self.optimizer, gradient.value, self.network.trainable_variables)
            used.assign(self.network.non_trainable_variables, self._agreed(train, gradient.aux.statistics))
            return self.update_metrics(train, gradient.aux)

    def alpha_gradients(self, train, valid):
        """The gradient that moves the alphas; assigns nothing.

        Args: train, valid: batches (x, y) of images (B, H, W, C) and labels (B,); with sample weights (x, y, w).

        Returns:
            [d normal, d reduce], each (edges, ops): of L_valid(w, alpha) at order 1, else of
            L_valid(w - xi (m v + dL_train(w, alpha)/dw + l2 w), alpha), equation (7) of DARTS, at the weights'
            learning rate xi. Under a strategy, of the global batch.
        """
        if not self.compiled:
            self.compile()
        train, valid = tf.nest.map_structure(tf.convert_to_tensor, (tuple(train), tuple(valid)))
        with self.engine_in_use() as used:
            if tf.distribute.has_strategy():
                return self._alpha_gradients(train, valid)
            if self._compiled_alpha_gradients is None:
                self._compiled_alpha_gradients = {}
            if used.name not in self._compiled_alpha_gradients:
                self._compiled_alpha_gradients[used.name] = used.compile(self._alpha_gradients)
            return list(self._compiled_alpha_gradients[used.name](train, valid))

    def _alpha_gradients(self, train, valid, weights=None):
        used = engine.current()
        alphas = used.read(self.alphas)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(alphas)
            mix = self.mix(alphas)
        problem = Problem(
            engine=used, train=self.loss_of(train), valid=self.loss_of(valid),
            weights=used.read(self.network.trainable_variables) if weights is None else weights,
            mix=mix, virtual_step=self.virtual_step, rate=self.optimizer.learning_rate,
            remat=self.remat, loss_scale=optimizers.loss_scale(self.alpha_optimizer),
        )  # fmt: skip
        gradient = ALPHA_GRADIENTS[self.order, self.hvp](problem)
        return tape.gradient(mix, alphas, gradient, unconnected_gradients="zero")

    def weight_gradient(self, batch, weights=None):
        """dL/dw of a training batch at the current alphas, an `engine.Gradient` whose aux is a `ForwardPass`.

        Assigns nothing. weights: tensors w; None reads them.
        """
        used = engine.current()
        weights = used.read(self.network.trainable_variables) if weights is None else weights
        scale = optimizers.loss_scale(self.optimizer)
        mix = self.mix(used.read(self.alphas))
        return used.gradient(self.loss_of(batch), weights, mix, "weights", self.remat, loss_scale=scale)

    def virtual_step(self, weights, gradient):
        """w' = w - xi * (what the optimizer would follow): tensors, nothing assigned."""
        return optimizers.virtual_step(self.optimizer, gradient, self.network.trainable_variables, weights)

    def loss_of(self, batch):
        """The loss of a batch in training mode, as a function of (weights, mix) -> (scalar, `ForwardPass`)."""
        images, labels, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        statistics = engine.current().read(self.network.non_trainable_variables)

        def loss(weights, mix):
            moved = []

            def forward(images):
                logits, moved[:] = self.network.stateless_call(weights, statistics, images, mix, training=True)
                return logits

            def of_logits(logits):
                value = self.compute_loss(images, labels, logits, sample_weight)
                return global_part(value, ops.shape(images)[0], self.loss)

            logits = on_real_images(forward, images)
            value = engine.current().call(of_logits, logits)
            return value, ForwardPass(value, logits, moved)

        return loss

    def _agreed(self, batch, statistics):
        """Moved statistics that all replicas agree on: their mean."""
        shares = [keras.backend.is_float_dtype(value.dtype) for value in statistics]
        means = replica_mean([v for v, has in zip(statistics, shares, strict=True) if has], ops.shape(batch[0])[0])
        means = iter(means)
        return [next(means) if has else value for value, has in zip(statistics, shares, strict=True)]

    def update_metrics(self, batch, seen):
        """Updates the loss and the metrics with a training batch and its `ForwardPass`, and returns them by name."""
        images, labels, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        self.loss_tracker.update_state(replica_sum(seen.loss), sample_weight=ops.shape(images)[0])
        return self.compute_metrics(images, labels, seen.logits, sample_weight)

    def _symbolic_build(self, iterator=None, data_batch=None):
        pair = isinstance(data_batch[0], tuple | list)
        super()._symbolic_build(data_batch=data_batch[0] if pair else data_batch)

    def _symbolic_outputs(self):
        return keras.KerasTensor((None, self.settings["num_classes"]), self.network.classifier.compute_dtype)

    def mixing_weights(self):
        """[normal, reduce]: the softmax of the alphas as NumPy arrays (edges, ops)."""
        return [softmax(alpha) for alpha in self.alphas]

    def genotype(self):
        """The discrete cells that the alphas stand for now. DARTS, section 2.4."""
        return derive_genotype(
            *(ops.convert_to_numpy(a) for a in self.alphas), self.space.primitives, self.nodes
        )

    def get_config(self):
        space = {
            "name": self.space.name,
            "primitives": self.space.primitives,
            "pool_norm": self.space.pool_norm,
        }
        dtype = keras.dtype_policies.serialize(self.dtype_policy)
        return self.settings | {"space": space, "name": self.name, "dtype": dtype}

    def get_compile_config(self):
        config = super().get_compile_config()
        if not config:
            return config
        alpha_optimizer = keras.optimizers.serialize(self.alpha_optimizer)
        return config | {"alpha_optimizer": alpha_optimizer, "engine": self.engine_name}

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
