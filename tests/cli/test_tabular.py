import pytest

import keras_pibnas as kp
from keras_pibnas.cli import tabular


def test_summary_best_cells_and_picture(small_table, tmp_path, capsys):
    tabular.main([f"--table={small_table}", "--top=2", f"--picture={tmp_path / 'cells.png'}"])
    out = capsys.readouterr().out
    assert "42 cells of skip_connect, sep_conv_3x3; 84 trainings from scratch, 1 min 24 s in all" in out
    # Tests of 1669 images: 20 i and 20 i + 10 right, i from 0 to 41.
    assert f"best {825 / 1669:.2%}, median {415 / 1669:.2%}, worst {5 / 1669:.2%}" in out
    # Quartiles of 20 i + 5 are 205 and 615 apart from it; deviation of the seeds 10 / sqrt(2).
    assert f"Interquartile range over cells {100 * 410 / 1669:.2f} points" in out
    assert f"of one cell {100 * 10 / 2**0.5 / 1669:.2f} points: 58.0 times" in out
    assert f"A random cell: expected test accuracy {415 / 1669:.2%}" in out
    assert "from seeds 0 and 1: 1.00; between validation from seed 0 and the mean test accuracy: 1.00" in out
    assert out.count("sep_conv_3x3(1)") >= 2 and "   1  " in out
    assert (tmp_path / "cells.png").stat().st_size > 0


def test_effects(small_table, capsys):
    tabular.main([f"--table={small_table}", "--effects"])
    out = capsys.readouterr().out
    assert "One op of a cell replaced by another:" in out and "skip_connect   sep_conv_3x3" in out
    assert "Cells of equal MACs" not in out  # where each cell has MACs of its own


def test_the_answer_on_one_cell(small_table, capsys):
    genotype = kp.tabular.load(small_table).space.genotype(40)
    tabular.main([f"--table={small_table}", f"--genotype={genotype.to_json()}"])
    assert (
        f"This cell: test accuracy {805 / 1669:.2%} ({800 / 1669:.2%}, {810 / 1669:.2%}), rank 2, better than "
        f"{100 * 40 / 42:.1f} % of all cells, {100 * 20 / 1669:.2f} points below the best; 140 parameters, 1,040 MACs"
    ) in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv, message", [(["--table=letters"], "Unknown table"), (["--genotype=DARTS_V2"], "two nodes")]
)
def test_wrong_questions(fails, argv, message, small_table):
    assert message in fails(tabular.main, [f"--table={small_table}", *argv])
