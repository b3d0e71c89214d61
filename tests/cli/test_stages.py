"""search --method p_darts and its like: a run directory a stage, stopped in one and gone on with."""

import json
import re
import signal

import numpy as np
import pytest

import keras_pibnas as kp
from keras_pibnas.cli import common, search, stages
from keras_pibnas.methods import catalog

TINY = ["--space=tiny", "--side=4", "--channels=2", "--nodes=1", "--order=1", "--batch-size=8", "--epochs=2"]


@pytest.fixture
def argv(npz, monkeypatch):
    """Of a search in two stages that takes seconds."""
    space = kp.spaces.SearchSpace("tiny", ("skip_connect", "avg_pool_3x3"))
    monkeypatch.setitem(kp.spaces.catalog._SPACES, "tiny", space)
    steps = kp.methods.Stage(2, 2, 0.1), kp.methods.Stage(3, 1, kp.methods.Exponential(0.4, 0.1, 0.5))
    method = kp.methods.Method(stages=steps, rest=0.5, discretization=kp.methods.SkipLimited(2))
    monkeypatch.setattr(catalog, "_METHODS", catalog._METHODS | {"staged": method})
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 1), "uint8")
    return [*TINY, "--method=staged", "--dataset", str(npz(x=images, y=np.arange(40) % 2))]


@pytest.mark.slow
def test_a_search_stopped_in_its_second_stage_ends_as_an_undisturbed_one(argv, tmp_path, capsys, monkeypatch, stop_at):
    build = search.build

    def built(*args, **kwargs):
        model = build(*args, **kwargs)
        model.run_eagerly = True
        return model

    monkeypatch.setattr(search, "build", built)
    one, other = tmp_path / "one", tmp_path / "other"
    search.main([*argv, "--out", str(one)])
    out = capsys.readouterr().out
    assert "Stage 1 of 2: 2 cells, 2 ops an edge" in out and "Stage 2 of 2: 3 cells, 1 ops an edge" in out
    assert {path.name for path in one.iterdir()} == {
        "genotype.json", "normal.png", "reduction.png", "supernet.keras", "config.json", "stage_1", "stage_2",
    }  # fmt: skip
    assert {path.name for path in (one / "stage_2").iterdir()} == set(search.FILES) - {"supernet.keras", "config.json"}
    assert kp.Genotype.load(one / "genotype.json") == kp.Genotype.load(one / "stage_2" / "genotype.json")
    # Half of each stage the alphas rest: after the first of two epochs they are what they were.
    with np.load(one / "stage_1" / "alphas.npz") as arrays:
        assert (arrays["normal"][1] == arrays["normal"][0]).all() and (arrays["normal"][2] != arrays["normal"][0]).any()
    callbacks = common.progress_callbacks

    def with_stop(directory, *rest):
        return [*callbacks(directory, *rest), *([stop_at(3)] if directory.name == "stage_2" else [])]

    with monkeypatch.context() as patched, pytest.raises(SystemExit) as end:
        patched.setattr(common, "progress_callbacks", with_stop)
        search.main([*argv, "--out", str(other)])
    assert end.value.code == 128 + signal.SIGTERM
    assert capsys.readouterr().err.endswith(f"To go on: keras-pibnas search --resume {other}\n")
    assert "Stopped at" in json.loads((other / "stage_2" / "progress.json").read_text())["state"]
    search.main(["--resume", str(other)])
    for stage in ("stage_1", "stage_2"):
        for name in ("history.csv", "genotypes.jsonl", "genotype.json"):
            assert (one / stage / name).read_text() == (other / stage / name).read_text()
        states = [kp.runs.newest_snapshot(run / stage / "checkpoints")[1] for run in (one, other)]
        assert states[0].keys() == states[1].keys()
        for name, value in states[0].items():
            np.testing.assert_array_equal(value, states[1][name], err_msg=f"{stage} {name}")
    assert (one / "genotype.json").read_text() == (other / "genotype.json").read_text()


def test_flags_set_layers_and_ops_of_the_stages():
    args = search.build_parser().parse_args(
        ["--method=p_darts", "--stage-layers", "2", "3", "4", "--stage-ops", "10", "5", "2"]
    )
    method = stages.of(args, kp.methods.get("p_darts"))
    assert [(stage.layers, stage.ops) for stage in method.stages] == [(2, 10), (3, 5), (4, 2)]
    assert method.stages[1].skip_dropout == kp.methods.get("p_darts").stages[1].skip_dropout


@pytest.mark.parametrize(
    ("flags", "words"),
    (
        (["--stage-layers", "2", "3", "4"], "--stage-layers belongs to a method in stages, such as p_darts."),
        (["--method=p_darts", "--stage-ops", "10", "3"], "--stage-ops takes 3 numbers, one a stage. Received: 10 3"),
        (["--method=p_darts", "--layers=8"], "see --stage-layers. Received: --layers=8"),
        (["--method=p_darts", "--select=perturbation"], "selects by alphas. Received: --select=perturbation"),
        (["--method=p_darts", "--stage-layers", "2", "3", "1"], "at least 2 layers and 1 op. Received: layers=1"),
        (
            ["--method=p_darts", "--stage-layers", "2", "3", "4", "--side=8", "--channels=2", "--order=1", "--nodes=1"],
            r"the 10 ops of the space .* keep them all: Stage\(layers=2, ops=10\). Received: ops=8",
        ),
    ),
)
def test_flags_that_do_not_go_together(flags, words, fails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = fails(search.main, flags)
    assert re.search(words, line), line
    assert not list(tmp_path.iterdir())
