import argparse
import json

import numpy as np
import pytest

import keras_pibnas as kp
from keras_pibnas.cli import common, flags, search, train
from keras_pibnas.schedules import cosine

PAIRS = (("max_pool_3x3", 0), ("skip_connect", 1))
GENOTYPE = kp.Genotype(PAIRS, PAIRS[::-1], (2,), (2,))


@pytest.mark.parametrize("text", [GENOTYPE.to_json(), str(GENOTYPE)])
def test_a_genotype_by_its_text(text):
    assert common.resolve_genotype(text) == GENOTYPE


def test_a_genotype_by_name():
    assert common.resolve_genotype("PIBCONV") is kp.genotypes.get("PIBCONV")


def test_a_genotype_by_file_and_by_run_directory(tmp_path):
    GENOTYPE.save(tmp_path / "genotype.json")
    assert common.resolve_genotype(str(tmp_path / "genotype.json")) == GENOTYPE
    assert common.resolve_genotype(str(tmp_path)) == GENOTYPE


@pytest.mark.parametrize(
    "text, words",
    [
        ("NO_SUCH", "Unknown genotype 'NO_SUCH'.*PIBCONV.*no file or directory"),
        ("Genotype(normal=[('sep_conv_3x3', 5), ('sep_conv_3x3', 0)], reduce=[])", r"normal\[0\]"),
        ("{}", "missing: normal, reduce"),
        (".", "holds no genotype.json.*Received: \\."),
    ],
)
def test_what_is_no_genotype(text, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=words):
        common.resolve_genotype(text)


def test_a_run_directory_holds_the_configuration(tmp_path):
    directory = kp.runs.create_run_directory(str(tmp_path / "a" / "run"), "search", {"space": "darts", "seed": 3})
    assert directory == tmp_path / "a" / "run"
    assert json.loads((directory / "config.json").read_text()) == {
        "command": "search",
        "space": "darts",
        "seed": 3,
    }


def test_a_directory_is_refused_that_holds_something(tmp_path):
    (tmp_path / "other.txt").write_text("x")
    with pytest.raises(ValueError, match=f"holds another run.*Received: {tmp_path}"):
        kp.runs.create_run_directory(str(tmp_path), "search", {})


def test_without_a_name_runs_are_numbered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [str(kp.runs.create_run_directory(None, "train", {})) for _ in range(3)] == [
        "runs/train",
        "runs/train-2",
        "runs/train-3",
    ]


@pytest.mark.parametrize("app, layers", [(search, 8), (train, 20)])
def test_the_preset_sets_defaults_and_flags_win(app, layers):
    plain = flags.parse(app.build_parser(), [], app.PRESETS)
    paper = flags.parse(app.build_parser(), ["--preset", "paper"], app.PRESETS)
    mixed = flags.parse(app.build_parser(), ["--channels", "4", "--preset", "paper"], app.PRESETS)
    assert plain.layers != layers and paper.layers == mixed.layers == layers
    assert (mixed.channels, paper.dataset, paper.learning_rate) == (4, "cifar10", 0.0025)
    assert set(app.PRESETS["paper"]) <= set(vars(plain))


def test_a_cosine_from_the_first_rate_to_the_last():
    schedule = cosine(0.1, 100, last=0.001)
    # Half-way a cosine is at the mean of its ends.
    values = [float(schedule(step)) for step in (0, 50, 100, 150)]
    assert values == pytest.approx([0.1, 0.0505, 0.001, 0.001])
    assert float(cosine(0.0005, 10, last=0.001)(10)) == pytest.approx(0.0005)


def test_only_the_checks_errors_become_one_line(fails):
    parser = argparse.ArgumentParser(prog="command")

    def check(argv):
        with common.user_errors(parser):
            raise ValueError("wrong\n  value")

    assert fails(check, []) == "command: wrong value\n"
    with pytest.raises(ZeroDivisionError), common.user_errors(parser):
        _ = 1 // 0


def test_summary_names_every_file(tmp_path, capsys):
    common.summary("Files:", tmp_path, {"a.json": "one", "long.keras": "two"})
    assert capsys.readouterr().out == (f"\nFiles:\n  {tmp_path}/a.json      one\n  {tmp_path}/long.keras  two\n")


def test_positive_and_rate():
    assert flags.positive("3") == 3 and flags.rate("0.5") == 0.5
    for convert, text in [
        (flags.positive, "0"),
        (flags.positive, "1.5"),
        (flags.rate, "0"),
        (flags.rate, "nan"),
    ]:
        with pytest.raises(ValueError):
            convert(text)


def test_verbosity_without_a_terminal():
    assert common.verbosity() == 2
    assert np.all([flag["help"] for flag in flags.FLAGS.values()])
