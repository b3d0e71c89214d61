"""Progressive search: a supernet after the other, each deeper and with fewer ops. P-DARTS (arXiv:1904.12760)."""

from collections.abc import Callable

import keras

from keras_pibnas.methods.catalog import get
from keras_pibnas.methods.method import Method, Stage


def search_stages(
    method: str | Method, make: Callable[[int, Stage, Method], keras.Model], fit: Callable[[int, keras.Model], object]
) -> keras.Model:  # fmt: skip
    """Searches in the stages of a method, and returns the last supernet: its genotype is what was searched for.

    Nothing but the scores goes from one stage to the next, which keeps the best ops of each edge; the others are not
    built. To go on after a kill, call it again with a `callbacks.Checkpoint` of its own for each stage: `fit` ends at
    once where the stage has ended.

    Args:
        method: a Method with stages, or the name of one.
        make: (number from 0, Stage, Method of the stage) -> a compiled Supernet of `stage.layers` cells with it.
            Seed whatever the weights come from inside it, so that a search that goes on makes the same ones.
        fit: (number, supernet) -> trains it, all of its epochs.

    Raises:
        ValueError: an unknown method, one without stages, or a space of more ops than the first stage keeps.

    Example:
        >>> stages = (kp.methods.Stage(layers=2, ops=2), kp.methods.Stage(layers=3, ops=1))
        >>> method = kp.methods.Method(stages=stages)
        >>> space = kp.spaces.SearchSpace("two", ("skip_connect", "avg_pool_3x3"))
        >>> def make(number, stage, method):
        ...     return kp.Supernet(space, (4, 4, 1), 2, channels=2, layers=stage.layers, nodes=1, method=method)
        >>> supernet = kp.methods.search_stages(method, make, fit=lambda number, supernet: None)
        >>> [sorted(set(map(float, rows.flat))) for rows in supernet.op_weights()]
        [[0.0, 1.0], [0.0, 1.0]]
    """
    method, supernet = get(method), None
    if not method.stages:
        raise ValueError(f"A search in stages needs a method that has some, such as p_darts. Received: {method!r}")
    for number, stage in enumerate(method.stages):
        scores = None if supernet is None else supernet.relaxed.scores(supernet.architecture)
        supernet = make(number, stage, stage.method(method, scores))
        if scores is None:
            stage.check(supernet.relaxed.cells)
        fit(number, supernet)
    return supernet
