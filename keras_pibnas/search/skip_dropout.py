"""Dropout behind the skip connections of a supernet. P-DARTS (arXiv:1904.12760), section 3.3."""

from keras_pibnas.layers.dropped_identity import DroppedIdentity
from keras_pibnas.spaces import canonical


class SkipDropout:
    """A search space whose skip connections of stride 1 have dropout; those of stride 2 are convolutions, without.

    Args: space: SearchSpace.
    """

    def __init__(self, space):
        self.space, self.primitives = space, space.primitives

    def build_op(self, name, /, channels, strides=1, branches=1, affine=False, **kwargs):
        """As `SearchSpace.build_op`."""
        if canonical(name) == "skip_connect" and strides == 1:
            return DroppedIdentity(channels, strides, affine, branches, **kwargs)
        return self.space.build_op(name, channels, strides, branches, affine=affine, **kwargs)
