"""The relaxed cell."""

from typing import NamedTuple

import keras
from keras import ops, tree

from keras_pibnas import engine
from keras_pibnas.engine.kernels import add_n, concatenate, halved, split
from keras_pibnas.layers import preprocess
from keras_pibnas.layers.blocks import shuffle
from keras_pibnas.search.edges import bundles_of, node_rows
from keras_pibnas.search.mixed import MixedBundle


class RelaxedCell(keras.layers.Layer):
    """A cell with every op on every edge. DARTS, section 2.

    Args: space: SearchSpace; plan: topology.CellPlan; cell: CellSpec, what is allowed on its edges; family: as
    `MixedBundle`; extra: names of ops that edges have beyond the space's; partial: K.
    Call arguments: previous (the outputs of the two cells before, (B, H, W, C) each); mix (`bundle_weights` of the
    cell's op weights); training. Returns (B, H', W', nodes * channels).
    """

    def __init__(self, space, plan, cell, family=None, extra=(), partial=1, **kwargs):
        super().__init__(autocast=False, **kwargs)  # mix stays float32, whatever floats the images have
        self.space, self.plan, self.nodes, self.family, self.partial = space, plan, cell.nodes, family, partial
        self.seen = plan.channels // partial  # channels that the ops see
        dtype = self.dtype_policy
        channels = plan.channels
        self.preprocess_0 = preprocess(
            channels, plan.in_channels_prev_prev, plan.reduction_prev, False, dtype=dtype
        )
        self.preprocess_1 = preprocess(channels, plan.in_channels_prev, False, False, dtype=dtype)
        self.edges, self.allowed = bundles_of(cell), cell.allowed
        self.passing = self.allowed.any(axis=1)  # edges that partial channels' bypass is on
        more = dict(enumerate(extra, len(space.primitives)))
        self.bundles = [
            MixedBundle(
                space, {column: space.primitives[column] for column in bundle.columns} | more, self.seen,
                self._strides(bundle.source), len(bundle.rows), family, dtype=dtype,
            )
            for bundle in self.edges
        ]  # fmt: skip

    def _strides(self, source):
        return 2 if self.plan.reduction and source < 2 else 1

    def build(self, input_shape):
        first, second = input_shape
        for layer, shape in ((self.preprocess_0, first), (self.preprocess_1, second)):
            layer.build(shape)
            layer.built = True
        shape = self.preprocess_1.compute_output_shape(second)
        inner = tuple(-(-side // 2) for side in shape[1:3]) if self.plan.reduction else shape[1:3]
        for bundle, edges in zip(self.bundles, self.edges, strict=True):
            sides = shape[1:3] if edges.source < 2 else inner
            bundle.build((shape[0], *sides, self.seen))
            bundle.built = True

    def call(self, previous, mix, training=False):
        call = engine.current().call
        states = list(call(Preprocessing(self), previous, weights=None, training=training))
        arrived = [[] for _ in range(self.nodes)]
        for source in range(1 + self.nodes):
            for bundle, edges, weights in zip(self.bundles, self.edges, mix.bundles, strict=True):
                if edges.source == source:
                    x = states[source] if self.partial == 1 else call(self._seen, states[source])
                    outputs = call(bundle, x, weights=weights, training=training)
                    for node, output in zip(edges.nodes, outputs, strict=True):
                        arrived[node].append(output)
            if source:  # now all edges into node source - 1 have been computed
                node = _each(add_n, arrived[source - 1])
                states.append(node if self.partial == 1 else self._with_bypass(call, node, states, mix.rows))
        return _each(concatenate, states[2:])

    def _seen(self, x):
        return x[..., : self.seen]

    def _with_bypass(self, call, node, states, rows):
        """The state of a node, (B, H, W, C): the outputs of its edges' ops and the bypassed channels, shuffled.

        shuffle(concatenation of both), with channels viewed as (K, C / K) and transposed. PC-DARTS.
        """
        own = node_rows(len(states) - 2)
        sources = [source for source, row in enumerate(own) if self.passing[row]]

        def joined(node, *states):
            triples = zip(sources, states, strict=True)
            parts = [ops.cast(rows[own[source]][-1], x.dtype) * self._bypass(x, source) for source, x in triples]
            return shuffle(concatenate([node, add_n(parts)]), 1, self.partial)

        return call(joined, node, *(states[source] for source in sources))

    def _bypass(self, x, source):
        rest = x[..., self.seen :]
        return rest if self._strides(source) == 1 else halved(rest)

    def compute_output_shape(self, previous):
        shape = self.preprocess_1.compute_output_shape(previous[1])
        sides = tuple(-(-side // 2) for side in shape[1:3]) if self.plan.reduction else shape[1:3]
        return (shape[0], *sides, self.nodes * self.plan.channels)


def _each(function, parts):
    """A linear function of tensors; an engine may pass pairs of a value and its derivative, and it is for each side."""
    return tree.map_structure(lambda *tensors: function(tensors), *parts)


class CellWeights(NamedTuple):
    """The op weights of a kind of cell.

    Attributes: bundles: for each bundle, those of its edges, (E, ops); rows: for each edge, (ops,).
    """

    bundles: list
    rows: list


def bundle_weights(mix, edges):
    """(edges, ops) -> CellWeights. Args: edges: `bundles_of` the cell."""
    rows = ops.unstack(mix, axis=0)
    return CellWeights([ops.stack([rows[index] for index in bundle.rows]) for bundle in edges], rows)


class Preprocessing:
    """The two layers that a cell's inputs go through: (two tensors) -> states 0 and 1. To an engine, like a bundle."""

    any_width, strides = True, 1

    def __init__(self, cell):
        self.layers, self.family = (cell.preprocess_0, cell.preprocess_1), cell.family
        self.synchronizes = cell.bundles[0].synchronizes

    @property
    def trainable_variables(self):
        return [variable for layer in self.layers for variable in layer.trainable_variables]

    @property
    def non_trainable_variables(self):
        return [variable for layer in self.layers for variable in layer.non_trainable_variables]

    def __call__(self, previous, weights=None, training=False):
        return self.outputs(self.total(self.inputs(previous), training))

    def inputs(self, previous, weights=None):
        return {"x": previous[0], "other": previous[1]}

    def total(self, inputs, training):
        return concatenate([f(x, training=training) for f, x in zip(self.layers, inputs.values(), strict=True)])

    def outputs(self, total):
        return split(total, 2)

    def compute_output_shape(self, previous):
        shape = self.layers[1].compute_output_shape(previous[1])
        return (*shape[:-1], 2 * shape[-1])
