"""The relaxed cell."""

from typing import NamedTuple

import keras
from keras import ops, tree

from keras_pibnas import engine
from keras_pibnas.engine.kernels import add_n, concatenate, halved
from keras_pibnas.layers import preprocess
from keras_pibnas.layers.blocks import shuffle
from keras_pibnas.search.edges import bundles_of
from keras_pibnas.search.mixed import MixedBundle
from keras_pibnas.topology import OUTPUTS, output_width


class RelaxedCell(keras.layers.Layer):
    """A cell with every op on every edge. DARTS, section 2.

    Args: space: SearchSpace; plan: topology.CellPlan or ChainPlan; cell: CellSpec, what is allowed on its edges;
    learnable_bn, family: as `MixedBundle`; extra: names of ops that edges have beyond the space's; partial: K.
    Call arguments: previous (the outputs of as many cells before as the cell has inputs, (B, H, W, C) each); mix
    (`bundle_weights` of the cell's op weights); training. Returns (B, H', W', channels, times nodes if concatenated).
    """

    def __init__(self, space, plan, cell, learnable_bn=False, family=None, extra=(), partial=1, **kwargs):
        super().__init__(autocast=False, **kwargs)  # mix stays float32, whatever floats the images have
        self.space, self.plan, self.family, self.partial = space, plan, family, partial
        self.topology, self.nodes = cell.topology, cell.nodes
        self.op_channels = plan.channels // partial  # channels that the ops see
        dtype = self.dtype_policy
        if self.topology.inputs == 2:
            self.preprocess_0 = preprocess(
                plan.channels, plan.in_channels_prev_prev, plan.reduction_prev, False, dtype=dtype
            )
            self.preprocess_1 = preprocess(plan.channels, plan.in_channels_prev, False, False, dtype=dtype)
        join = OUTPUTS[self.topology.output]
        self.join = None if join == "Concatenate" else getattr(keras.layers, join)(dtype=dtype)
        self.edges, self.allowed = bundles_of(cell), cell.allowed
        self.passing = self.allowed.any(axis=1)  # edges that partial channels' bypass is on
        more = dict(enumerate(extra, len(space.primitives)))
        self.bundles = [
            MixedBundle(
                space, {column: space.primitives[column] for column in bundle.columns} | more, self.op_channels,
                self._strides(bundle.source), len(bundle.rows), learnable_bn, family, dtype=dtype,
            )
            for bundle in self.edges
        ]  # fmt: skip

    def _strides(self, source):
        return 2 if self.plan.reduction and source < self.topology.inputs else 1

    def build(self, input_shape):
        if self.topology.inputs == 2:
            for layer, shape in zip((self.preprocess_0, self.preprocess_1), input_shape, strict=True):
                layer.build(shape)
                layer.built = True
        batch, *sides = input_shape[-1][:3]
        for bundle, edges in zip(self.bundles, self.edges, strict=True):
            of_nodes = edges.source >= self.topology.inputs
            bundle.build((batch, *(self._node_sides(sides) if of_nodes else sides), self.op_channels))
            bundle.built = True

    def _node_sides(self, sides):
        return tuple(-(-side // 2) for side in sides) if self.plan.reduction else tuple(sides)

    def call(self, previous, mix, training=False):
        call, inputs = engine.current().call, self.topology.inputs
        states = list(previous)
        if inputs == 2:
            states = list(call(Preprocessing(self), previous, weights=None, training=training))
        arrived = [[] for _ in range(self.nodes)]
        for source in range(inputs + self.nodes - 1):
            for bundle, edges, weights in zip(self.bundles, self.edges, mix.bundles, strict=True):
                if edges.source == source:
                    x = states[source] if self.partial == 1 else call(self._first_channels, states[source])
                    outputs = call(bundle, x, weights=weights, training=training)
                    for node, output in zip(edges.nodes, outputs, strict=True):
                        arrived[node].append(output)
            if source >= inputs - 1:  # now all edges into this node have been computed
                node = _each(add_n, arrived[source - inputs + 1])
                states.append(node if self.partial == 1 else self._with_bypass(call, node, states, mix.rows))
        return self._joined(call, [states[state] for state in self.topology.states])

    def _joined(self, call, states):
        """How nodes leave the cell: by the layer that `topology.OUTPUTS` names."""
        if len(states) == 1:
            return states[0]
        return _each(concatenate, states) if self.join is None else call(lambda *nodes: self.join(nodes), *states)

    def _first_channels(self, x):
        return x[..., : self.op_channels]

    def _with_bypass(self, call, node, states, rows):
        """The state of a node, (B, H, W, C): the outputs of its edges' ops and the bypassed channels, shuffled.

        shuffle(concatenation of both), with channels viewed as (K, C / K) and transposed. PC-DARTS.
        """
        own = self.topology.node_rows(len(states) - self.topology.inputs)
        sources = [source for source, row in enumerate(own) if self.passing[row]]

        def joined(node, *states):
            triples = zip(sources, states, strict=True)
            parts = [ops.cast(rows[own[source]][-1], x.dtype) * self._bypass(x, source) for source, x in triples]
            return shuffle(concatenate([node, add_n(parts)]), 1, self.partial)

        return call(joined, node, *(states[source] for source in sources))

    def _bypass(self, x, source):
        rest = x[..., self.op_channels :]
        return rest if self._strides(source) == 1 else halved(rest)

    def compute_output_shape(self, previous):
        batch, *sides = previous[-1][:3]
        width = output_width(self.topology.output, len(self.topology.states))
        return (batch, *self._node_sides(sides), width * self.plan.channels)


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
        return [layer(x, training=training) for layer, x in zip(self.layers, previous, strict=True)]
