import csv
import io

import pytest

from apps import complexity


def test_rows_of_table_1_beside_the_papers(capsys):
    complexity.main(["--layers", "2", "--format", "csv"])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["genotype"], row["parameters"], row["table MACs"], row["paper's GMAC"]) for row in rows[:2]] == [
        ("DARTS_V2", "82342", "35174026", "0.035"),
        ("PIBCONV", "376534", "66084490", "0.067"),
    ]
    assert rows[2]["genotype"] == complexity.TABLE_BLOCK and rows[2]["parameters"] != "376534"


def test_the_tables_block_at_4_layers(capsys):
    complexity.main(["--layers", "4", "--format", "csv"])
    row = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))[2]
    assert row["parameters"] == "1104742" and round(int(row["table MACs"]) / 1e9, 3) == 0.166


def test_a_breakdown_names_layers_and_adds_up(capsys):
    complexity.main(["--genotype", "DARTS_V2", "--layers", "2", "--breakdown", "--format", "csv"])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert sum(int(row["parameters"]) for row in rows) == 82342
    assert rows[0]["layer"] == "stem"


def test_wrong_channels_end_in_one_line(capsys):
    with pytest.raises(SystemExit) as end:
        complexity.main(["--channels", "7", "--layers", "2"])
    assert end.value.code == 2 and capsys.readouterr().err.count("\n") == 1
