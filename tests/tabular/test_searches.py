"""Searches of a table's space: what they may find, and that one after the other equals each alone."""

import numpy as np
import pytest

from keras_pibnas import tabular
from keras_pibnas.methods import TopEdges
from keras_pibnas.tabular import CellSpace
from keras_pibnas.tabular.searches import Searcher, SearchSettings, allowed, fitted, search_space

SPACE = CellSpace(("avg_pool_3x3", "sep_conv_3x3"), (("skip_connect", 0), ("max_pool_3x3", 1)) * 2)
SETTINGS = SearchSettings(epochs=2, batch_size=32, ranked=3)


def test_edges_have_the_ops_of_the_table():
    assert search_space(SPACE, none=True).primitives == (
        "none", "avg_pool_3x3", "sep_conv_3x3", "max_pool_3x3", "skip_connect",
    )  # fmt: skip
    masks = allowed(SPACE, none=True)
    np.testing.assert_array_equal(masks["normal"], [[True, True, True, False, False]] * 5)
    # Edges into node 0 from states 0 and 1, into node 1 from states 0, 1 and 2.
    np.testing.assert_array_equal(masks["reduce"].argmax(1)[[0, 1, 2, 3]], [4, 3, 4, 3])
    np.testing.assert_array_equal(masks["reduce"].sum(1), [1, 1, 1, 1, 0])


PARTIAL = [("pc_darts", 8, 4), ("drnas", 8, 4), ("drnas", 4, 2), ("darts", 4, 1)]


@pytest.mark.parametrize("name, channels, partial", PARTIAL)
def test_methods_are_fitted(name, channels, partial):
    method = fitted(name, SPACE, channels)
    assert method.partial == partial and method.discretization == TopEdges(2)
    method.check_channels(channels)


@pytest.mark.slow
def test_a_second_search_is_what_it_is_alone(small_table):
    table = tabular.load(small_table)
    searcher = Searcher(table, "gdas", settings=SETTINGS)
    searcher.search(1)
    both = searcher.search(2)
    again = [variable.numpy() for variable in searcher.supernet.architecture]
    alone = Searcher(table, "gdas", settings=SETTINGS)
    found = alone.search(2)
    for one, other in zip(again, alone.supernet.architecture, strict=True):
        np.testing.assert_allclose(one, other.numpy(), atol=1e-5)
    assert np.abs(again[0]).max() > 0.01  # four steps of 0.01 from 0.001 times normal numbers
    assert both["cells"] == found["cells"] and len(found["cells"]) == 2 and found["cell"] == found["cells"][-1]
    assert table.space.index(searcher.supernet.genotype()) == found["cell"]
    assert len(set(found["ranked"])) == 3 and all(0 <= score <= 1 for score in found["scores"])


@pytest.mark.slow
def test_shared_weights_choose_where_there_are_no_alphas(small_table):
    table = tabular.load(small_table)
    found = Searcher(table, "random_sharing", settings=SETTINGS).search(0)
    drawn = np.random.default_rng([0, 1]).choice(42, 3, replace=False)
    assert found["cell"] in drawn and found["cells"] == [found["cell"]]
