"""The supernet: DARTS's bilevel search as a Keras model."""

from collections import namedtuple

import keras
import tensorflow as tf
from keras import ops

from keras_pibnas import optimizers, packs, spaces
from keras_pibnas.distribution import ReplicatedMixin, global_part
from keras_pibnas.layers.replicas import on_real_images, replica_count, replica_sum
from keras_pibnas.search.check import check_pair, check_settings
from keras_pibnas.search.derive import derive_genotype, softmax
from keras_pibnas.search.dual import Directional, derivative_along
from keras_pibnas.search.edges import edge_count
from keras_pibnas.search.network import RelaxedNetwork
from keras_pibnas.search.traced import (
    frozen_weights,
    kept_in,
    once_there,
    recomputed_bundles,
    shared_functions,
    soon_started,
)

Seen = namedtuple("Seen", "loss logits state")


@keras.saving.register_keras_serializable("keras_pibnas")
class Supernet(ReplicatedMixin, keras.Model):
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
        remat: whether every gradient computes the cells' ops again instead of keeping what is inside them: about half
            the memory, for a quarter more time.

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
        stem="conv3x3", order=2, hvp="exact", seed=None, remat=False, **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        self.space = spaces.get(spaces.SearchSpace(**space) if isinstance(space, dict) else space)
        self.settings = check_settings(
            input_shape=input_shape, num_classes=num_classes, channels=channels, layers=layers, nodes=nodes, stem=stem,
            order=order, hvp=hvp, seed=seed, remat=remat,
        )  # fmt: skip
        self.nodes, self.order, self.hvp, self.remat = nodes, order, hvp, remat
        self.network = RelaxedNetwork(
            self.space,
            tuple(input_shape),
            num_classes,
            channels,
            layers,
            nodes,
            stem,
            name="network",
            dtype=self.dtype_policy,
        )
        self.alphas = [self._alpha(kind, offset, seed) for offset, kind in enumerate(("normal", "reduce"))]
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
        return self.network(images, packs.read(self.alphas), training=training)

    def compile(
        self, optimizer=None, alpha_optimizer=None, loss=None, metrics=None, auto_scale_loss=True, **kwargs
    ):
        """Configures the search; every default is DARTS's.

        Args:
            optimizer: of the weights; default `optimizers.SGD(0.025)`.
            alpha_optimizer: of the alphas; default `optimizers.Adam(3e-4)`.
            loss: of logits; default sparse categorical cross-entropy.
            metrics: as keras.Model.compile takes them; default ["accuracy"].
            auto_scale_loss: whether both optimizers scale the loss under mixed_float16 (`LossScaleOptimizer`).
            **kwargs: further arguments of keras.Model.compile.
        """
        optimizer = optimizers.SGD(0.025) if optimizer is None else optimizer
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if loss is None else loss
        metrics = ["accuracy"] if metrics is None else metrics
        super().compile(optimizer, loss=loss, metrics=metrics, auto_scale_loss=auto_scale_loss, **kwargs)
        alpha_optimizer = keras.optimizers.get(
            optimizers.Adam() if alpha_optimizer is None else alpha_optimizer
        )
        scaled = auto_scale_loss and self.scales_loss
        self.alpha_optimizer = optimizers.with_loss_scale(alpha_optimizer) if scaled else alpha_optimizer
        self.optimizer.build(self.network.trainable_variables)
        self.alpha_optimizer.build(self.alphas)
        self._traced_alpha_gradients = None

    def fit(self, *args, shuffle=False, **kwargs):
        """As keras.Model.fit, on a dataset of pairs; datasets shuffle themselves, and Keras warns where asked to."""
        return super().fit(*args, shuffle=shuffle, **kwargs)

    def train_step(self, data):
        """One round of Algorithm 1 on ((x, y), (x_valid, y_valid)); returns the metrics."""
        train, valid = check_pair(data)
        # 1. Move alpha down d/dalpha L_valid(w - xi * dL_train/dw, alpha).
        weights = packs.read(self.network.trainable_variables)
        optimizers.apply(self.alpha_optimizer, self._alpha_gradients(train, valid, weights), self.alphas)
        # 2. Move w down dL_train/dw, at the new alpha.
        alphas = packs.read(self.alphas)
        train = once_there(alphas, train)
        gradient, seen = self.weight_gradient(weights, alphas, train)
        optimizers.apply(self.optimizer, gradient, self.network.trainable_variables)
        packs.assign(self.network.non_trainable_variables, seen.state)
        return self.measure(train, seen)

    def alpha_gradients(self, train, valid):
        """The gradient that moves the alphas; assigns nothing.

        Args: train, valid: batches (x, y) of images (B, H, W, C) and labels (B,).

        Returns:
            [d normal, d reduce], each (edges, ops): of L_valid(w, alpha) at order 1, else of
            L_valid(w - xi (m v + dL_train(w, alpha)/dw + l2 w), alpha), equation (7) of DARTS, at the weights'
            learning rate xi.
        """
        if not self.compiled:
            self.compile()
        if replica_count() > 1:  # of the global batch, where a strategy runs this on the batches of its replicas
            return replica_sum(self._alpha_gradients(train, valid))
        if self._traced_alpha_gradients is None:
            self._traced_alpha_gradients = soon_started(self._alpha_gradients)
        to_tensors = tf.nest.map_structure(tf.convert_to_tensor, (tuple(train), tuple(valid)))
        return list(self._traced_alpha_gradients(*to_tensors))

    def _alpha_gradients(self, train, valid, weights=None):
        """Of what this replica adds to the global loss, like every gradient here but those that are summed."""
        weights = packs.read(self.network.trainable_variables) if weights is None else weights
        alphas = packs.read(self.alphas)
        scale = optimizers.loss_scale(self.alpha_optimizer)
        if self.order == 1:
            with frozen_weights():
                return self.loss_gradient(weights, alphas, valid, alphas, scale)[0]
        nested = self.hvp == "exact" and (tf.executing_eagerly() or replica_count() > 1)
        kept = [] if self.hvp == "exact" and not nested and not self.remat else None
        with tf.GradientTape(watch_accessed_variables=False) as tape, kept_in(kept):
            tape.watch(alphas if nested else [])
            gradient, _ = self.loss_gradient(weights, alphas, train, weights, scale)
        moved = self.virtual_step(weights, replica_sum(gradient))
        (direct, vector), _ = self.loss_gradient(moved, alphas, valid, [alphas, moved], scale)
        vector = replica_sum(vector)
        if nested:
            product = hessian_vector_product(tape, gradient, alphas, vector, scale)
        elif self.hvp == "exact":
            product = self.vector_product(weights, alphas, train, vector, scale, kept)
        else:
            product = self._finite_difference(weights, alphas, train, vector, scale)
        rate = ops.cast(self.optimizer.learning_rate, alphas[0].dtype)
        return [d - rate * p for d, p in zip(direct, product, strict=True)]

    def virtual_step(self, weights, gradient):
        """w' = w - xi * (what the optimizer would follow): tensors, nothing assigned."""
        return optimizers.virtual_step(self.optimizer, gradient, self.network.trainable_variables, weights)

    def vector_product(self, weights, alphas, batch, vector, scale=None, kept=None):
        """As `hessian_vector_product`, from one pass forward and one back.

        Forward go values and their derivatives along v, side by side; back goes the gradient by alpha of the loss's
        derivative. Nested tapes compute a third more, or keep all that the first gradient has computed. In a graph, on
        one device.

        Args: weights, vector: a tensor for each weight; alphas, batch: as `loss_gradient`; scale: the loss's, or None;
        kept: what `traced.kept_in` got from a pass with the same weights, alphas and batch; None to compute it again.

        Returns: [d normal, d reduce], each (edges, ops).
        """
        length, scale = (None, 1.0) if scale is None else (tf.maximum(tf.linalg.global_norm(vector), 1e-30), scale)
        direction = vector if length is None else [v / length for v in vector]
        with tf.GradientTape(watch_accessed_variables=False) as tape, recomputed_bundles(self.remat):
            tape.watch(alphas)
            slope = self.slope(weights, direction, alphas, batch, kept) * scale
        product = tape.gradient(slope, alphas, unconnected_gradients="zero")
        return product if length is None else [p * (length / scale) for p in product]

    def _finite_difference(self, weights, alphas, train, vector, scale):
        """d/dalpha of dL_train/dw v: DARTS, equation (8), with radius r = 0.01 / |v|."""
        radius = 0.01 / tf.linalg.global_norm(vector)

        def gradient(sign, batch):
            moved = [w + sign * radius * v for w, v in zip(weights, vector, strict=True)]
            with frozen_weights():
                return self.loss_gradient(moved, alphas, batch, alphas, scale)[0]

        plus = gradient(1.0, train)
        minus = gradient(-1.0, once_there(plus, train))
        return [(p - m) / (2.0 * radius) for p, m in zip(plus, minus, strict=True)]

    def weight_gradient(self, weights, alphas, batch):
        """(dL/dw at those weights and alphas, what was `Seen`); assigns nothing."""
        return self.loss_gradient(weights, alphas, batch, weights, optimizers.loss_scale(self.optimizer))

    def loss_gradient(self, weights, alphas, batch, sources, scale=None):
        """(Gradient of the loss by the sources, what was `Seen`); assigns nothing. scale: the loss's on the way."""
        with tf.GradientTape(watch_accessed_variables=False) as tape, recomputed_bundles(self.remat):
            tape.watch(sources)
            seen = self.see(weights, alphas, batch)
            loss = seen.loss if scale is None else seen.loss * scale
        gradient = tape.gradient(loss, sources, unconnected_gradients="zero")
        for part, source in zip(tf.nest.flatten(gradient), tf.nest.flatten(sources), strict=True):
            part.set_shape(source.shape)  # traced bundles leave numbers of channels open
        if scale is not None:
            gradient = tf.nest.map_structure(lambda g: g / scale, gradient)
        return gradient, seen

    def see(self, weights, alphas, batch):
        """Loss, logits and moved statistics of a batch in training mode, as functions of weights and alphas."""
        images, labels = batch
        state = packs.read(self.network.non_trainable_variables)
        moved = []

        def logits_of(images):
            logits, moved[:] = self.network.stateless_call(weights, state, images, alphas, training=True)
            return logits

        logits = on_real_images(logits_of, images)
        loss = self.compute_loss(images, labels, logits)
        return Seen(global_part(loss, ops.shape(images)[0], self.loss), logits, moved)

    def slope(self, weights, direction, alphas, batch, kept=None):
        """The loss's derivative along a direction, a tensor for each weight: a scalar; assigns nothing.

        kept: as for `vector_product`.
        """
        images, labels = batch
        state = packs.read(self.network.non_trainable_variables)
        run = Directional(self.network.run, self.network.trainable_variables, weights, direction, kept)
        logits, _ = self.network.stateless_call(weights, state, images, alphas, training=True, run=run)
        loss_of = lambda logits: self.compute_loss(images, labels, logits)  # noqa: E731
        return derivative_along(loss_of, [logits.value], [logits.tangent]).tangent

    def measure(self, batch, seen):
        """Updates the loss and the metrics with a training batch, and returns them by name."""
        images, labels = batch
        self._loss_tracker.update_state(replica_sum(seen.loss), sample_weight=ops.shape(images)[0])
        return self.compute_metrics(images, labels, seen.logits)

    def make_train_function(self, force=False):
        """As Keras's, but that its graph is ready sooner."""
        if self.train_function is not None and not force:
            return self.train_function
        plain = self._distribute_strategy is None and self.steps_per_execution == 1
        if plain and not self.run_eagerly and not self.jit_compile:
            on_iterator = soon_started(lambda iterator: self.train_step(iterator.get_next()))
            on_data = soon_started(self.train_step)
            self.train_function = lambda iterator: (
                on_iterator(iterator) if isinstance(iterator, tf.data.Iterator) else on_data(next(iterator))
            )  # train_on_batch gives a generator
            return self.train_function
        super().make_train_function(force)
        step = self.train_function

        def train_function(iterator):
            with shared_functions():
                return step(iterator)

        self.train_function = train_function
        return self.train_function

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
        return config and config | {"alpha_optimizer": keras.optimizers.serialize(self.alpha_optimizer)}

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))


def hessian_vector_product(tape, gradient, alphas, vector, scale=None):
    """d/dalpha of dL_train/dw v: the second-order term of DARTS, equation (7), without the learning rate.

    tape has recorded how the gradient by the weights follows from alphas. Under a loss scale the direction v gets
    length 1 on the way, and the scale that the gradient was computed with: then what passes through the network's
    narrow floats is as large as activations and their scaled gradients are.
    """
    if scale is None:
        return tape.gradient(gradient, alphas, vector, unconnected_gradients="zero")
    stretch = scale / tf.maximum(tf.linalg.global_norm(vector), 1e-30)
    vector = [stretch * v for v in vector]
    return [p / stretch for p in tape.gradient(gradient, alphas, vector, unconnected_gradients="zero")]
