import csv
import io

import pytest

import keras_pibnas as kp
from keras_pibnas.cli import complexity

SMALL = kp.Genotype((("skip_connect", 0), ("sep_conv_3x3", 1)), (("max_pool_3x3", 0), ("sep_conv_3x3", 1)), (2,), (2,))


@pytest.fixture
def rows(capsys):
    """rows(argv...): the rows that the command prints as CSV."""

    def run(*argv):
        complexity.main([*argv, "--format", "csv"])
        return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))

    return run


def test_rows_of_table_1_beside_the_papers(rows):
    found = rows("--layers", "2", "4")
    keys = ("genotype", "layers", "parameters", "conv+linear MACs", "table MACs", "paper's GMAC", "meets")
    block = complexity.TABLE_BLOCK
    assert [tuple(row[key] for key in keys) for row in found] == [
        ("DARTS_V2", "2", "82342", "33515136", "35174026", "0.035", "both"),
        ("DARTS_V2", "4", "487162", "87179904", "90949258", "0.090", "both"),
        ("PIBCONV", "2", "376534", "64315008", "66084490", "0.067", "neither"),
        ("PIBCONV", "4", "1096390", "160087680", "163552906", "0.166", "parameters"),
        (block, "2", "379126", "64315008", "66748042", "0.067", "GMAC"),
        (block, "4", "1104742", "160087680", "166428298", "0.166", "both"),
    ]


def test_the_note_stands_under_table_1_only(capsys):
    complexity.main(["--layers", "2"])
    assert complexity.NOTE in capsys.readouterr().out
    complexity.main(["--layers", "2", "--side", "8"])
    assert "meets all ten" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "text", "is_given"),
    [(1.596034, "1.6", True), (0.116650, "0.116", True), (0.116650, "0.117", True), (0.116650, "0.118", False),
     (3.349342, "3.30", False), (6.057766, "6.06", True), (6.006790, "6.06", False)],
)  # fmt: skip
def test_printed_figures_are_rounded_or_cut(value, text, is_given):
    assert complexity.gives(value, text) is is_given


def test_any_genotype_depth_width_and_input(rows, tmp_path):
    SMALL.save(tmp_path / "small.json")
    argv = ["--layers", "2", "--channels", "4", "--side", "9", "--image-channels", "1", "--classes", "3"]
    by_file, by_text = rows("--genotype", str(tmp_path / "small.json"), SMALL.to_json(), *argv)
    want = kp.analysis.complexity(kp.build_network(SMALL, (9, 9, 1), 3, 4, 2))
    for row in (by_file, by_text):
        assert (int(row["parameters"]), int(row["conv+linear MACs"])) == (want.params, want.macs)
        assert row["paper's GMAC"] == row["meets"] == ""
    assert (by_file["genotype"], by_text["genotype"]) == (str(tmp_path / "small.json"), "genotype 2")


def test_other_stems_and_the_auxiliary_head(rows):
    text = SMALL.to_json()
    plain, head, patches = (
        int(rows("--genotype", text, "--layers", "3", "--channels", "4", *more)[0]["parameters"])
        for more in ([], ["--auxiliary"], ["--stem", "patchify"])
    )
    # one node of 16 channels goes into the head; the stem's kernel is 4x4 instead of 3x3
    assert head - plain == 16 * 128 + 2 * 128 + 2 * 2 * 128 * 768 + 2 * 768 + 768 * 10 + 10
    assert patches - plain == (16 - 9) * 3 * 12


def test_a_breakdown_names_layers_and_adds_up(rows):
    found = rows("--genotype", "DARTS_V2", "--layers", "2", "--breakdown")
    assert sum(int(row["parameters"]) for row in found) == 82342
    assert sum(int(row["conv+linear MACs"]) for row in found) == 33515136
    assert found[0]["layer"] == "stem"


def test_equations(rows, capsys):
    row = next(row for row in rows("--equations") if (row["C"], row["K"], row["F (2)"]) == ("16", "3", "4"))
    assert (row["equation (1)"], row["equation (2)"]) == (str(8 * 256 + 9 * 16), str(5 * 256 + 18 * 16))
    complexity.main(["--equations", "--format", "markdown"])
    assert "| C" in (out := capsys.readouterr().out) and "0.63" in out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--channels", "7", "--layers", "2"], "channels"),
        (["--genotype", "NONE"], "Unknown genotype 'NONE'"),
        (["--equations", "--layers", "2"], "--equations goes with --format only"),
        (["--layers", "3", "--side", "8", "--auxiliary"], "uxiliary"),
    ],
)
def test_wrong_input_ends_in_one_line(argv, words, fails):
    assert words in fails(complexity.main, argv)
