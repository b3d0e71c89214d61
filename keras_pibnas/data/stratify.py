"""Two disjoint parts of a data set in which labels are spread alike."""

import numpy as np


def stratified(
    labels: np.ndarray, fraction: float, seed: int, task: str = "multiclass"
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of two disjoint parts of a data set, each in stored order; the first is `fraction` of it.

    multiclass: the images, sorted by class and shuffled within it, take turns: so every class is divided to within
    one image, and the whole too. regression: likewise in order of the labels, of several along their first principal
    component. multilabel: iterative stratification (Sechidis et al., ECML 2011): the rarest label first, each image to
    the part that lacks most of that label.

    Args:
        labels: integers (N,), or numbers (N, labels) for multilabel and regression.
        fraction: of the images in the first part.
        seed: which ones.
        task: "multiclass", "multilabel" or "regression".

    Raises:
        ValueError: a fraction that leaves a part empty.
    """
    count = int(np.floor(len(labels) * fraction)) if 0 < fraction < 1 else 0
    if not 0 < count < len(labels):
        raise ValueError(
            f"fraction should be between 0 and 1 and leave neither part of {len(labels)} images empty. "
            f"Received: fraction={fraction}"
        )
    generator = np.random.default_rng(seed)
    if task == "multilabel":
        first = _iterative(np.asarray(labels) > 0, count, generator)
    else:
        shuffled = generator.permutation(len(labels))
        values = labels if task == "multiclass" else _ranked(labels)
        in_turn = shuffled[np.argsort(values[shuffled], kind="stable")]
        first = np.zeros(len(labels), bool)
        first[in_turn] = _turns(len(labels), fraction, task, generator)
    return np.flatnonzero(first), np.flatnonzero(~first)


def _turns(count, fraction, task, generator):
    """Whose turn it is for the first part, of images in order of their labels.

    Equal labels are shuffled already. Labels of a regression differ, so there each turn falls on anyone of its stretch.
    """
    turns = np.floor(np.arange(count + 1) * fraction)
    first = np.diff(turns) > 0
    if task == "regression":
        stretch = max(2, round(1 / min(fraction, 1 - fraction)))
        for start in range(0, count, stretch):
            first[start : start + stretch] = generator.permutation(first[start : start + stretch])
    return first


def _ranked(labels):
    """One number an image, by which labels (N, L) are ordered: the first principal component of standardized ones."""
    labels = labels.reshape(len(labels), -1).astype(np.float64)
    deviation = labels.std(0)
    standard = (labels - labels.mean(0)) / np.where(deviation > 0, deviation, 1)
    return standard @ np.linalg.svd(standard, full_matrices=False)[2][0]


def _iterative(labels, count, generator):
    """Booleans (N,): which images go to the first part, `count` of them, by their labels (N, L)."""
    sizes = np.array([count, len(labels) - count], np.float64)
    wanted = labels.sum(0) * (sizes / len(labels))[:, None]  # (2, L): images of each label that a part still lacks
    first, left = np.zeros(len(labels), bool), np.ones(len(labels), bool)
    while left.any():
        remaining = labels[left].sum(0)
        label = np.argmin(np.where(remaining > 0, remaining, np.inf)) if remaining.any() else None
        having = left if label is None else left & labels[:, label]
        for index in generator.permutation(np.flatnonzero(having)):
            lack = sizes if label is None else wanted[:, label]
            part = _lacking(lack, sizes, generator)
            first[index] = part == 0
            wanted[part] -= labels[index]
            sizes[part] -= 1
        left &= ~having
    return first


def _lacking(lack, sizes, generator):
    """The part that lacks most, of equals the one that has most room, of equals anyone; never a full one."""
    keys = [(room > 0, need, room, chance) for need, room, chance in zip(lack, sizes, generator.random(2), strict=True)]
    return keys.index(max(keys))
