"""Stateless randomness: draws that follow from a seed tensor alone."""

import keras


class FixedSeed(keras.random.SeedGenerator):
    """Hands a given seed tensor to `keras.random`, which takes integers and generators alone (Keras 3.10 to 3.15).

    Args: value: int32 (2,).
    """

    def __init__(self, value):  # no state, so not SeedGenerator's own
        self.value = value

    def next(self, ordered=True):
        return self.value
