"""Stateless randomness: all noise of a search follows from (seed, step, use)."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_pibnas.layers.stateless import FixedSeed

# Who draws in a step: one noise for all passes of the alphas' step, another for the weights' step, one for what
# perturbs the weights' step. At most 8.
ALPHA_STEP, WEIGHT_STEP, PERTURBATION = range(3)
_USES, _KINDS = 8, 2


def fold_seed(seed: Sequence, kind: str = "normal") -> Any:
    """One stateless seed of (seed, step, use) and the kind of cell: [seed, (step * 8 + use) * 2 + kind].

    Different steps, uses and kinds give different seeds, up to step 2**27; TensorFlow scrambles both numbers, so that
    neighbours are independent.

    Args:
        seed: (seed, step, use): integers or integer scalar tensors. seed of the search, modulo 2**31; step, finished
            steps; use, such as `ALPHA_STEP` and `WEIGHT_STEP`, 0 to 7.
        kind: "normal" or "reduce".

    Returns:
        An int32 tensor (2,).

    Example:
        >>> np.array(kp.methods.fold_seed((7, 3, kp.methods.WEIGHT_STEP), "reduce")).tolist()  # (3 * 8 + 1) * 2 + 1
        [7, 51]
    """
    seed, step, use = seed
    seed = seed % 2**31 if isinstance(seed, int) else seed
    seed, step, use = (ops.cast(ops.convert_to_tensor(value), "int32") for value in (seed, step, use))
    return ops.stack([seed, (step * _USES + use) * _KINDS + int(kind == "reduce")])


def uniforms(shape, seed, low: float = 0.0, high: float = 1.0):
    """Numbers from U(low, high), float32: a search in float64 draws the same ones.

    Args: shape; seed: as `fold_seed` gives it.
    """
    return keras.random.uniform(shape, low, high, dtype="float32", seed=FixedSeed(seed))


def gumbels(shape, seed):
    """Numbers from Gumbel(0, 1), -log(-log u), float32."""
    return -ops.log(-ops.log(uniforms(shape, seed, 2.0**-24, 1.0)))


def seeded(initializer: keras.Initializer, seed: int | None) -> keras.Initializer:
    """The initializer with another seed; one that draws nothing is returned as it is.

    Example:
        >>> kp.methods.seeded(keras.initializers.RandomNormal(0.0, 1e-3), seed=5).seed
        5
    """
    config = initializer.get_config()
    return type(initializer).from_config(config | {"seed": seed}) if "seed" in config else initializer
