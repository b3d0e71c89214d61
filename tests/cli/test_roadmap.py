import csv
import json
from pathlib import Path

import keras
import pytest

import keras_pibnas as kp
from keras_pibnas.cli import roadmap, search, train

TINY = [
    "--nodes=1", "--search-layers=2", "--search-channels=2", "--search-epochs=1", "--search-batch-size=64",
    "--train-channels=4", "--train-epochs=1", "--train-batch-size=64",
]  # fmt: skip


def read(directory):
    with open(directory / "roadmap.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_step_for_real(tmp_path, capsys):
    argv = [*TINY, "--steps", "convnext", "--train-layers", "2", "--out", str(tmp_path / "road")]
    directory = roadmap.main(argv)
    trained = json.loads((directory / "convnext" / "train_2" / "result.json").read_text())
    genotype = kp.Genotype.load(directory / "convnext" / "search" / "genotype.json")
    assert {op for op, _ in genotype.normal} <= set(kp.spaces.get("convnext").primitives)
    want = kp.analysis.complexity(kp.build_network(genotype, (8, 8, 1), 10, 4, 2))
    (row,) = read(directory)
    assert (row["name"], row["kept"], row["layers"]) == ("ConvNeXt block", "False", "2")
    assert float(row["accuracy"]) == pytest.approx(100 * trained["test_accuracy"])
    assert (int(row["params"]), int(row["macs"])) == (want.params, want.macs)
    assert float(row["gmacs"]) == pytest.approx(want.ptflops_macs / 1e9)
    out = capsys.readouterr().out
    assert "Step 1 of 1: convnext (ConvNeXt block)" in out and "1 of 1 steps done" in out
    for name in roadmap.FILES:
        assert f"{directory / name} " in out and (directory / name).stat().st_size > 0


@pytest.fixture
def calls(monkeypatch):
    """Stands for search and train: every call is listed, and leaves the files of one; accuracy is 0.9 less
    a hundredth of the layers."""
    listed = []

    def run(command):
        def main(argv):
            flags = dict(word.removeprefix("--").split("=", 1) for word in argv)
            listed.append((command, flags))
            out = Path(flags.get("out") or flags["resume"])
            out.mkdir(parents=True, exist_ok="resume" in flags)
            for name in command.FILES:
                (out / name).touch()
            if command is train:
                dense = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
                dense.save(out / "model.keras")
                accuracy = 0.9 - int(out.name.removeprefix("train_")) / 100
                (out / "result.json").write_text(json.dumps({"test_accuracy": accuracy}))

        return main

    for command in (search, train):
        monkeypatch.setattr(command, "main", run(command))
    return listed


def test_every_step_and_every_depth(calls, tmp_path):
    directory = roadmap.main([*TINY, "--train-layers", "4", "2", "--out", str(tmp_path / "road")])
    assert [flags["space"] for command, flags in calls if command is search] == list(roadmap.STEPS)
    assert [command for command, _ in calls[:3]] == [search, train, train]
    assert calls[1][1]["genotype"] == str(directory / "darts" / "search")
    rows = read(directory)
    assert [row["kept"] for row in rows] == ["True", "True", "False", "False", "True"]
    assert {(row["layers"], float(row["accuracy"])) for row in rows} == {("2", 88.0)}  # the most accurate depth
    result = json.loads((directory / "pibconv" / "result.json").read_text())
    assert [one["layers"] for one in result["trained"]] == [4, 2]
    assert (result["params"], result["macs"], result["gmacs"]) == (10, 8, 10e-9)  # a dense layer, 4 to 2, with bias


def test_a_roadmap_is_gone_on_with(calls, tmp_path, capsys):
    directory = roadmap.main([*TINY, "--steps", "darts", "--out", str(tmp_path / "road")])
    (directory / "darts_gelu" / "search").mkdir(parents=True)  # a search that ended before it wrote anything
    calls.clear()
    assert roadmap.main(["--resume", str(directory), "--steps", "darts", "darts_gelu", "pibconv_f1.5"]) == directory
    found = [(command, flags.get("space")) for command, flags in calls]
    assert found == [(search, "darts_gelu"), (train, None), (search, "pibconv_f1.5"), (train, None)]
    assert calls[0][1]["epochs"] == "1" and calls[0][1]["nodes"] == "1"  # the settings of the first run
    assert [row["space"] for row in read(directory)] == ["darts", "darts_gelu", "pibconv_f1.5"]
    assert "done before" in capsys.readouterr().out


def test_what_was_cut_off_goes_on_where_it_stood(calls, tmp_path):
    directory = roadmap.main([*TINY, "--steps", "darts", "--out", str(tmp_path / "road")])
    (directory / "darts" / "result.json").unlink()
    (directory / "darts" / "train_3" / "curves.png").unlink()
    calls.clear()
    roadmap.main(["--resume", str(directory)])
    assert calls == [(train, {"resume": str(directory / "darts" / "train_3")})]


@pytest.mark.parametrize(("stop", "status"), [(KeyboardInterrupt(), 130), (SystemExit(143), 143)])
def test_an_interruption_says_how_to_go_on(stop, status, calls, tmp_path, capsys, monkeypatch):
    def interrupted(argv):
        raise stop

    monkeypatch.setattr(train, "main", interrupted)
    with pytest.raises(SystemExit) as stopped:
        roadmap.main([*TINY, "--out", str(tmp_path / "road")])
    assert stopped.value.code == status
    assert f"goes on with --resume {tmp_path / 'road'}" in capsys.readouterr().err


def test_the_papers_settings_are_those_of_search_and_train(calls, tmp_path, monkeypatch):
    monkeypatch.setattr(roadmap, "check", lambda args: None)  # CIFAR-10 is not here
    roadmap.main(["--preset", "paper", "--steps", "darts", "--out", str(tmp_path / "road")])
    for command, flags in calls:
        for name, value in command.PRESETS["paper"].items():
            assert flags[name.replace("_", "-")] == str(value), name
    assert (calls[0][1]["order"], calls[0][1]["nodes"], calls[0][1]["alpha-learning-rate"]) == ("2", "4", "0.0003")


def test_the_change_is_since_the_last_step_that_was_kept():
    costs = {"layers": 2, "params": 1, "macs": 1, "gmacs": 1.0}
    rows = [
        {"name": name, "space": name, "kept": kept, "accuracy": accuracy, **costs}
        for name, kept, accuracy in (("a", True, 90.0), ("b", False, 80.0), ("c", True, 92.5))
    ]  # fmt: skip
    assert [row["change"] for row in roadmap.shown(rows)] == ["", "-10.00", "+2.50"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--steps", "nonsense"], "Unknown search space 'nonsense'"),
        (["--steps", "pibconv_f1.3", "--search-channels=4"], "expansion=1.3"),
        (["--search-layers=1"], "layers"),
        (["--train-layers", "3", "1"], "layers"),
        (["--nodes=9"], "nodes"),
        (["--search-batch-size=5000"], "batch_size"),
        (["--train-cutout=9"], "cutout"),
        (["--train-auxiliary=0.4"], "uxiliary"),
        (["--dataset=nonsense"], "'nonsense'"),
        (["--resume=nowhere"], "Not the directory of a roadmap. Received: --resume nowhere"),
    ],
)
def test_wrong_input_is_met_before_the_first_search(argv, words, fails, calls, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert words in fails(roadmap.main, argv)
    assert not calls and not list(tmp_path.iterdir())


def test_the_steps_of_a_roadmap_share_their_settings(calls, fails, tmp_path):
    directory = roadmap.main([*TINY, "--steps", "darts", "--out", str(tmp_path / "road")])
    line = fails(roadmap.main, ["--resume", directory, "--search-epochs=2"])
    assert "share --search-epochs=1" in line and "Received: --search-epochs=2" in line
    assert "--resume an old one" in fails(roadmap.main, ["--resume", directory, "--out", tmp_path / "x"])
