"""The mixed operation (DARTS, equation 2), for a bundle of edges at once."""

import keras
from keras import ops

from keras_pibnas.layers import Op, SharedOp
from keras_pibnas.layers.primitives import bias_add, expand
from keras_pibnas.spaces import canonical


class MixedBundle(keras.layers.Layer):
    """All ops of a space on E edges that leave S states: (B, H, W, S * C) -> E tensors (B, H', W', C).

    Edge e reads state e // (E / S) and gives sum_o mix[e, o] * o(x). The weight is folded into each op's last kernel
    or normalization; what has no kernel (pools, identity) is computed once and weighted for all edges together; `none`
    adds nothing and is left out.

    Args: space: SearchSpace; channels: C; strides; branches: E.
    Call arguments: x; mix (E, O), weights in the order of the space's primitives; training.
    """

    def __init__(self, space, channels, strides, branches, **kwargs):
        super().__init__(**kwargs)
        self._convert_input_args = False  # mix stays float32, whatever floats the images have
        self.channels, self.strides, self.branches = channels, strides, branches
        self.columns = [i for i, name in enumerate(space.primitives) if canonical(name) != "none"]
        self.ops = [
            space.build_op(space.primitives[i], channels, strides, branches, dtype=self.dtype_policy)
            for i in self.columns
        ]

    def build(self, input_shape):
        for op in self.ops:
            op.build(input_shape)
            op.built = True

    def call(self, x, mix, training=False):
        weights = ops.unstack(mix, axis=1)
        parts, shared = [], []
        for op, column in zip(self.ops, self.columns, strict=True):
            if isinstance(op, SharedOp):
                shared.append(op.shared(x, weights[column], training))
            elif isinstance(op, Op):
                parts.append(op.unshifted(x, weights[column], training))
            else:
                parts.append((op(x, mix=weights[column], training=training), None))
        if shared:
            parts.append(self._expand_together(shared))
        offsets = [offset for _, offset in parts if offset is not None]
        total = add_n([part for part, _ in parts])
        total = bias_add(total, add_n(offsets)) if offsets else total
        return ops.split(total, self.branches, axis=-1) if self.branches > 1 else [total]

    def _expand_together(self, shared):
        features = interleave([features for features, _, _ in shared], self.channels)
        scale = ops.stack([scale for _, scale, _ in shared])
        offsets = [offset for _, _, offset in shared if offset is not None]
        return expand(features, scale, self.channels, self.branches), add_n(offsets) if offsets else None


def interleave(tensors, channels):
    """n tensors (B, H, W, S * C) -> (B, H, W, S * n * C), source by source."""
    sources = tensors[0].shape[-1] // channels
    if sources == 1:
        return ops.concatenate(tensors, -1)
    pieces = [ops.split(tensor, sources, axis=-1) for tensor in tensors]
    return ops.concatenate([piece[source] for source in range(sources) for piece in pieces], -1)


def add_n(tensors):
    """The sum, in one pass where the backend has it."""
    if len(tensors) == 1:
        return tensors[0]
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.add_n(tensors)
    return sum(tensors[1:], tensors[0])
