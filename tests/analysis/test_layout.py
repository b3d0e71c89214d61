import itertools

import numpy as np
import pytest

from keras_pibnas.analysis import layout


def crossings(columns, links):
    place = {name: i for column in columns for i, name in enumerate(column)}
    return sum(
        (place[a] - place[c]) * (place[b] - place[d]) < 0
        for (a, b), (c, d) in itertools.combinations(links, 2)
        if same_gap(columns, a, c)
    )


def same_gap(columns, a, c):
    return any(a in column and c in column for column in columns)


def test_order_finds_the_order_without_crossings():
    columns = [["a", "b", "c"], ["x", "y", "z"], ["p", "q"]]
    links = [("a", "z"), ("b", "y"), ("c", "x"), ("z", "q"), ("y", "q"), ("x", "p")]
    assert crossings(columns, links) > 0
    found = layout.order(columns, links)
    assert crossings(found, links) == 0
    assert [sorted(column) for column in found] == columns


def test_order_keeps_the_first_item_above_the_last():
    assert layout.order([["b", "a"], ["x", "y"]], [("a", "x"), ("b", "y")])[0] == ["b", "a"]


def test_order_is_the_same_every_time():
    columns = [list(range(8)), list(range(10, 18))]
    links = [(i, 10 + (5 * i + j) % 8) for i in range(8) for j in (0, 3)]
    assert layout.order(columns, links) == layout.order(columns, links)


@pytest.mark.parametrize("seed", range(5))
def test_place_keeps_order_and_gaps(seed):
    rng = np.random.default_rng(seed)
    columns = [[(c, i) for i in range(rng.integers(1, 6))] for c in range(4)]
    heights = {item: rng.uniform(0.1, 1) for column in columns for item in column}
    links = [(a, b, 1.0) for x, y in itertools.pairwise(columns) for a in x for b in y if rng.random() < 0.5]
    y = layout.place(columns, heights, links, gap=0.2)
    for column in columns:
        for above, below in itertools.pairwise(column):
            room = y[below] - heights[below] / 2 - y[above] - heights[above] / 2
            assert room >= 0.2 - 1e-9


def test_place_draws_a_lone_chain_straight():
    columns = [["a", "b"], ["p"], ["x", "y", "z"]]
    heights = dict.fromkeys("abpxyz", 1.0)
    y = layout.place(columns, heights, [("a", "p", 1.0), ("p", "z", 1.0)], gap=0.5)
    assert y["a"] == pytest.approx(y["p"], abs=0.05) and y["p"] == pytest.approx(y["z"], abs=0.05)


def test_spread_by_hand():
    # 1 and 2 must be 3 apart: both give way by 1; 9 is far enough.
    assert layout.spread([2.0, 9.0, 1.0], 3.0) == pytest.approx([3.0, 9.0, 0.0])
    assert layout.spread([5.0, 5.0, 5.0], 1.0) == pytest.approx([4.0, 5.0, 6.0])
    assert layout.spread([], 1.0) == []
