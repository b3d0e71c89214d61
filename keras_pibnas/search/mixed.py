"""The mixed operation (DARTS, equation 2), for a bundle of edges at once."""

import keras
from keras import ops

from keras_pibnas.engine.kernels import add_n, split
from keras_pibnas.engine.replicas import replica_count
from keras_pibnas.layers.batch_norm import synchronized_by_default


class MixedBundle(keras.layers.Layer):
    """All ops of a space on the E edges that leave a state: (B, H, W, C) -> E tensors (B, H', W', C).

    Edge e gives sum_o weights[e, o] * o(x); `none` adds nothing and is left out.

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

    def build(self, input_shape):
        for op in self.ops:
            op.build(input_shape)
            op.built = True

    @property
    def synchronizes(self):
        """Whether replicas exchange something inside, so that no function can be shared."""
        return self.synchronized and replica_count() > 1

    def call(self, x, weights, training=False):
        columns = ops.unstack(weights, axis=1)
        pairs = zip(self.ops, (columns[i] for i in self.columns), strict=True)
        # Not `op(...)`, which in low precision would cast the weights as it does the images.
        return split(add_n([op.call(x, weights=w, training=training) for op, w in pairs]), self.branches)

    def compute_output_shape(self, input_shape):
        batch, height, width = input_shape[:3]
        return (batch, -(-height // self.strides), -(-width // self.strides), self.branches * self.channels)
