"""search: genotypes by perturbation and by shared weights, stopped and gone on with."""

import csv
import json
import os
import re
import signal

import keras
import numpy as np
import pytest

import keras_pibnas as kp
from keras_pibnas.cli import common, search, selection

TINY = ["--space=tiny", "--side=4", "--layers=2", "--channels=2", "--nodes=1", "--order=1", "--batch-size=8"]
SHARING = ["--method=random_sharing", "--samples=6"]
PERTURBATION = ["--select=perturbation", "--projection-epochs=1"]


@pytest.fixture
def argv(npz, monkeypatch):
    """Of a search that takes seconds."""
    space = kp.spaces.SearchSpace("tiny", ("skip_connect", "avg_pool_3x3"))
    monkeypatch.setitem(kp.spaces.catalog._SPACES, "tiny", space)
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 1), "uint8")
    return [*TINY, "--epochs=1", "--dataset", str(npz(x=images, y=np.arange(40) % 2))]


def eager(monkeypatch):
    """Supernets without tf.function: seconds less in a test."""
    build = search.build

    def built(*args, **kwargs):
        model = build(*args, **kwargs)
        model.run_eagerly = True
        return model

    monkeypatch.setattr(search, "build", built)
    configure = search.configure
    monkeypatch.setattr(
        search, "configure", lambda model, *args: (configure(model, *args), setattr(model, "run_eagerly", True))
    )


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_shared_weights_rank_genotypes_and_go_on_after_a_signal(argv, tmp_path, capsys, monkeypatch):
    eager(monkeypatch)
    one, other = tmp_path / "one", tmp_path / "other"
    search.main([*argv, *SHARING, "--out", str(one)])
    out = capsys.readouterr().out
    assert {path.name for path in one.iterdir()} == {
        "genotype.json", "normal.png", "reduction.png", "curves.png", "history.csv", "supernet.keras", "config.json",
        "checkpoints", "progress.json", "tensorboard", "ranking.csv", "ranking.jsonl",
    }  # fmt: skip
    assert all(f"{path} " in out for path in one.iterdir())
    found = rows(one / "ranking.csv")
    assert len(found) == 6 and str(kp.Genotype.load(one / "genotype.json")) == found[0]["genotype"]
    assert [float(row["accuracy_of_all"]) for row in found] == sorted(
        (float(row["accuracy_of_all"]) for row in found), reverse=True
    )
    again = selection.Known.__setitem__

    def stopped(known, name, value):
        if len(known) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        again(known, name, value)

    with monkeypatch.context() as patched, pytest.raises(SystemExit) as end:
        patched.setattr(selection.Known, "__setitem__", stopped)
        search.main([*argv, *SHARING, "--out", str(other)])
    assert end.value.code == 128 + signal.SIGTERM
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == (
        "keras-pibnas search: Stopped after 4 comparisons; everything is saved. "
        f"To go on: keras-pibnas search --resume {other}"
    )
    with open(other / "ranking.jsonl", "a") as file:
        file.write('{"name": "part/9')  # a kill in the middle of a line
    search.main(["--resume", str(other)])
    for name in ("ranking.csv", "ranking.jsonl", "genotype.json", "history.csv"):
        assert (one / name).read_text() == (other / name).read_text()


@pytest.mark.slow
def test_perturbation_decides_and_goes_on_after_a_signal(argv, tmp_path, capsys, monkeypatch, stop_at):
    eager(monkeypatch)
    one, other = tmp_path / "one", tmp_path / "other"
    search.main([*argv, *PERTURBATION, "--out", str(one)])
    assert f"{one / 'projection'} " in capsys.readouterr().out
    decisions = json.loads((one / "projection" / "decisions.json").read_text())
    assert len(decisions) == 4 and {row["cell"] for row in decisions} == {"normal", "reduce"}  # two edges each
    chosen = {(row["cell"], row["edge"]): row["op"] for row in decisions}
    genotype = kp.Genotype.load(one / "genotype.json")
    assert {op for op, source in genotype.normal if source == 0} == {chosen["normal", 0]}
    assert genotype == keras.saving.load_model(one / "supernet.keras").genotype()
    # Both halves have 20 images, an epoch 2 steps: it stops in the one of the selection.
    callbacks = common.progress_callbacks

    def with_stop(directory, *rest):
        return [*callbacks(directory, *rest), *([stop_at(1)] if directory.name == "projection" else [])]

    with monkeypatch.context() as patched, pytest.raises(SystemExit) as end:
        patched.setattr(common, "progress_callbacks", with_stop)
        search.main([*argv, *PERTURBATION, "--out", str(other)])
    assert end.value.code == 128 + signal.SIGTERM
    assert capsys.readouterr().err.endswith(f"To go on: keras-pibnas search --resume {other}\n")
    search.main(["--resume", str(other)])
    assert kp.Genotype.load(other / "genotype.json") == genotype
    assert (one / "projection" / "history.csv").read_text() == (other / "projection" / "history.csv").read_text()
    states = [kp.runs.newest_snapshot(run / "projection" / "checkpoints")[1] for run in (one, other)]
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        np.testing.assert_array_equal(value, states[1][name], err_msg=name)


@pytest.mark.parametrize(
    ("flags", "words"),
    (
        (["--samples=5"], "--samples belongs to --method random_sharing. Received: --samples=5"),
        (["--projection-epochs=5"], "--projection-epochs belongs to --select perturbation."),
        ([*SHARING, "--select=perturbation"], "learns no alphas: .* see --samples. Received: --select"),
        ([*SHARING, "--skip-limit=2", "--stable-epochs=3"], "Received: --skip-limit, --stable-epochs"),
        (["--select=eyes"], "--select: invalid choice: 'eyes'"),
        (["--method=random_sharing", "--samples=0"], "--samples: invalid whole number"),
    ),
)
def test_flags_that_do_not_go_together(flags, words, fails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = fails(search.main, flags)
    assert re.search(words, line), line
    assert not list(tmp_path.iterdir())
