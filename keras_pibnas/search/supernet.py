"""The supernet: DARTS's bilevel search as a Keras model."""

from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_pibnas import engine, optimizers, spaces
from keras_pibnas.distribution import CompiledStepMixin, global_part
from keras_pibnas.engine.interface import value_of
from keras_pibnas.engine.replicas import on_real_images, replica_mean, replica_sum
from keras_pibnas.keras_private import all_layers
from keras_pibnas.layers.dropped_identity import dropped_identities
from keras_pibnas.methods import ALPHA_STEP, PERTURBATION, WEIGHT_STEP, Method, Projected, cells_of
from keras_pibnas.methods.projection import Decided
from keras_pibnas.search.architecture import Architecture, resolve
from keras_pibnas.search.averages import finalized_together, with_architecture
from keras_pibnas.search.check import check_edges, check_nodes, check_pair, check_settings
from keras_pibnas.search.derive import softmax
from keras_pibnas.search.evaluation import SharedWeights
from keras_pibnas.search.gradients import ALPHA_GRADIENTS, Problem
from keras_pibnas.search.network import RelaxedNetwork
from keras_pibnas.search.pairs import fit_arguments, weighted
from keras_pibnas.search.progress import SearchProgress, with_first
from keras_pibnas.search.saved import SavedSupernet
from keras_pibnas.search.skip_dropout import SkipDropout
from keras_pibnas.training.batches import check_batch, with_images


@dataclass(frozen=True)
class ForwardPass:
    """A pass through the network in training mode.

    Attributes: loss: its term of the global batch's loss, a scalar; logits: (B, num_classes); statistics: a
    tensor for each of the network's non-trainable variables, moved by the batch.
    """

    loss: Any
    logits: Any
    statistics: list


@keras.saving.register_keras_serializable("keras_pibnas")
class Supernet(SharedWeights, SavedSupernet, CompiledStepMixin, keras.Model):
    """Searches a cell: `fit` on pairs of training and validation batches moves alphas and weights in turn.

    DARTS (Liu et al., 2019), Algorithm 1, over any registered search space, the PIBConv paper's among them.

    Args:
        space: name of a search space (`spaces.names()`), of a JSON file of one (`spaces.load`), or a SearchSpace.
        input_shape: (height, width, channels) of the images.
        num_classes: number of logits.
        channels: C of a node in the first cell, even.
        layers: number of cells, at least 2; None: 8, or in NAS-Bench-201's chain of cells and residual blocks 17.
        nodes: number of nodes in a cell, 1 to 8; None: the space's own, 4 in those of DARTS.
        stem: "conv3x3", "patchify" (4x4 convolution of stride 4), or "imagenet" (three of stride 2; sides from 64).
        order: 2 differentiates through one step of the weights; 1 takes the current weights for the trained ones.
        hvp: the second-order term; "exact", or "finite_difference" as published, which crosses kinks
            of ReLU and max pooling and is far off there.
        seed: of the alphas' initial values, or None.
        remat: whether every gradient computes the cells' ops again instead of storing what is inside them: about half
            the memory, for a quarter more time (gradient checkpointing).
        method: name of a method (`methods.names()`) or a Method: how alphas become op weights, and what hangs on it.
        synchronized: whether batch normalization under a distribution strategy uses the statistics of the global batch,
            so that several devices equal one; otherwise each replica uses its own images', as in Keras and PyTorch.
        learnable_bn: whether the batch normalizations of ops have gamma and beta, as PIBConv's code may search.

    Raises:
        ValueError: names the argument, its value and what would be right.

    Example:
        >>> supernet = kp.Supernet("darts", (8, 8, 1), num_classes=2, channels=2, layers=2, nodes=1, order=1, seed=0)
        >>> supernet.compile(metrics=["accuracy"])  # then: supernet.fit(kp.data.bilevel(train, valid), epochs=50)
        >>> [alpha.shape for alpha in supernet.alphas], supernet.genotype().nodes
        ([TensorShape([2, 8]), TensorShape([2, 8])], 1)
    """

    def __init__(
        self,
        space: str | spaces.SearchSpace = "pibconv",
        input_shape: tuple[int, int, int] = (32, 32, 3),
        num_classes: int = 10,
        channels: int = 16,
        layers: int | None = None,
        nodes: int | None = None,
        stem: str = "conv3x3",
        order: int = 2,
        hvp: str = "exact",
        seed: int | None = None,
        remat: bool = False,
        method: str | Method = "darts",
        synchronized: bool = False,
        learnable_bn: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.space = spaces.get(spaces.SearchSpace(**space) if isinstance(space, dict) else space)
        cell = self.space.cell(check_nodes(nodes))
        nodes, layers = cell.nodes, cell.layers if layers is None else layers
        self.settings = check_settings(
            cell, input_shape=input_shape, num_classes=num_classes, channels=channels, layers=layers, nodes=nodes,
            stem=stem, order=order, hvp=hvp, seed=seed, remat=remat, synchronized=synchronized,
            learnable_bn=learnable_bn,
        )  # fmt: skip
        self.nodes, self.order, self.hvp, self.remat = nodes, order, hvp, remat
        self.method, found = method, resolve(method)
        found.check_channels(channels)
        self.relaxed = Architecture.of(
            found, cells_of(self.space, nodes), input_shape=tuple(input_shape), num_classes=num_classes, stem=stem
        )
        check_edges(self.relaxed.narrow)
        extra = {kind: self.relaxed.extra_ops(kind) for kind in cell.kinds}
        self.network = RelaxedNetwork(
            SkipDropout(self.space) if found.drops_skips else self.space, tuple(input_shape), num_classes, channels,
            layers, self.relaxed.narrow, stem, synchronized, learnable_bn, extra, found.partial, name="network",
            dtype=self.dtype_policy,
        )  # fmt: skip
        wide = "float64" if self.dtype_policy.compute_dtype == "float64" else "float32"
        self.architecture = [
            self.add_weight(name=name, shape=shape, initializer=start, dtype=wide, autocast=False)
            for name, shape, start in self.relaxed.initial(seed)
        ]
        self.progress = tf.Variable(0.0, trainable=False, dtype=wide)  # finished epochs / epochs
        for number, layer in enumerate(dropped_identities(self.network)):
            layer.set(found.skip_dropout.value(0.0), ((seed or 0) % 2**10) * 2**13 + number)
        self.engine_name, self._rests, self._mix_test_functions = None, None, {}
        self.built = True

    @property
    def alphas(self):
        """[normal, reduce], variables (edges, ops); [normal] where residual blocks reduce."""
        return self.architecture[: len(self.relaxed.cells)]

    def call(self, images, training=False):
        """Logits (B, num_classes) of images (B, H, W, C) at the current architecture, without noise."""
        check_batch(images, self.image_shape)
        with self.engine_in_use():
            if self._given_mix is not None:
                mix = [tf.convert_to_tensor(rows) for rows in self._given_mix]
                if self._batch_statistics:
                    return self._with_batch_statistics(images, mix)
            else:
                variables = [value_of(variable) for variable in self.architecture]
                mix = self.relaxed.mix(variables, self.relaxed.no_noise, self.progress)
                mix = self.relaxed.complete(mix, variables, self.progress)
            return self.network(images, mix, training=training)

    def compile(
        self, optimizer=None, alpha_optimizer=None, loss=None, metrics=None, engine=None, auto_scale_loss=True, **kwargs
    ):  # fmt: skip
        """Configures the search; every default is DARTS's.

        Args:
            optimizer: of the weights; default `optimizers.SGD(0.025)`.
            alpha_optimizer: of the architecture; default the one that its method needs, or `optimizers.Adam(3e-4)`.
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
        default = self.relaxed.method.relaxation.optimizer() or optimizers.Adam()
        alpha_optimizer = keras.optimizers.get(default if alpha_optimizer is None else alpha_optimizer)
        scaled = auto_scale_loss and self.scales_loss
        self.alpha_optimizer = optimizers.with_loss_scale(alpha_optimizer) if scaled else alpha_optimizer
        with self.engine_in_use() as used, used.building():
            self.optimizer.build(self.network.trainable_variables)
            self.alpha_optimizer.build(self.architecture)
        self._compiled_alpha_gradients, self._mix_test_functions = None, {}

    def _use_engine(self, name):
        with engine.use(name):  # or a ValueError
            self.engine_name = name

    def engine_in_use(self):
        return engine.use(self.engine_name) if self.engine_name else super().engine_in_use()

    def fit(self, *args, **kwargs):
        """As keras.Model.fit, on pairs of training and validation batches (`kp.data.bilevel`), or on arrays.

        fit(x, y, validation_split=0.5) moves the weights on the first half and the architecture on the last one, which
        is validated on, too; fit((x, y), (x_valid, y_valid)) pairs arrays of any lengths. Batches may have sample
        weights, (x, y, w); class_weight holds for both losses.

        Raises:
            ValueError: other data than that, or images of another shape than the model's.
        """
        given = fit_arguments(self, args, kwargs)
        callbacks = with_architecture(given.get("callbacks"), self)
        given["callbacks"] = with_first(SearchProgress(given.get("epochs", 1)), callbacks)
        with finalized_together(self):
            return super().fit(**given)

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """As keras.Model.train_on_batch, on a training batch x and a validation batch y, each (x, y) or (x, y, w)."""
        if class_weight is not None:
            x, y = (weighted(batch, class_weight) for batch in check_pair((x, y)))
        return super().train_on_batch(x, y, sample_weight, return_dict=return_dict)

    @property
    def image_shape(self):
        """(H, W, C) of the images that the supernet takes."""
        return self.settings["input_shape"]

    def train_step(self, data):
        """One round of Algorithm 1 on ((x, y), (x_valid, y_valid)); returns the metrics."""
        train, valid = (with_images(batch, self.image_shape) for batch in check_pair(data))
        with self.engine_in_use() as used:
            weights = used.read(self.network.trainable_variables)
            if self._rests:
                gradient = self.weight_gradient(train, weights)
            elif self.relaxed.method.update == "single":
                gradient, slopes = self._single_gradients(train, weights)
                self._move_architecture(slopes)
            else:
                # 1. Move alpha down d/dalpha L_valid(w - xi * dL_train/dw, alpha).
                self._move_architecture(self._alpha_gradients(train, valid, weights))
                # 2. Move w down dL_train/dw, at the new alpha.
                gradient = self.weight_gradient(train, weights)
            optimizers.apply(self.optimizer, gradient.value, self.network.trainable_variables)
            used.assign(self.network.non_trainable_variables, self._agreed(train, gradient.aux.statistics))
            return self.update_metrics(train, gradient.aux)

    def make_train_function(self, force=False):
        """As Keras's; a step in which the architecture rests, and which needs no gradient by it, is traced apart."""
        rest = self.relaxed.method.rest
        if not rest or (self.train_function is not None and not force):
            return super().make_train_function(force)
        steps = {}
        for rests in (True, False):
            super().make_train_function(force=True)
            steps[rests] = self.train_function

        def step(iterator):
            self._rests = bool(self.progress.read_value() < rest)
            try:
                return steps[self._rests](iterator)
            finally:
                self._rests = None

        self.train_function = step
        return step

    def _move_architecture(self, gradient):
        """Moves it down a gradient; where the step does not know whether it rests, not its values while it does."""
        rest = self.relaxed.method.rest if self._rests is None else 0.0
        held = [*self.architecture, *self.alpha_optimizer.variables] if rest else []
        before = [value_of(variable) for variable in held]
        pairs = zip(gradient, self.architecture, strict=True)
        moving = [(slope, variable) for slope, variable in pairs if variable.trainable]  # the others are frozen
        optimizers.apply(self.alpha_optimizer, *map(list, zip(*moving, strict=True)) if moving else ([], []))
        for variable, value in zip(held, before, strict=True):
            variable.assign(ops.where(self.progress < rest, value, value_of(variable)))

    def _seed(self, use):
        """The seed of a step's noise: (seed, step, use)."""
        return self.settings["seed"] or 0, value_of(self.optimizer.iterations), use

    def alpha_gradients(self, train, valid):
        """The gradient that moves the architecture, penalties included; assigns nothing.

        Args: train, valid: batches (x, y) of images (B, H, W, C) and labels (B,); with sample weights (x, y, w).

        Returns:
            A tensor for each variable of `architecture`, of DARTS [d normal, d reduce], each (edges, ops): the gradient
            of L_valid(w, alpha) at order 1, else of L_valid(w - xi (m v + dL_train(w, alpha)/dw + l2 w), alpha),
            equation (7) of DARTS, at the weights' learning rate xi. Under a strategy, of the global batch.
        """
        if not self.compiled:
            self.compile()
        train, valid = (with_images(tuple(batch), self.image_shape) for batch in (train, valid))
        train, valid = tf.nest.map_structure(tf.convert_to_tensor, (train, valid))
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
        if self.relaxed.method.update == "single":
            return self._single_gradients(train, weights)[1]
        variables, mix, pull_back = self._mix_of_step(ALPHA_STEP)
        problem = Problem(
            engine=used, train=self.loss_of(train), valid=self.loss_of(valid),
            weights=used.read(self.network.trainable_variables) if weights is None else weights,
            mix=mix, virtual_step=self.virtual_step, rate=self.optimizer.learning_rate,
            remat=self.remat, loss_scale=optimizers.loss_scale(self.alpha_optimizer),
        )  # fmt: skip
        return pull_back(ALPHA_GRADIENTS[self.order, self.hvp](problem))

    def _mix_of_step(self, use):
        """(Variables, op weights with noise, (gradient by these) -> gradient by the variables, penalties included)."""
        variables = engine.current().read(self.architecture)
        noise = self.relaxed.noise(self._seed(use))
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            mix = self.relaxed.mix(variables, noise, self.progress)
            mix = self.relaxed.complete(mix, variables, self.progress)
            penalty = self.relaxed.penalty(variables, noise, self.progress)

        def pull_back(gradient):
            targets, cotangents = list(mix), list(gradient)
            if penalty is not None:
                targets, cotangents = [*targets, penalty], [*cotangents, tf.ones_like(penalty)]
            return tape.gradient(targets, variables, cotangents, unconnected_gradients="zero")

        return variables, mix, pull_back

    def _single_gradients(self, batch, weights=None):
        """Both gradients from one pass: (an `engine.Gradient` by the weights, the gradient by the architecture)."""
        used = engine.current()
        weights = used.read(self.network.trainable_variables) if weights is None else weights
        _, mix, pull_back = self._mix_of_step(WEIGHT_STEP)
        scale = optimizers.loss_scale(self.optimizer)
        both = used.gradient(self.loss_of(batch), weights, mix, ("weights", "mix"), self.remat, loss_scale=scale)
        return engine.Gradient(both.value[0], both.aux), pull_back(both.value[1])

    def weight_gradient(self, batch, weights=None):
        """dL/dw of a training batch at the current alphas, an `engine.Gradient` whose aux is a `ForwardPass`.

        Assigns nothing. weights: tensors w; None reads them.
        """
        used = engine.current()
        weights = used.read(self.network.trainable_variables) if weights is None else weights
        scale, loss = optimizers.loss_scale(self.optimizer), self.loss_of(batch)

        def gradient(mix, wrt):
            return used.gradient(loss, weights, mix, wrt, self.remat, loss_scale=scale)

        variables = used.read(self.architecture)
        noise = self.relaxed.noise(self._seed(WEIGHT_STEP))
        mix, further = self.relaxed.mix(variables, noise, self.progress), ()
        if self.relaxed.method.perturbation is not None:
            further = self.relaxed.method.perturbation.noise(self.relaxed.cells, self._seed(PERTURBATION))
        mix = self.relaxed.perturbed(mix, variables, further, self.progress, lambda mix: gradient(mix, "mix").value)
        return gradient(mix, "weights")

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
                return global_part(value, ops.shape(images)[0], self.loss, sample_weight)

            logits = on_real_images(forward, images)
            value = engine.current().call(of_logits, logits)
            return value, ForwardPass(value, logits, moved)

        return loss

    def _agreed(self, batch, statistics):
        """Moved statistics that all replicas agree on: their mean. What is frozen has not moved."""
        frozen = {id(v) for layer in all_layers(self.network) if not layer.trainable for v in layer.variables}
        moved = [id(v) not in frozen for v in self.network.non_trainable_variables]
        shares = [m and keras.backend.is_float_dtype(s.dtype) for m, s in zip(moved, statistics, strict=True)]
        means = replica_mean([v for v, has in zip(statistics, shares, strict=True) if has], ops.shape(batch[0])[0])
        means = iter(means)
        return [next(means) if has else value for value, has in zip(statistics, shares, strict=True)]

    def update_metrics(self, batch, forward):
        """Updates the loss and the metrics with a training batch and its `ForwardPass`, and returns them by name."""
        images, labels, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        self.loss_tracker.update_state(replica_sum(forward.loss), sample_weight=ops.shape(images)[0])
        return self.compute_metrics(images, labels, forward.logits, sample_weight)

    def _symbolic_build(self, iterator=None, data_batch=None):
        pair = isinstance(data_batch[0], tuple | list)
        super()._symbolic_build(data_batch=data_batch[0] if pair else data_batch)

    def _symbolic_outputs(self):
        return keras.KerasTensor((None, self.settings["num_classes"]), self.network.classifier.compute_dtype)

    def op_weights(self):
        """[normal, reduce]: the op weights without noise, NumPy arrays (edges, ops)."""
        variables = [value_of(variable) for variable in self.architecture]
        mix = self.relaxed.mix(variables, self.relaxed.no_noise, self.progress)
        return [ops.convert_to_numpy(rows) for rows in mix]

    def allowed_alphas(self):
        """{kind of cell: alphas as an array (edges, ops)}, with -1e30 where space or method do not allow the op."""
        pairs = zip(self.relaxed.narrow, self.alphas, strict=True)
        return {
            cell.kind: np.where(cell.allowed, ops.convert_to_numpy(alpha), -1e30).astype("float32")
            for cell, alpha in pairs
        }

    def mixing_weights(self):
        """[normal, reduce]: the softmax of the alphas as NumPy arrays (edges, ops)."""
        return [softmax(alpha) for alpha in self.alphas]

    def genotype(self):
        """The discrete cells that the architecture stands for now: by DARTS, section 2.4, or as its method says."""
        return self.relaxed.method.discretization(self.relaxed.scores(self.architecture), self.space, self.nodes)

    def fix_edges(self, fixed):
        """Decides edges: from now on the op weights of each are the one-hot of an op, or 0.

        The first call has functions traced anew, later ones do not.

        Args: fixed: (kind, row, op) triples, as of `methods.Projected`: all decisions that hold.

        Raises:
            ValueError: an edge or an op that the cells have not got.
        """
        method, bound = resolve(self.method), self.relaxed.method
        inner = method.relaxation.inner if isinstance(method.relaxation, Projected) else method.relaxation
        projected = Projected(inner, tuple(fixed))
        if not isinstance(bound.relaxation, Decided):
            with self.distribute_strategy.scope():
                decided = Decided(projected.inner, self.relaxed.cells, self.architecture[0].dtype)
            self.relaxed = replace(self.relaxed, method=replace(bound, relaxation=decided))
            self.train_function = self.test_function = self.predict_function = None
            self._compiled_alpha_gradients, self._mix_test_functions = None, {}
        self.relaxed.method.relaxation.decide(fixed, self.relaxed.cells)
        self.method = replace(method, relaxation=projected)
