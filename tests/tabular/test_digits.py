"""The tables that are shipped."""

import subprocess
import sys

import numpy as np
import pytest

from keras_pibnas import tabular
from keras_pibnas.analysis import complexity
from keras_pibnas.network import build_network

CELLS = {"digits": 1225, "digits_without_noise": 648}
# Interquartile range over cells and standard deviation over seeds, in points, as docs/science.md has them.
SPREAD = {"digits": (25.63, 3.89), "digits_without_noise": (5.18, 2.65)}


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_was_trained_from_two_seeds_and_a_fifth_from_three(name):
    table = tabular.load(name)
    assert len(table) == CELLS[name] and table.test.shape == (CELLS[name], 3)
    assert not np.isnan(table.test[:, :2]).any() and not np.isnan(table.test[::5, 2]).any()
    np.testing.assert_array_equal(np.isnan(table.valid), np.isnan(table.test))


@pytest.mark.parametrize("name", SPREAD)
def test_spread_is_what_the_document_says(name):
    spread = tabular.load(name).spread()
    assert (round(100 * spread.cells, 2), round(100 * spread.seeds, 2)) == SPREAD[name]


def test_cells_spread_three_times_as_far_as_seeds():
    assert tabular.load("digits").spread().ratio > 3


def test_the_smaller_table_is_a_part_of_the_larger():
    whole, part = map(tabular.load, CELLS)
    numbers = [whole.space.index(part.space.genotype(cell)) for cell in range(len(part))]
    for name in ("valid", "test"):
        known = ~np.isnan(getattr(part, name))
        np.testing.assert_array_equal(getattr(whole, name)[numbers][known], getattr(part, name)[known])
    np.testing.assert_array_equal(whole.macs[numbers], part.macs)


@pytest.mark.parametrize("name", CELLS)
def test_costs_are_those_of_the_networks(name):
    table = tabular.load(name)
    entry = table.entry(300)
    count = complexity(build_network(entry.genotype, (16, 16, 1), 10, table.settings.channels, table.settings.layers))
    assert (entry.params, entry.macs) == (count.params, count.macs)


@pytest.mark.slow
def test_three_cells_trained_again_meet_the_table():
    words = [sys.executable, "-m", "benchmarks.tabular", "check", "--cells=3"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr[-500:]
    assert done.stdout.count("in the table") == 3
