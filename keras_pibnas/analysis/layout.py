"""Layered left-to-right layout of a small graph: items in columns, edges between them, nothing overlapping.

The steps of Sugiyama, Tagawa and Toda (1981): the caller assigns every item to a column, with a small item of
its own in each column that a long edge passes; `order` permutes the columns so that few edges cross; `place`
says how far down. Items of a column never overlap, and edges bend only between columns: none touches an item.
"""

import itertools
import random


def order(columns, links, restarts=16, sweeps=4):
    """Permutes each column so that few links cross.

    Args:
        columns: list of lists of item names, left to right.
        links: (left item, right item) pairs between neighbouring columns.
        restarts: number of starting orders, the first as given, the others shuffled with a fixed seed.
        sweeps: number of passes to and fro from each start.

    Returns:
        The best columns found; the first item of the first column, as given, is above the last.
    """
    rng, near = random.Random(0), _neighbours(links)
    best, fewest = None, None
    for start in range(restarts):
        trial = [list(c) if start == 0 else rng.sample(c, len(c)) for c in columns]
        for sweep in range(sweeps):
            _sort_by_neighbours(trial, near, backwards=sweep % 2 == 1)
            _swap_neighbours(trial, near)
            count = _total_crossings(trial, near)
            if fewest is None or count < fewest:
                best, fewest = [list(c) for c in trial], count
    first, last = columns[0][0], columns[0][-1]
    flipped = best[0].index(first) > best[0].index(last)
    return [c[::-1] for c in best] if flipped else best


def place(columns, heights, links, gap, sweeps=200):
    """Heights of the centres of the items, downwards: links as straight as the order and the gaps allow.

    Args:
        columns: ordered lists of item names.
        heights: item name -> height.
        links: (left item, right item, stiffness); a stiff link is straightened first.
        gap: least free height between two items of a column.

    Returns:
        dict, item name -> y of its centre.
    """
    y, pulls = {}, {}
    for column in columns:
        offsets = _stack(column, heights, gap)
        y.update({name: offset - offsets[-1] / 2 for name, offset in zip(column, offsets, strict=True)})
    for left, right, stiffness in links:
        pulls.setdefault(left, []).append((right, stiffness))
        pulls.setdefault(right, []).append((left, stiffness))
    for sweep in range(sweeps):
        soft = max(0.02, 2 * 0.95**sweep)
        for column in columns if sweep % 2 == 0 else columns[::-1]:
            _settle(column, y, pulls, _stack(column, heights, gap), soft)
    return y


def _neighbours(links):
    near = {}
    for left, right in links:
        near.setdefault(left, ([], []))[1].append(right)
        near.setdefault(right, ([], []))[0].append(left)
    return near


def _sort_by_neighbours(columns, near, backwards):
    """Sorts each column by the mean position of its neighbours in the column before (or after)."""
    side = 1 if backwards else 0
    indices = range(len(columns) - 2, -1, -1) if backwards else range(1, len(columns))
    for i in indices:
        other = columns[i + 1] if backwards else columns[i - 1]
        position = {name: n for n, name in enumerate(other)}
        here = {name: n for n, name in enumerate(columns[i])}

        def key(name, position=position, here=here):
            found = [position[n] for n in near.get(name, ((), ()))[side]]
            return sum(found) / len(found) if found else here[name]

        columns[i].sort(key=key)


def _swap_neighbours(columns, near):
    """Swaps adjacent items as long as that removes crossings."""
    for i, column in enumerate(columns):
        around = [
            (side, {n: p for p, n in enumerate(columns[j])})
            for side, j in ((0, i - 1), (1, i + 1))
            if 0 <= j < len(columns)
        ]
        for _ in column:
            for p in range(len(column) - 1):
                a, b = column[p], column[p + 1]
                if _pair_crossings(a, b, near, around) > _pair_crossings(b, a, near, around):
                    column[p], column[p + 1] = b, a


def _pair_crossings(upper, lower, near, around):
    empty = ((), ())
    return sum(
        position[u] > position[v]
        for side, position in around
        for u in near.get(upper, empty)[side]
        for v in near.get(lower, empty)[side]
    )


def _total_crossings(columns, near):
    total = 0
    for left, right in itertools.pairwise(columns):
        around = [(1, {name: p for p, name in enumerate(right)})]
        total += sum(_pair_crossings(a, b, near, around) for a, b in itertools.combinations(left, 2))
    return total


def _stack(column, heights, gap):
    """Centres of the items when they stand on each other with the least gap, the first at 0."""
    offsets = [0.0]
    for above, below in itertools.pairwise(column):
        offsets.append(offsets[-1] + (heights[above] + heights[below]) / 2 + gap)
    return offsets


def _settle(column, y, pulls, offsets, soft):
    """Moves a column's items towards their neighbours, keeping order and gaps.

    Links pull by their squared length as long as it is below `soft`, by their length above: as `soft` shrinks
    from sweep to sweep, items go to the middle first, then links learn to climb in one place and not a little
    everywhere.
    """
    targets, weights = [], []
    for name, offset in zip(column, offsets, strict=True):
        near = [(y[n], s / (abs(y[n] - y[name]) + soft)) for n, s in pulls.get(name, [(name, 1.0)])]
        weights.append(sum(w for _, w in near))
        targets.append(sum(w * target for target, w in near) / weights[-1] - offset)
    levels = _rising(targets, weights)
    y.update({name: level + offset for name, level, offset in zip(column, levels, offsets, strict=True)})


def spread(positions, gap):
    """Moves positions apart, as little as possible in squares, until any two are at least `gap` apart."""
    ranks = sorted(range(len(positions)), key=positions.__getitem__)
    levels = _rising([positions[i] - rank * gap for rank, i in enumerate(ranks)], [1.0] * len(ranks))
    moved = {i: levels[rank] + rank * gap for rank, i in enumerate(ranks)}
    return [moved[i] for i in range(len(positions))]


def _rising(targets, weights):
    """Isotonic regression, by pooling adjacent violators: the nearest sequence that does not fall."""
    blocks = []  # [sum of weight * target, sum of weight, number of items]
    for target, weight in zip(targets, weights, strict=True):
        blocks.append([weight * target, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last, strict=True)]
    return [total / weight for total, weight, size in blocks for _ in range(size)]
