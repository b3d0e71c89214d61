"""Rows of alpha and bundles of edges, by hand."""

import pytest

from keras_pibnas.topology import bundles, edge_count, edge_row, node_rows


@pytest.mark.parametrize(("nodes", "count"), ((1, 2), (2, 5), (3, 9), (4, 14), (8, 44)))
def test_edge_count(nodes, count):
    """2 + 3 + ... + (nodes + 1)."""
    assert edge_count(nodes) == count


def test_rows_go_node_by_node():
    assert [node_rows(node) for node in range(4)] == [[0, 1], [2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12, 13]]
    assert edge_row(source=3, node=3) == 12


def test_bundles_of_four_nodes():
    assert bundles(4) == (
        ((0, 0), (0, 1), (0, 2), (0, 3)),
        ((1, 0), (1, 1), (1, 2), (1, 3)),
        ((2, 1), (2, 2), (2, 3)),
        ((3, 2), (3, 3)),
        ((4, 3),),
    )


def test_one_node_reads_the_inputs_only():
    assert bundles(1) == (((0, 0),), ((1, 0),))


@pytest.mark.parametrize("nodes", (1, 2, 3, 8))
def test_every_edge_stands_in_one_bundle(nodes):
    rows = [edge_row(*edge) for edges in bundles(nodes) for edge in edges]
    assert sorted(rows) == list(range(edge_count(nodes)))
