"""Skip connections with dropout, which P-DARTS searches with."""

import keras
from keras import ops

from keras_pibnas.keras_private import all_layers
from keras_pibnas.layers.op import Op
from keras_pibnas.layers.stateless import FixedSeed


@keras.saving.register_keras_serializable("keras_pibnas")
class DroppedIdentity(Op):
    """The input, entries of which are zeroed in training and the others divided by 1 - rate.

    P-DARTS (arXiv:1904.12760), section 3.3: `skip_connect` of stride 1 in a search. Every edge has draws of its own,
    which follow from the layer's number and the step's: all passes of a step share them, and a search that goes on
    draws what it would have drawn. `state` (rate, step, number) is a variable; a step moves it as it moves statistics.

    Args: as `Op`, of stride 1.
    """

    def __init__(self, channels, strides=1, affine=True, branches=1, **kwargs):
        super().__init__(channels, strides, affine, branches, **kwargs)
        if strides != 1:
            raise ValueError(f"An identity keeps the side: strides must be 1. Received: strides={strides!r}")

    def build(self, input_shape):
        super().build(input_shape)
        wide = "float64" if self.variable_dtype == "float64" else "float32"
        self.state = self.add_weight(
            name="dropout", shape=(3,), initializer="zeros", trainable=False, dtype=wide, autocast=False
        )

    def set(self, rate: float | None = None, number: int | None = None):
        """Sets the rate, a probability in [0, 1), or the layer's number."""
        state = keras.ops.convert_to_numpy(self.state).copy()
        for place, value in ((0, rate), (2, number)):
            state[place] = state[place] if value is None else value
        self.state.assign(state)

    def call(self, x, weights=None, training=False):
        return self.weighted(self.dropped(self.every_edge(x), training), weights)

    def dropped(self, x, training):
        """x (B, H, W, E * C), with dropout in training."""
        if not training:
            return x
        state = ops.convert_to_tensor(self.state)
        rate, step, number = (state[place] for place in range(3))
        seed = ops.cast(ops.stack([number, step]), "int32")
        draws = keras.random.uniform(ops.shape(x), dtype="float32", seed=FixedSeed(seed))
        self.state.assign(ops.stack([rate, step + 1.0, number]))
        kept = ops.cast(draws >= ops.cast(rate, "float32"), state.dtype) / (1.0 - rate)
        return x * ops.cast(kept, x.dtype)


def dropped_identities(model) -> list[DroppedIdentity]:
    """Those of a model, in the order in which they were made."""
    return [layer for layer in all_layers(model) if isinstance(layer, DroppedIdentity)]
