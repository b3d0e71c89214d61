import itertools
import math
import re
from math import comb
from pathlib import Path

import pytest

import keras_pibnas as kp
from keras_pibnas.analysis import (
    darts_cell_size,
    darts_space_size,
    nasnet_space_size,
    network_dimensions,
    network_space_size,
    space_size,
    topology_paths,
)


def test_nasnet_formula():
    assert nasnet_space_size(operations=5, combinations=2, blocks=5) == 320_000_000_000
    assert nasnet_space_size(3, 2, 1) == 2 * 2 * 3 * 3 * 2


@pytest.mark.parametrize("nodes, operations", [(1, 1), (1, 3), (2, 2), (3, 2)])
def test_darts_cells_are_as_many_as_can_be_listed(nodes, operations):
    choices = []
    for node in range(nodes):
        pairs = itertools.combinations(range(node + 2), 2)
        choices.append(list(itertools.product(pairs, range(operations), range(operations))))
    assert darts_cell_size(nodes, operations) == len(list(itertools.product(*choices)))


def test_darts_cells_of_the_paper():
    # (1 * 3 * 6 * 10) pairs of sources, 7 ops on each of 8 edges: about 10^9 cells, 10^18 architectures.
    assert darts_cell_size(4, 7) == 180 * 7**8 == 1_037_664_180
    sizes = darts_space_size(4, 7)
    assert sizes == {
        "cells, two edges a node": 180 * 7**8,
        "normal and reduction cells, two edges a node": 180**2 * 7**16,
        "cells, edges unconstrained": 8**14,
        "normal and reduction cells, edges unconstrained": 8**28,
    }


def test_eight_nodes_stay_exact():
    pairs = 1
    for node in range(8):
        pairs *= comb(node + 2, 2)
    assert darts_cell_size(8, 9) == pairs * 9**16
    assert darts_space_size(8, 9)["cells, edges unconstrained"] == 10**44


def test_network_level_by_hand():
    # A unit of 1 or 2 layers, each of 3 widths and 2 kernels: 6 + 36; two units, 4 sides, 5 topologies.
    size = network_space_size((1, 2), ("a", "b", "c"), (3, 5), (32, 64, 96, 128), units=2, topologies=5)
    assert size == (6 + 36) ** 2 * 4 * 5
    assert network_space_size((0, 1), (16,), (3,), (32,), units=3) == 2**3


def test_network_level_of_once_for_all():
    assert network_space_size() == (9**2 + 9**3 + 9**4) ** 5 == 7371**5
    assert f"{network_space_size():.0e}" == "2e+19"


def test_dimensions_one_by_one():
    """With one choice along every other dimension, the size of the space is that of the dimension."""
    choices = {"depths": (2, 4), "widths": (3, 4, 6), "kernels": (3, 5), "resolutions": (96, 128, 160), "topologies": 2}
    alone = network_dimensions(**choices, units=2)
    fixed = {"depths": (4,), "widths": (1,), "kernels": (1,), "resolutions": (1,), "topologies": 1}
    for dimension, name in zip(alone, choices, strict=False):
        assert alone[dimension] == network_space_size(**fixed | {name: choices[name]}, units=2)
    assert list(alone.values()) == [2**2, 3**8, 2**8, 3, 2]


@pytest.mark.parametrize("layers, levels", [(1, 4), (4, 2), (5, 3), (6, 6)])
def test_paths_are_as_many_as_can_be_walked(layers, levels):
    steps = itertools.product((-1, 0, 1), repeat=layers - 1)
    heights = (list(itertools.accumulate(walk, initial=0)) for walk in steps)
    assert topology_paths(layers, levels) == sum(0 <= min(h) and max(h) < levels for h in heights)


def test_paths_of_auto_deeplab():
    assert topology_paths(12, 4) == 28657  # "2.9 x 10^4"


def test_space_size_by_name():
    for name in ("darts", "pibconv", "involution", "s4"):
        operations = len(set(kp.spaces.get(name).primitives) - {"none"})
        assert space_size(name, nodes=3) == darts_space_size(3, operations)
    assert space_size("pibconv", 2, operations=4) == darts_space_size(2, 4)
    assert space_size(kp.spaces.get("darts")) == darts_space_size(4, 7)
    assert space_size("nasnet", blocks=1) == {"cells": 200}
    assert space_size("paths", layers=12) == {"paths through the resolutions": 28657}
    assert space_size("network", units=1, kernels=(3,)) == {"networks": 3**2 + 3**3 + 3**4}


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: space_size("nope"), "Unknown space 'nope'. Known: .*pibconv.*nasnet, network"),
        (lambda: space_size("darts", nodes=0), "`nodes` .* at least 1. Received: nodes=0"),
        (lambda: darts_cell_size(2, 0), "operations=0"),
        (lambda: darts_cell_size(2.5, 3), "nodes=2.5"),
        (lambda: nasnet_space_size(blocks=-1), "blocks=-1"),
        (lambda: network_space_size(widths=()), r"`widths` .* Received: widths=\(\)"),
        (lambda: network_space_size(kernels=(3, 3)), r"kernels=\(3, 3\)"),
        (lambda: network_space_size(depths=(1, -1)), r"depths=\(1, -1\)"),
        (lambda: network_space_size(topologies=0), "topologies=0"),
        (lambda: topology_paths(0), "layers=0"),
    ],
)
def test_errors(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_choice_of_another_space_is_refused():
    with pytest.raises(TypeError, match="blocks"):
        space_size("darts", blocks=3)


SPACES_PAGE = (Path(__file__).parent.parent.parent / "docs/spaces.md").read_text()


def page_rows():
    """{space: (ops, cells, weights)} of the table in docs/spaces.md."""
    rows = [row.strip("|").split("|") for row in SPACES_PAGE.splitlines() if row.startswith("| `")]
    number = lambda text: int(text.replace(",", ""))  # noqa: E731
    return {
        name.strip(" `"): (re.findall("`(.*?)`", ops), number(cells), number(weights))
        for name, ops, cells, weights, _ in rows
    }


def test_the_page_lists_every_space_with_its_ops_and_size():
    found = page_rows()
    assert set(found) == set(kp.spaces.names())
    for name, (ops, cells, _) in found.items():
        assert tuple(ops) == kp.spaces.get(name).primitives
        assert cells == next(iter(space_size(name).values()))


@pytest.mark.slow
def test_the_weights_on_the_page():
    for name, (_, _, weights) in page_rows().items():
        assert weights == kp.analysis.supernet_weights(name), name
    learned = kp.analysis.supernet_weights("darts", learnable_bn=True)
    assert f"{learned:,} weights" in SPACES_PAGE


@pytest.mark.parametrize(
    ("space", "settings"),
    [("s1", {"stem": "patchify"}), ("nas_bench_201", {"learnable_bn": True}), ("s4", {"nodes": 1})],
)
def test_weights_are_those_of_a_supernet_that_is_built(space, settings):
    settings = {"input_shape": (16, 16, 3), "num_classes": 3, "channels": 4, "layers": 3} | settings
    model = kp.Supernet(space, **settings)
    built = sum(math.prod(variable.shape) for variable in model.network.trainable_variables)
    assert kp.analysis.supernet_weights(space, **settings) == built
