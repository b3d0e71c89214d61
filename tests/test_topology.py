import importlib
import sys

import pytest

from keras_pibnas import topology


def column(cells, name):
    return [getattr(cell, name) for cell in cells]


def test_eight_layers_as_published():
    cells = topology.plan(layers=8, channels=16)
    # 8 // 3 = 2 and 16 // 3 = 5 reduce; a cell gives 4 * channels; the stem gives 3 * 16 = 48.
    assert column(cells, "index") == list(range(8))
    assert column(cells, "reduction") == [False, False, True, False, False, True, False, False]
    assert column(cells, "reduction_prev") == [False, False, False, True, False, False, True, False]
    assert column(cells, "channels") == [16, 16, 32, 32, 32, 64, 64, 64]
    assert column(cells, "in_channels_prev_prev") == [48, 48, 64, 64, 128, 128, 128, 256]
    assert column(cells, "in_channels_prev") == [48, 64, 64, 128, 128, 128, 256, 256]
    assert column(cells, "out_channels") == [64, 64, 128, 128, 128, 256, 256, 256]


def test_two_layers_reduce_at_both():
    cells = topology.plan(layers=2, channels=4)
    assert column(cells, "reduction") == [True, True]
    assert column(cells, "reduction_prev") == [False, True]
    assert column(cells, "channels") == [8, 16]
    assert column(cells, "in_channels_prev_prev") == [12, 12]
    assert column(cells, "in_channels_prev") == [12, 32]


def test_each_kind_of_cell_concatenates_its_own_states():
    # AmoebaNet-A and NASNet-A: five normal or three reduction states.
    cells = topology.plan(layers=3, channels=10, normal_states=5, reduce_states=3, stem_channels=7)
    assert column(cells, "reduction") == [False, True, True]
    assert column(cells, "out_channels") == [50, 60, 120]
    assert column(cells, "in_channels_prev_prev") == [7, 7, 50]
    assert column(cells, "in_channels_prev") == [7, 50, 60]


@pytest.mark.parametrize("layers", range(2, 25))
def test_two_reductions_and_a_chain_of_inputs(layers):
    cells = topology.plan(layers, channels=2)
    assert sum(column(cells, "reduction")) == 2
    assert cells[-1].channels == 8
    assert cells[topology.auxiliary_index(layers)].reduction
    for before, cell in zip(cells, cells[1:], strict=False):
        assert cell.in_channels_prev == before.out_channels
        assert cell.in_channels_prev_prev == before.in_channels_prev
        assert cell.reduction_prev == before.reduction


def test_auxiliary_index_of_twenty_layers():
    assert topology.auxiliary_index(20) == 13


def test_cells_are_frozen():
    with pytest.raises(AttributeError):
        topology.plan(2, 4)[0].channels = 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": 1, "channels": 4}, "at least 2 layers.*layers=1"),
        ({"layers": 0, "channels": 4}, "layers=0"),
        ({"layers": 3, "channels": 0}, "try 2. Received: channels=0"),
        ({"layers": 3, "channels": -4}, "try 2. Received: channels=-4"),
        ({"layers": 3, "channels": 7}, "even.*try 8. Received: channels=7"),
        ({"layers": 3, "channels": 4, "normal_states": 0}, "normal_states=0"),
        ({"layers": 3, "channels": 4, "reduce_states": 0}, "reduce_states=0"),
    ],
)
def test_plan_says_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        topology.plan(**arguments)


def test_the_former_name_warns():
    sys.modules.pop("keras_pibnas.skeleton", None)
    with pytest.warns(DeprecationWarning, match="import keras_pibnas.topology"):
        former = importlib.import_module("keras_pibnas.skeleton")
    assert former.plan is topology.plan and former.CellPlan is topology.CellPlan


def test_an_imagenet_stem_counts_as_a_reduction():
    cells = topology.plan(14, 48, stem_channels=topology.stem_channels("imagenet", 48), after_reduction=True)
    assert [cell.index for cell in cells if cell.reduction] == [4, 9]
    assert [cell.index for cell in cells if cell.reduction_prev] == [0, 5, 10]
    assert (cells[0].in_channels_prev_prev, cells[0].in_channels_prev) == (48, 48)


def test_a_chain_has_its_blocks_at_the_reductions():
    places = topology.chain_plan(layers=17, channels=16)
    assert [place.index for place in places if place.reduction] == [5, 11]
    assert column(places, "channels") == [16] * 5 + [32] * 6 + [64] * 6
    with pytest.raises(ValueError, match="channels=0"):
        topology.chain_plan(17, 0)


@pytest.mark.parametrize(("inputs", "nodes", "count"), [(1, 3, 6), (2, 4, 14), (2, 8, 44), (3, 2, 7), (1, 1, 1)])
def test_rows_and_bundles_of_any_topology(inputs, nodes, count):
    """Node i has inputs + i edges: 1 + 2 + 3, 2 + 3 + 4 + 5, ..., 3 + 4, 1."""
    cell = topology.Topology(inputs, nodes)
    assert cell.edge_count == count
    assert [row for node in range(nodes) for row in cell.node_rows(node)] == list(range(count))
    assert sorted(row for rows in cell.bundle_rows() for row in rows) == list(range(count))
    assert all(source < inputs + node for edges in cell.bundles() for source, node in edges)
    assert [len({source for source, _ in edges}) for edges in cell.bundles()] == [1] * (inputs + nodes - 1)


def test_bundles_of_nas_bench_201():
    cell = topology.Topology(inputs=1, nodes=3, keep=None, output="last")
    assert cell.bundles() == (((0, 0), (0, 1), (0, 2)), ((1, 1), (1, 2)), ((2, 2),))
    assert cell.states == (3,) and topology.Topology().states == (2, 3, 4, 5)


def test_widths_of_outputs():
    assert {name: topology.output_width(name, 4) for name in ("concatenate", "sum", "mean")} == {
        "concatenate": 4, "sum": 1, "mean": 1,
    }  # fmt: skip
    assert topology.output_width("last", 1) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inputs": 0}, "inputs=0"),
        ({"nodes": 1.5}, "nodes=1.5"),
        ({"keep": 0}, "keep=0"),
        ({"output": "product"}, "output must be one of concatenate, last, sum, mean. Received: output='product'"),
    ],
)
def test_topology_says_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        topology.Topology(**arguments)
