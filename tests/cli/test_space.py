import csv
import io

import pytest

import keras_pibnas as kp
from keras_pibnas.cli import space


def rows(capsys, *argv):
    space.main([*argv, "--format=csv"])
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


def test_every_space_and_both_other_levels(capsys):
    found = rows(capsys)
    assert {row["space"] for row in found} == {*kp.spaces.names(), "nasnet", "network", "paths"}
    numbers = {(row["space"], row["counted"]): int(row["architectures"]) for row in found}
    assert numbers["nasnet", "cells"] == 320_000_000_000
    assert numbers["darts", "cells, two edges a node"] == 180 * 7**8
    assert numbers["pibconv", "normal and reduction cells, edges unconstrained"] == 10**28
    assert numbers["network", "networks"] == 7371**5
    assert numbers["network", "networks, depth alone"] == 3**5
    assert numbers["paths", "paths through the resolutions"] == 28657


@pytest.mark.parametrize(
    "argv, expected",
    [
        (["--space=darts", "--nodes=2"], [3 * 7**4, (3 * 7**4) ** 2, 8**5, 8**10]),
        (["--space=pibconv", "--nodes=1", "--operations=3"], [9, 81, 16, 256]),
        (["--space=nasnet", "--operations=3", "--combinations=1", "--blocks=2"], [4**2 * 3**4]),
        (
            ["--space=network", "--depths", "1", "2", "--widths", "1", "2", "--kernels", "3", "--units=2"],
            [(2 + 4) ** 2, 2**2, 2**4, 1, 1, 1],
        ),
        (
            ["--space=network", "--resolutions", "32", "64", "--topologies=3", "--units=1"],
            [6 * 7371, 3, 3**4, 3**4, 2, 3],
        ),
        (["--space=paths", "--layers=3", "--levels=2"], [4]),  # flat or down, twice: each step has two ways
    ],
)
def test_one_space(argv, expected, capsys):
    assert [int(row["architectures"]) for row in rows(capsys, *argv)] == expected


def test_numbers_that_no_float_holds(capsys):
    exact = rows(capsys, "--space=darts", "--nodes=60", "--operations=9")
    assert int(exact[3]["architectures"]) == 10 ** (60 * 63) and exact[3]["about"] == "1.0e+3780"


def test_the_table_for_people(capsys):
    space.main(["--space=nasnet"])
    assert capsys.readouterr().out.splitlines()[-1].split() == [
        "nasnet",
        "cells",
        "3.2e+11",
        "320,000,000,000",
    ]


@pytest.mark.parametrize(
    "argv, words",
    [
        (["--space=nope"], "Unknown space 'nope'. Known: "),
        (["--nodes=0"], "--nodes: invalid whole number"),
        (["--space=pibconv", "--blocks=3"], "--blocks is of no use to the space pibconv. Received: 3"),
        (
            ["--space=darts", "--nodes=100"],
            "Numbers of up to 4000 digits are printed. Received: choices that give one of ",
        ),
        (["--space=network", "--levels=3"], "--levels is of no use to the space network"),
        (["--space=nasnet", "--nodes=3"], "--nodes is of no use to the space nasnet"),
        (["--kernels", "3", "3"], "`kernels` needs different choices"),
        (["--format=html"], "--format: invalid choice: 'html'"),
    ],
)
def test_bad_input(argv, words, fails):
    assert words in fails(space.main, argv)
