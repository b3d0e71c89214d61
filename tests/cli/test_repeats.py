"""search --repeats: four seeds side by side, of which one is kept."""

import csv
import json
import re
import sys

import numpy as np
import pytest

import keras_pibnas as kp
from keras_pibnas.cli import repeats, search

TINY = ["--space=tiny", "--side=8", "--layers=2", "--channels=2", "--nodes=1", "--order=1", "--batch-size=8"]
SEEDS = ["--seed=5", "--repeats=4", "--jobs=2"]
# Instead of a search and a training: the supernet's accuracy falls with the seed; the network's is best of seed 7.
STUB = """
import json, pathlib, sys
command, *words = sys.argv[1:]
flags = dict(word[2:].split("=", 1) for word in words if "=" in word)
out = pathlib.Path(flags.get("out") or flags["resume"])
seed = int(out.parent.name.removeprefix("seed_"))
{more}
out.mkdir(exist_ok=True)
(out / "config.json").write_text(json.dumps({{"command": command, "words": words}}))
op = "skip_connect" if seed == 6 else "avg_pool_3x3"
genotype = {{"normal": [[op, 0], ["avg_pool_3x3", 1]], "reduce": [["avg_pool_3x3", 0], [op, 1]]}}
genotype |= {{"normal_concat": [2], "reduce_concat": [2]}}
if command == "search":
    (out / "genotype.json").write_text(json.dumps(genotype))
    (out / "history.csv").write_text(f"epoch,val_accuracy\\n1,0.1\\n2,{{(10 - seed) / 10}}\\n")
else:
    (out / "result.json").write_text(json.dumps({{"test_accuracy": 0.9 if seed == 7 else 0.5}}))
"""


@pytest.fixture
def argv(npz, monkeypatch):
    space = kp.spaces.SearchSpace("tiny", ("skip_connect", "avg_pool_3x3"))
    monkeypatch.setitem(kp.spaces.catalog._SPACES, "tiny", space)
    return [*TINY, *SEEDS, "--dataset", str(npz(x=np.zeros((40, 8, 8, 1), "uint8"), y=np.arange(40) % 2))]


def stub(monkeypatch, more=""):
    """Repeats run a few lines of Python with the words of the command; `more` is code that runs in it first."""
    real = repeats.Repeat.words

    def words(repeat, command, flags, moved):
        (_, _, _, *given), log = real(repeat, command, flags, moved)
        return [sys.executable, "-S", "-c", STUB.format(more=more), *given], log

    monkeypatch.setattr(repeats.Repeat, "words", words)


def rows(directory):
    with open(directory / "repeats.csv", newline="") as file:
        return list(csv.DictReader(file))


def flags_of(directory, command):
    return set(json.loads((directory / command / "config.json").read_text())["words"])


def test_the_best_after_a_short_training_is_kept(argv, tmp_path, capsys, monkeypatch):
    stub(monkeypatch)
    run = tmp_path / "run"
    assert search.main([*argv, "--epochs=3", "--short-epochs=2", "--out", str(run)]) == run
    found = rows(run)
    assert [(row["seed"], row["supernet accuracy"], row["short training accuracy"], row["kept"]) for row in found] == [
        ("5", "50.00%", "50.00%", ""),
        ("6", "40.00%", "50.00%", ""),
        ("7", "30.00%", "90.00%", "yes"),
        ("8", "20.00%", "50.00%", ""),
    ]
    assert [row["skip connections"] for row in found] == ["0", "1", "0", "0"]
    assert kp.Genotype.load(run / "genotype.json") == kp.Genotype.load(run / "seed_7" / "search" / "genotype.json")
    out = capsys.readouterr().out
    table = [line.split() for line in out.splitlines() if re.match(r" *[5-8] ", line)]
    assert len(table) == 4 and table[2][-1] == "yes"
    for name in (*repeats.FILES, "seed_5", "seed_6", "seed_7", "seed_8"):
        assert f"{run / name} " in out and (run / name).exists()
    searched, trained = flags_of(run / "seed_6", "search"), flags_of(run / "seed_6", "train")
    assert {"--seed=6", "--space=tiny", "--layers=2", "--epochs=3", f"--out={run / 'seed_6' / 'search'}"} <= searched
    assert not any(re.match("--(repeats|jobs|short|select|preset|resume|method)", word) for word in searched)
    # All short trainings have one seed, and so the same halves; they are measured on the validation half.
    assert {"--seed=5", "--measure-on=valid", "--epochs=2", "--layers=2"} <= trained
    assert f"--genotype={run / 'seed_6' / 'search' / 'genotype.json'}" in trained


def test_what_failed_is_tried_again_and_what_has_ended_is_not(argv, tmp_path, capsys, monkeypatch):
    run, broken = tmp_path / "run", tmp_path / "broken"
    broken.touch()
    with monkeypatch.context() as patched:
        fails = "out.mkdir(exist_ok=True); (out / 'config.json').write_text('{}')\n"
        fails += f"assert (command, seed) != ('search', 6) or not pathlib.Path({str(broken)!r}).exists(), 'no luck'"
        stub(patched, fails)
        with pytest.raises(SystemExit) as end:
            search.main([*argv, "--out", str(run)])
    assert end.value.code == 1
    said = capsys.readouterr()
    assert "FAILED search, seed 6: exit status 1: AssertionError: no luck" in said.out
    assert said.err == f"keras-pibnas search: search failed from 1 of 4 seeds; --resume {run} tries them again\n"
    assert sorted(json.loads((run / "done.json").read_text())) == [["search", seed] for seed in (5, 7, 8)]
    stub(monkeypatch)
    search.main(["--resume", str(run)])
    assert "search: 1 of 4 to do" in capsys.readouterr().out
    assert f"--resume={run / 'seed_6' / 'search'}" in flags_of(run / "seed_6", "search")  # its own checkpoint goes on
    assert [row["kept"] for row in rows(run)] == ["", "", "yes", ""]
    search.main(["--resume", str(run)])
    assert "train: 0 of 4 to do" in capsys.readouterr().out


def test_by_the_supernets_themselves(argv, tmp_path, monkeypatch):
    stub(monkeypatch)
    run = search.main([*argv, "--select-by=search", "--out", str(tmp_path / "run")])
    assert [row["kept"] for row in rows(run)] == ["yes", "", "", ""] and "short training accuracy" not in rows(run)[0]
    assert not (run / "seed_5" / "train").exists()


def test_words_of_flags():
    found = kp.runs.words({"a_b": 1, "c": True, "d": False, "e": None, "f": [2, 3]})
    assert found == ["--a-b=1", "--c", "--f", "2", "3"]


@pytest.mark.slow
def test_real_searches_and_trainings(npz, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1), "uint8")
    data = npz(x=images, y=np.arange(64) % 2)
    flags = ["--space=s2", "--repeats=2", "--jobs=2", "--epochs=1", "--short-epochs=1"]
    run = search.main([*TINY[1:], *flags, "--nodes=4", "--dataset", str(data), "--out", str(tmp_path / "run")])
    found = rows(run)
    best = max(range(2), key=lambda index: float(found[index]["short training accuracy"].rstrip("%")))
    assert found[best]["kept"] == "yes"
    assert str(kp.Genotype.load(run / "genotype.json")) == found[best]["genotype"]
    images = len(kp.data.load(str(data), 8).halves(seed=0).arrays["valid"][0])
    right = float(found[0]["short training accuracy"].rstrip("%")) / 100 * images  # of the validation half
    assert abs(right - round(right)) < 0.01


@pytest.mark.parametrize(
    ("flags", "words"),
    (
        (["--jobs=2"], "--jobs belongs to --repeats."),
        (["--cluster=ray"], "--cluster belongs to --repeats."),
        (["--repeats=2", "--cpus-per-trial=2"], "--cpus-per-trial goes with --cluster."),
        (["--select-by=short"], "--select-by belongs to --repeats."),
        (["--repeats=2", "--select-by=search", "--short-epochs=3"], "--short-epochs belongs to --select-by short"),
        (["--repeats=0"], "--repeats: invalid whole number"),
        (["--repeats=2", "--space=nonsense"], "Unknown search space 'nonsense'"),
    ),
)
def test_flags_that_do_not_go_together(flags, words, fails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = fails(search.main, flags)
    assert re.search(words, line), line
    assert not list(tmp_path.iterdir())
