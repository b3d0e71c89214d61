import json

import pytest

import keras_pibnas as kp
from keras_pibnas.cli import demo


@pytest.mark.slow
def test_the_whole_way_at_small_settings(tmp_path, capsys, small_table):
    argv = [f"--table={small_table}", "--order=1", "--epochs=1"]
    directory = demo.main([*argv, "--out", str(tmp_path / "demo")])
    out = capsys.readouterr().out
    for name in demo.FILES:
        assert f"{directory / name} " in out and (directory / name).stat().st_size > 0
    result = json.loads((directory / "result.json").read_text())
    table = kp.tabular.load(small_table)
    entry = table.query(kp.Genotype.load(directory / "search" / "genotype.json"))
    trained = json.loads((directory / "searched" / "result.json").read_text())
    assert result["test_accuracy"] == trained["test_accuracy"]
    assert (result["rank"], result["cells"], result["percentile"]) == (entry.rank, 42, entry.percentile)
    assert result["random_cell_expected"] == pytest.approx(table.mean_test.mean())
    assert demo.verdict(entry, 42) in out


def test_the_verdict_is_plain():
    genotype = kp.tabular.CellSpace().genotype(0)
    entry = kp.tabular.Entry(0, genotype, 0.9, 0.95, (0.9,), (0.95,), 1, 1, 33, 94.9, 0.0123)
    assert demo.verdict(entry, 648) == (
        "The searched cell is better than 95 % of all 648 cells, and 1.23 points below the best one."
    )


def test_methods_that_choose_nothing_are_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        demo.main(["--method=random_sharing"])
    assert "Shared weights alone choose no genotype. Received: --method random_sharing" in capsys.readouterr().err
