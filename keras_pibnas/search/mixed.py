"""The mixed operation (DARTS, equation 2), for a bundle of edges at once."""

import keras
import numpy as np
from keras import ops

from keras_pibnas.engine.kernels import add_n, bias_add, concatenate, constant, pointwise, split, tile
from keras_pibnas.engine.replicas import replica_count
from keras_pibnas.layers import Op, SharedOp
from keras_pibnas.layers.batch_norm import synchronized_by_default


class MixedBundle(keras.layers.Layer):
    """All ops of a space on the E edges that leave a state: (B, H, W, C) -> E tensors (B, H', W', C).

    Edge e gives sum_o mix[e, o] * o(x). The weight is folded into each op's last kernel or normalization; what has no
    kernel (pools, identity) is computed once and weighted for all edges together; `none` adds nothing and is left out.

    Args: space: SearchSpace; names: {column: name} of the ops; channels: C; strides; branches: E; learnable_bn: whether
    normalizations of ops have gamma and beta; family: an object that layers have in common: those of one `kind` differ
    in nothing but sizes, and an engine may trace them once.
    Call arguments: x; weights (E, O) of the ops, in the order of the columns; training.
    """

    def __init__(self, space, names, channels, strides, branches, learnable_bn=False, family=None, **kwargs):
        super().__init__(autocast=False, **kwargs)  # weights stay float32, whatever floats the images have
        self.channels, self.strides, self.branches, self.family = channels, strides, branches, family
        self.synchronized = synchronized_by_default()
        self.columns, self.kind = tuple(names), tuple(names.items())
        self.ops = [
            space.build_op(name, channels, strides, branches, affine=learnable_bn, dtype=self.dtype_policy)
            for name in names.values()
        ]

    @property
    def any_width(self):
        """Whether `total` takes any number of channels and edges: it does if all ops do."""
        return all(isinstance(op, Op) and op.any_width for op in self.ops)

    def build(self, input_shape):
        for op in self.ops:
            op.build(input_shape)
            op.built = True

    @property
    def synchronizes(self):
        """Whether replicas exchange something inside, so that no function can be shared."""
        return self.synchronized and replica_count() > 1

    def call(self, x, weights, training=False):
        return self.outputs(self.total(self.inputs(x, weights), training))

    def inputs(self, x, mix):
        """The tensors that `total` takes, by name.

        What the ops read: `x`, its ReLU `relu_x`, and for ops of any width these as every edge has them, `tiled_x` and
        `tiled_relu_x`, (B, H, W, E * C). The weights, `mix` (E, O). If all ops are of any width, which channel of x a
        channel of an edge reads: `source` (E * C,), and the same as a 0/1 matrix `copies` (C, E * C).
        """
        inputs = self._states(x) | {"mix": mix}
        if not self.any_width:
            return inputs
        sizes = self.branches, self.channels
        source, copies = constant(_source, *sizes), constant(_copies, *sizes, dtype=x.dtype)
        return inputs | {"source": source, "copies": copies}

    def _states(self, x):
        names = {_reads(op) for op in self.ops}
        states = {"x": x} | ({"relu_x": ops.relu(x)} if any("relu" in name for name in names) else {})
        tiled = {name: states[name.removeprefix("tiled_")] for name in names if name.startswith("tiled_")}
        tiled = {name: tile(state, self.channels, self.branches) for name, state in sorted(tiled.items())}
        return {name: state for name, state in states.items() if name in {"x", *names}} | tiled

    def total(self, inputs, training):
        """(B, H', W', E * C), from what `inputs` gives."""
        make = self._parts if self.any_width else self._parts_of_edges
        parts = list(make(inputs, training))
        offsets = [offset for _, offset in parts if offset is not None]
        total = add_n([part for part, _ in parts])
        return bias_add(total, add_n(offsets)) if offsets else total

    def _parts(self, inputs, training):
        weights = _every_channel(inputs["mix"], ops.shape(inputs["copies"])[1])
        parts, shared = [], []
        for op, column in zip(self.ops, self.columns, strict=True):
            if isinstance(op, SharedOp):
                shared.append(op.shared(inputs["x"], weights[column], training, inputs["source"]))
            else:
                parts.append(_unshifted(op, inputs, weights[column], training))
        if shared:
            parts.append(_expand_together(shared, inputs["copies"]))
        return parts

    def _parts_of_edges(self, inputs, training):
        weights = ops.unstack(inputs["mix"], axis=1)
        for op, column in zip(self.ops, self.columns, strict=True):
            if isinstance(op, Op):
                yield _unshifted(op, inputs, weights[column], training)
            else:
                yield op(inputs["x"], mix=weights[column], training=training), None

    def outputs(self, total):
        """(B, H', W', E * C) -> E tensors (B, H', W', C)."""
        return split(total, self.branches)

    def compute_output_shape(self, input_shape):
        batch, height, width = input_shape[:3]
        return (batch, -(-height // self.strides), -(-width // self.strides), self.branches * self.channels)


def _every_channel(mix, width):
    """(E, O) -> for each op, the weights of the channels of all edges, (width,)."""
    edges, count = ops.shape(mix)[0], mix.shape[1]
    weights = ops.broadcast_to(ops.transpose(mix)[..., None], (count, edges, width // edges))
    return ops.unstack(ops.reshape(weights, (count, width)), axis=0)


def _reads(op):
    """The name of what an op reads, in `MixedBundle.inputs`."""
    if not isinstance(op, Op) or isinstance(op, SharedOp):
        return "x"
    return ("tiled_" if op.any_width else "") + ("relu_x" if op.relu_first else "x")


def _unshifted(op, inputs, mix, training):
    return (op.after_relu if op.relu_first else op.unshifted)(inputs[_reads(op)], mix, training)


def _expand_together(shared, copies):
    """Weights what all edges share: a 1x1 convolution, zero but where an edge reads a channel."""
    features = concatenate([x for x, _, _ in shared])
    kernel = ops.concatenate([copies * ops.cast(scale, copies.dtype) for _, scale, _ in shared], 0)
    offsets = [offset for _, _, offset in shared if offset is not None]
    return pointwise(features, kernel[None, None]), add_n(offsets) if offsets else None


def _source(branches, channels):
    return np.tile(np.arange(channels, dtype="int32"), branches)


def _copies(branches, channels):
    return np.tile(np.eye(channels, dtype="float32"), branches)
