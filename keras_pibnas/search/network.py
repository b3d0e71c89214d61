"""The relaxed network: all cells of the supernet, as a function of images and op weights."""

import keras
from keras import ops, tree

from keras_pibnas import engine, topology
from keras_pibnas.layers import ResidualBlock
from keras_pibnas.layers.batch_norm import BatchNorm, synchronizing
from keras_pibnas.layers.imagenet import make_stems
from keras_pibnas.layers.op import uniform
from keras_pibnas.search.cell import RelaxedCell, bundle_weights
from keras_pibnas.search.edges import bundles_of


class Family:
    """Marks the cells and bundles of one network: those of one class differ in nothing but sizes."""


class RelaxedNetwork(keras.Model):
    """Stem, cells, average over the image, linear classifier. Its trainable variables are exactly the weights w.

    Args: as `Supernet`; cells: the kinds of cells, CellSpec, what is allowed on their edges; extra: {kind: names of ops
    that edges have beyond the space's}; partial: K, the ops of an edge see the first C / K channels.
    Call arguments: images (B, H, W, C); mix: the op weights [normal, reduce], float32, each (edges, columns): a column
    for each of the space's ops and of the extra ones, and with partial > 1 one for the bypass; training.
    Returns: logits (B, num_classes), float32 or wider.
    """

    def __init__(
        self, space, input_shape, num_classes, channels, layers, cells, stem, synchronized=False, learnable_bn=False,
        extra=None, partial=1, **kwargs,
    ):  # fmt: skip
        super().__init__(autocast=False, **kwargs)  # op weights stay float32, whatever floats the images have
        dtype, family = self.dtype_policy, Family()
        kinds, extra = {cell.kind: cell for cell in cells}, extra or {}
        self.cell_inputs, self.edges = cells[0].inputs, {cell.kind: bundles_of(cell) for cell in cells}
        channels_of_stem = topology.stem_channels(stem, channels, cells[0].inputs)
        with synchronizing(synchronized):
            self.stem, *self.further_stems = make_stems(stem, channels_of_stem, dtype)
            plans = topology.network_plan(cells[0].topology, layers, channels, stem)
            self.cells = [
                ResidualBlock(plan.channels, dtype=dtype, name=f"cell_{plan.index}") if plan.kind is None else
                RelaxedCell(
                    space, plan, kinds[plan.kind], learnable_bn, family, extra.get(plan.kind, ()), partial, dtype=dtype,
                    name=f"cell_{plan.index}",
                )
                for plan in plans
            ]  # fmt: skip
            self.last_norm = BatchNorm(dtype=dtype, name="last_norm") if self.cell_inputs == 1 else None
            features = plans[-1].out_channels
            wide = "float64" if dtype.compute_dtype == "float64" else "float32"
            start = uniform(features)
            self.classifier = keras.layers.Dense(
                num_classes, kernel_initializer=start, bias_initializer=start, dtype=wide, name="classifier"
            )
            with engine.current().building():
                self._build_all((None, *input_shape), features)

    def _build_all(self, shape, features):
        shapes = [shape]
        for stem in (self.stem, *self.further_stems):
            stem.build(shapes[-1])
            stem.built = True
            shapes.append(stem.compute_output_shape(shapes[-1]))
        shapes = self._states(shapes[1:])
        for cell in self.cells:
            cell.build(shapes if isinstance(cell, RelaxedCell) else shapes[-1])
            cell.built = True
            output = cell.compute_output_shape(shapes if isinstance(cell, RelaxedCell) else shapes[-1])
            shapes = (*shapes[1:], output)
        if self.last_norm is not None:
            self.last_norm.build((None, features))
            self.last_norm.built = True
        self.classifier.build((None, features))
        self.built = True

    def _states(self, stems):
        """What the first cell reads, of what each stem gives."""
        return tuple(stems[-self.cell_inputs :] if len(stems) > 1 else stems * self.cell_inputs)

    def call(self, images, mix, training=False):
        call = engine.current().call
        pairs = zip(mix, self.edges.items(), strict=True)
        mix = {kind: bundle_weights(ops.convert_to_tensor(weights), edges) for weights, (kind, edges) in pairs}
        outputs = [ops.cast(images, self.compute_dtype)]
        for stem in (self.stem, *self.further_stems):
            outputs.append(call(stem, outputs[-1], training=training))
        states = self._states(outputs[1:])
        for cell in self.cells:
            if isinstance(cell, RelaxedCell):
                output = cell(states, mix=mix[cell.plan.kind], training=training)
            else:
                output = call(cell, states[-1], training=training)
            states = (*states[1:], output)
        last = states[-1]
        if self.last_norm is not None:
            last = call(ops.relu, call(self.last_norm, last, training=training))
        return call(self.classifier, tree.map_structure(self._features, last))

    def _features(self, images):
        return ops.mean(ops.cast(images, self.classifier.compute_dtype), axis=(1, 2))
