"""When a search becomes too sharp: the early end of RobustDARTS."""

from collections.abc import Sequence

import numpy as np


def sharpened_since(
    epochs: Sequence[int], values: Sequence[float], window: int = 5, back: int = 4, factor: float = 1.3, first: int = 10
) -> int | None:
    """The epoch to go back to where the largest eigenvalue has grown too much, else None.

    The mean of the last `window` eigenvalues is compared with that of the window which ended `back` measurements
    before; where it is more than `factor` times as large, the middle of the earlier window is the epoch. RobustDARTS
    (arXiv:1909.09656), as its code has it (`EVLocalAvg`), which knows no end before two whole windows either.

    Args:
        epochs: of the measurements, ascending.
        values: the largest eigenvalue at each.
        window, back: numbers of measurements.
        factor: above 0.
        first: the earliest epoch that can be gone back to.

    Example:
        >>> kp.runs.sharpened_since([0, 2, 4], [1.0, 1.0, 2.0], window=1, back=1, first=0)
        2
    """
    if len(values) < window + back:
        return None
    now, before = np.mean(values[-window:]), np.mean(values[-window - back : -back])
    centre = epochs[len(epochs) - 1 - window // 2 - back]
    return int(centre) if centre >= first and now / before > factor else None
