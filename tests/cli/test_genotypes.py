import csv
import io

import pytest

import keras_pibnas as kp
from keras_pibnas.cli import genotypes


def rows(capsys, *argv):
    genotypes.main([*argv, "--format", "csv"])
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


def test_every_published_genotype_has_a_row(capsys):
    found = rows(capsys)
    assert [row["genotype"] for row in found] == list(kp.genotypes.names())
    fair = next(row for row in found if row["genotype"] == "FairDARTS_c")
    assert (fair["params (M)"], fair["with head"], fair["MACs (M)"], fair["error (%)"]) == ("2.59", "", "400", "2.50")


def test_search_finds_names_sources_and_ops(capsys):
    assert [row["genotype"] for row in rows(capsys, "--search", "fairdarts_")] == [f"FairDARTS_{x}" for x in "abcdefg"]
    assert {row["genotype"] for row in rows(capsys, "--search", "SGAS")} == {
        f"Cri{i}_CIFAR_{j}" for i in (1, 2) for j in (1, 2)
    }
    assert {row["genotype"] for row in rows(capsys, "--search", "noise")} == {"cifar10_s4_0"}
    assert "INVOLUTION_L8" in {row["genotype"] for row in rows(capsys, "--search", "sep_invo")}


@pytest.mark.parametrize("reverse", (False, True))
def test_rows_without_the_figure_stand_last(capsys, reverse):
    found = [row["error (%)"] for row in rows(capsys, "--sort", "error", *["--reverse"] * reverse)]
    known = [float(text) for text in found if text]
    assert known == sorted(known, reverse=reverse) and len(known) > 10
    assert found[len(known) :] == [""] * (len(found) - len(known))


def test_names_in_order(capsys):
    names = [row["genotype"].lower() for row in rows(capsys, "--sort", "name")]
    assert names == sorted(names)
    assert rows(capsys, "--reverse")[-1]["genotype"] == "PIBCONV"


def test_nothing_found_is_one_line(capsys):
    with pytest.raises(SystemExit) as stopped:
        genotypes.main(["--search", "resnet-50"])
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and error.count("\n") == 1 and "resnet-50" in error
