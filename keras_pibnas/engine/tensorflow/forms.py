"""Fused forms: what this engine computes in place of a layer's `call`; tests/engine/test_forms.py holds them to it.

A layer without an entry in `OPS` or `BUNDLES` is called as it is, so writing an op needs no knowledge of this file. The
forms gain this: a bundle computes ReLU once for all its ops, and what has no kernels (pools, identity) once for all its
edges, and one trace serves all bundles of a family.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import tensorflow as tf
from keras import ops

from keras_pibnas.engine.kernels import (
    add_n,
    bias_add,
    concatenate,
    convolution,
    depthwise,
    even,
    pointwise,
    split,
    tile,
)
from keras_pibnas.engine.tensorflow.kernels import constant


def form_of(layer):
    """The `BundleForm` of a layer, or None."""
    make = BUNDLES.get(_name(layer))
    return make and make(layer)


def op_form(op):
    """The `OpForm` or `SharedForm` of an op, or None."""
    return OPS.get(_name(op))


def _name(layer):
    """ "layers.SepConv" of that class; a class that is not of this package has none, also where it is derived."""
    package, _, module = type(layer).__module__.partition(".")
    return f"{module.partition('.')[0]}.{type(layer).__name__}" if package == "keras_pibnas" else None


@dataclass(frozen=True)
class OpForm:
    """The form of an op in a bundle.

    Attributes:
        call: (op, x, weights, training) -> (B, H', W', E * C). x is the state as every edge has it, (B, H, W, E * C),
            weights are those of all channels, (E * C,). Both may have an unknown number of channels.
        relu: whether x has been through the op's first ReLU.
    """

    call: Callable
    relu: bool = False


@dataclass(frozen=True)
class SharedForm:
    """The form of an op without kernels, which is the same on every edge but for the weights.

    Attributes:
        call: (op, x, weights, training, source) -> features (B, H', W', C), scale (E * C,), offset (E * C,) or None. An
            edge gives features * scale + offset; source (E * C,) says which channel of x a channel of an edge is.
    """

    call: Callable


def _plain(op, x, weights, training):
    """For a `call` that reads numbers of channels from tensors alone. (`__call__` would cast weights as it does x.)"""
    return op.call(x, weights=weights, training=training)


def _sep_conv(op, x, weights, training):
    x = depthwise(x, op.depthwise_1, op.strides)
    x = op.batch_norm_1.of_pointwise(x, op.pointwise_1, training=training, relu=True)
    return op.batch_norm_2.of_pointwise(depthwise(x, op.depthwise_2), op.pointwise_2, weights, training)


def _dil_conv(op, x, weights, training):
    x = depthwise(x, op.depthwise, op.strides, op.dilation)
    return op.batch_norm.of_pointwise(x, op.pointwise, weights, training)


def _two_convolutions(op, x, weights, training):
    """`conv_7x1_1x7`: of a state that every edge has, a convolution in E groups."""
    x = convolution(x, ops.cast(op.row, x.dtype), (1, op.strides))
    convolve = lambda x, k: convolution(x, ops.cast(k, x.dtype), (op.strides, 1))  # noqa: E731
    return op.batch_norm.of_convolution(convolve, x, ops.convert_to_tensor(op.column), weights, training)


def _factorized_reduce(op, x, weights, training):
    convolve = lambda x, k: convolution(x, ops.cast(k, x.dtype), 2)  # noqa: E731
    return op.batch_norm.of_convolution(convolve, even(x), op.joint_kernel(), weights, training)


def _pib_conv_table(op, x, weights, training):
    x = depthwise(x, op.depthwise, op.strides)
    x = op.batch_norm.of_pointwise(x, op.pointwise_1, training=training, relu=True)
    x = convolution(x, ops.cast(op.grouped, x.dtype))
    return op.batch_norm_2.of_pointwise(x, op.pointwise_2, weights, training)


def _identity(op, x, weights, training, source):
    return x, ops.cast(weights, x.dtype), None


def _dropped_identity(op, x, weights, training):
    return op.weighted(op.dropped(x, training), weights)


def _pool(op, x, weights, training, source):
    """All edges share the statistics of the pooled state, and each has moving ones."""
    pooled, norm = op.pool(x, op.strides, training), op.batch_norm
    if norm is not None and not norm.moves(training):
        coefficients = norm.coefficients(norm.moving_mean, norm.moving_variance, weights)
        return pooled, *(ops.cast(value, x.dtype) for value in coefficients)
    if norm is not None:
        pooled = norm.standardize(pooled, partial(tf.gather, indices=source))
    return pooled, ops.cast(weights, x.dtype), None


OPS = {
    "layers.SepConv": OpForm(_sep_conv, relu=True),
    "layers.DilConv": OpForm(_dil_conv, relu=True),
    "layers.Conv7x1_1x7": OpForm(_two_convolutions, relu=True),
    "layers.Conv3x1_1x3": OpForm(_two_convolutions, relu=True),
    "layers.FactorizedReduce": OpForm(_factorized_reduce, relu=True),
    "layers.PIBConv": OpForm(_plain),
    "layers.PIBConvTable": OpForm(_pib_conv_table, relu=True),
    "layers.SepConvGELU": OpForm(_plain),
    "layers.DroppedIdentity": OpForm(_dropped_identity),
    "layers.Identity": SharedForm(_identity),
    "layers.MaxPool": SharedForm(_pool),
    "layers.AveragePool": SharedForm(_pool),
}


class BundleForm:
    """The form of a layer (or of what is called like one) in three parts, of which `total` can be traced once for many.

    Subclasses give these:
        inputs: (x, weights) -> the tensors that `total` takes, by name.
        total: (inputs, training) -> (B, H', W', n * C).
        outputs: total -> what the layer gives, n tensors.
        output_shape: the shape of x -> that of the total.
        dynamic: whether `total` takes any number of channels.
        strides: of the layer.
        kind: what layers with the same `total` have in common.
    """

    def __init__(self, layer):
        self.layer = layer

    def __call__(self, x, weights=None, training=False):
        return self.outputs(self.total(self.inputs(x, weights), training))

    @property
    def trainable_variables(self):
        return self.layer.trainable_variables

    @property
    def non_trainable_variables(self):
        return self.layer.non_trainable_variables


class MixedBundle(BundleForm):
    """The form of `search.mixed.MixedBundle`; it takes any number of edges and channels if all its ops have a form."""

    def __init__(self, layer):
        super().__init__(layer)
        self.forms, self.strides = [op_form(op) for op in layer.ops], layer.strides
        self.dynamic = all(self.forms)
        self.kind = layer.strides, layer.kind

    def inputs(self, x, weights):
        """The tensors that `total` takes, by name.

        What the ops read: the state `x`, and this and its ReLU as every edge has them, `tiled_x` and `tiled_relu_x`
        (B, H, W, E * C). The op weights: `mix` (E, O). Which channel of x a channel of an edge is: `source` (E * C,),
        and the same as a 0/1 matrix, `copies` (C, E * C).
        """
        sizes = self.layer.branches, self.layer.channels
        names = {_reads(form) for form in self.forms}
        inputs = {"x": x} | ({"tiled_x": tile(x, *sizes[::-1])} if "tiled_x" in names else {})
        inputs |= {"tiled_relu_x": tile(ops.relu(x), *sizes[::-1])} if "tiled_relu_x" in names else {}
        source, copies = constant(_source, *sizes), constant(_copies, *sizes, dtype=x.dtype)
        return inputs | {"mix": weights, "source": source, "copies": copies}

    def total(self, inputs, training):
        """(B, H', W', E * C), from what `inputs` gives."""
        weights = _every_channel(inputs["mix"], ops.shape(inputs["copies"])[1])
        parts, shared = [], []
        for op, form, column in zip(self.layer.ops, self.forms, self.layer.columns, strict=True):
            if isinstance(form, SharedForm):
                shared.append(form.call(op, inputs["x"], weights[column], training, inputs["source"]))
            elif isinstance(form, OpForm):
                parts.append(form.call(op, inputs[_reads(form)], weights[column], training))
            else:
                parts.append(op.call(inputs["x"], weights=inputs["mix"][:, column], training=training))
        return add_n([*parts, *([_expanded(shared, inputs["copies"])] if shared else [])])

    def outputs(self, total):
        """(B, H', W', E * C) -> E tensors (B, H', W', C)."""
        return split(total, self.layer.branches)

    def output_shape(self, input_shape):
        """Of `total`."""
        return self.layer.compute_output_shape(input_shape)


def _reads(form):
    """The name of what an op reads, in `MixedBundle.inputs`."""
    if not isinstance(form, OpForm):
        return "x"
    return "tiled_relu_x" if form.relu else "tiled_x"


def _every_channel(mix, width):
    """(E, O) -> for each op, the weights of the channels of all edges, (width,)."""
    edges, count = ops.shape(mix)[0], mix.shape[1]
    weights = ops.broadcast_to(ops.transpose(mix)[..., None], (count, edges, width // edges))
    return ops.unstack(ops.reshape(weights, (count, width)), axis=0)


def _expanded(shared, copies):
    """The sum of what is the same on all edges but for weights, as one 1x1 convolution: no copies of it are made.

    Its kernel is zero but where an edge reads a channel.
    """
    features = concatenate([x for x, _, _ in shared])
    kernel = ops.concatenate([copies * ops.cast(scale, copies.dtype) for _, scale, _ in shared], 0)
    offsets = [offset for _, _, offset in shared if offset is not None]
    return bias_add(pointwise(features, kernel[None, None]), add_n(offsets) if offsets else None)


def _source(branches, channels):
    return np.tile(np.arange(channels, dtype="int32"), branches)


def _copies(branches, channels):
    return np.tile(np.eye(channels, dtype="float32"), branches)


class Preprocessing(BundleForm):
    """The form of `search.cell.Preprocessing`."""

    dynamic, strides = True, 1

    def __init__(self, layer):
        super().__init__(layer)
        self.kind = tuple(type(part) for part in layer.layers)

    def inputs(self, previous, weights=None):
        return {"x": previous[0], "other": previous[1]}

    def total(self, inputs, training):
        pairs = zip(self.layer.layers, (inputs["x"], inputs["other"]), strict=True)
        return concatenate([part(x, training=training) for part, x in pairs])

    def outputs(self, total):
        return split(total, 2)

    def output_shape(self, previous):
        shape = self.layer.layers[1].compute_output_shape(previous[1])
        return (*shape[:-1], 2 * shape[-1])


BUNDLES = {"search.MixedBundle": MixedBundle, "search.Preprocessing": Preprocessing}
