"""What an op is worth: held to a table in which every op adds what it adds."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from keras_pibnas.tabular import CellSpace, Settings, Table, equal_macs, swaps

SPACE = CellSpace(("skip_connect", "max_pool_3x3", "sep_conv_3x3", "pib_conv_3x3"))
WORTH = {"skip_connect": 0, "max_pool_3x3": 10, "sep_conv_3x3": 30, "pib_conv_3x3": 50}
MACS = {"skip_connect": 0, "max_pool_3x3": 0, "sep_conv_3x3": 20, "pib_conv_3x3": 30}


@pytest.fixture(scope="module")
def table():
    right = np.array([[100 + sum(WORTH[op] for op, _ in cell)] for cell in SPACE.cells])
    about = {
        "settings": asdict(Settings()), "primitives": SPACE.primitives, "reduce": SPACE.reduce,
        "images": {"train": 400, "valid": 1000, "test": 1000},
    }  # fmt: skip
    macs = np.array([1000 + sum(MACS[op] for op, _ in cell) for cell in SPACE.cells])
    return Table({"valid": right, "test": right, "params": macs, "macs": macs, "about": json.dumps(about)})


def test_swaps_find_what_ops_are_worth(table):
    found = {(row["from"], row["to"]): row for row in swaps(table)}
    assert len(found) == 6
    for (first, second), row in found.items():
        assert row["mean"] == pytest.approx((WORTH[second] - WORTH[first]) / 1000)
        assert row["deviation"] == pytest.approx(0, abs=1e-9) and row["better"] == 1
        # Of the 648 cells' 2592 edges, each op has as many.
        assert 0 < row["pairs"] < 2592


def test_cells_of_equal_macs(table):
    rows = equal_macs(table)
    at = {tuple(sorted(row["ops"].items())): row for row in rows if row["macs"] == 1060}
    # Two PIBConv ops cost as much as three separable ones; the rest are pools and skips, 0 to 10 each.
    assert set(at) == {(("pib_conv_3x3", 2),), (("sep_conv_3x3", 3),)}
    pib, sep = at[("pib_conv_3x3", 2),], at[("sep_conv_3x3", 3),]
    assert pib["best"] == pytest.approx(0.1 + 0.1 + 0.02) and sep["best"] == pytest.approx(0.1 + 0.09 + 0.01)
    expected = [
        np.mean([0.1 + sum(WORTH[op] for op, _ in cell) / 1000 for cell in SPACE.cells
                 if [op for op, _ in cell].count("pib_conv_3x3") == 2 and "sep_conv_3x3" not in dict(cell)])
    ]  # fmt: skip
    assert pib["mean"] == pytest.approx(expected[0])
    assert all(row["macs"] != 1020 for row in rows)  # one separable convolution: nothing else costs as much
