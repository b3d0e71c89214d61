"""The table that is shipped."""

import subprocess
import sys

import numpy as np
import pytest

from keras_pibnas import tabular
from keras_pibnas.analysis import complexity
from keras_pibnas.network import build_network


def test_every_cell_was_trained_from_two_seeds_and_a_fifth_from_three():
    table = tabular.load("digits")
    assert len(table) == 648 and table.test.shape == (648, 3)
    assert not np.isnan(table.test[:, :2]).any() and not np.isnan(table.test[::5, 2]).any()
    np.testing.assert_array_equal(np.isnan(table.valid), np.isnan(table.test))


def test_spread_is_what_the_document_says():
    spread = tabular.load("digits").spread()
    assert (round(100 * spread.cells, 2), round(100 * spread.seeds, 2)) == (5.18, 2.65)  # docs/science.md


def test_costs_are_those_of_the_networks():
    table = tabular.load("digits")
    entry = table.entry(300)
    count = complexity(build_network(entry.genotype, (16, 16, 1), 10, table.settings.channels, table.settings.layers))
    assert (entry.params, entry.macs) == (count.params, count.macs)


@pytest.mark.slow
def test_three_cells_trained_again_meet_the_table():
    words = [sys.executable, "-m", "benchmarks.tabular", "check", "--cells=3"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr[-500:]
    assert done.stdout.count("in the table") == 3
