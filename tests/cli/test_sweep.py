import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import keras
import pytest

import keras_pibnas as kp
from keras_pibnas.analysis import style
from keras_pibnas.cli import common, flags, grid, sweep
from keras_pibnas.runs import trials


@pytest.fixture
def drawn(monkeypatch):
    """List of the figures that were saved."""
    figures, save = [], style.save
    monkeypatch.setattr(style, "save", lambda figure, path: figures.append(figure) or save(figure, path))
    return figures


GRID = ["--genotype", "DARTS_V2", "--side=8", "--channels=2", "--layers", "2", "3", "--jobs=2"]
POOLS = "Genotype(normal=[('max_pool_3x3', 0), ('skip_connect', 1)], reduce=[('max_pool_3x3', 0), ('skip_connect', 1)])"
# Instead of a training: accuracy is a tenth of the layers and a hundredth of the seed.
STUB = """
import json, pathlib, sys
flags = dict(word[2:].split("=", 1) for word in sys.argv[1:])
print("trained", flags["layers"], flush=True)
{more}
out = pathlib.Path(flags["out"])
out.mkdir()
accuracy = int(flags["layers"]) / 10 + int(flags["seed"]) / 100
(out / "result.json").write_text(json.dumps({{"test_accuracy": accuracy, "training_seconds": 1.0}}))
"""


def stub(monkeypatch, more=""):
    """Trials run a few lines of Python with the flags of the training; `more` is code that runs in it first."""
    real = trials.Trial.command

    def command(trial, python, settings):
        (_, _, _, _, *flags), log = real(trial, python, settings)
        return [python, "-S", "-c", STUB.format(more=more), *flags], log

    monkeypatch.setattr(trials.Trial, "command", command)


def fails_with(capsys, status, argv):
    with pytest.raises(SystemExit) as stopped:
        sweep.main(argv)
    assert stopped.value.code == status
    return capsys.readouterr()


def rows(directory):
    with open(directory / "results.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_grid_and_its_results(tmp_path, monkeypatch, capsys):
    stub(monkeypatch)
    directory = sweep.main([*GRID, "--seeds", "0", "1", "--out", str(tmp_path / "sweep")])
    out = capsys.readouterr().out
    assert "Trials to train: 4, 2 at a time" in out and "[4 of 4]" in out
    found = rows(directory)
    assert [(row["layers"], row["seed"], round(float(row["accuracy"]), 9)) for row in found] == [
        ("2", "0", 20.0), ("2", "1", 21.0), ("3", "0", 30.0), ("3", "1", 31.0),
    ]  # fmt: skip
    model = kp.build_network("DARTS_V2", (8, 8, 1), 10, 2, 3)
    count = kp.analysis.complexity(model)
    assert (found[2]["params"], found[2]["macs"]) == (str(count.params), str(count.macs))
    assert found[2]["activation_memory"] == str(kp.analysis.peak_activation_memory(model))
    for name in sweep.FILES:
        assert f"{directory / name} " in out and (directory / name).stat().st_size > 0
    table = [line.split() for line in out.splitlines() if line.startswith("DARTS_V2 ")]
    assert "20.50" in table[0] and "30.50" in table[1]  # means of two seeds


def test_the_flags_of_a_training(tmp_path):
    network = trials.Network("G", common.resolve_genotype("PIBCONV"), "own", 4, 8, 16)
    trial = trials.Trial(network, 3, tmp_path)
    words, log = trial.command("python", {"dataset": "digits", "data_dir": None, "batch_size": 32})
    assert words[:4] == ["python", "-m", "keras_pibnas", "train"] and log.parent == trial.directory
    assert words[4:] == [
        "--dataset=digits", "--batch-size=32", f"--genotype={trial.directory / 'genotype.json'}", "--layers=4",
        "--channels=8", "--side=16", "--seed=3", f"--out={trial.directory / 'run'}",
    ]  # fmt: skip
    assert kp.Genotype.load(trial.directory / "genotype.json") == network.genotype


def test_what_is_done_is_not_done_again(tmp_path, monkeypatch, capsys):
    stub(monkeypatch)
    directory = sweep.main([*GRID, "--out", str(tmp_path / "sweep")])
    results = {path: path.stat().st_mtime_ns for path in directory.glob("trials/*/result.json")}
    capsys.readouterr()
    sweep.main(["--resume", str(directory), "--layers", "2", "4"])
    out = capsys.readouterr().out
    assert out.count("done before") == 1 and "Trials to train: 1," in out
    assert {path: path.stat().st_mtime_ns for path in results} == results
    assert [row["layers"] for row in rows(directory)] == ["2", "3", "4"]


def test_a_trial_that_fails_is_reported_and_tried_again(tmp_path, monkeypatch, capsys):
    flag = tmp_path / "broken"
    flag.touch()
    stub(monkeypatch, f"assert flags['layers'] != '2' or not pathlib.Path({str(flag)!r}).exists(), 'no luck'")
    said = fails_with(capsys, 1, [*GRID, "--out", str(tmp_path / "sweep")])
    assert re.search(
        r"FAILED DARTS_V2-\w+-l2-c2-s8-seed0: exit status 1: AssertionError: no luck \(.*log.txt\)", said.out
    )
    assert "trials that failed: 1;" in said.err and said.err.count("\n") == 1
    assert [row["layers"] for row in rows(tmp_path / "sweep")] == ["3"]
    flag.unlink()
    sweep.main(["--resume", str(tmp_path / "sweep")])
    assert [row["layers"] for row in rows(tmp_path / "sweep")] == ["2", "3"]


def test_a_training_without_a_result_is_a_failure(tmp_path, monkeypatch, capsys):
    stub(monkeypatch, "sys.exit(0)")
    said = fails_with(capsys, 1, [*GRID, "--layers=2", "--out", str(tmp_path / "sweep")])
    assert "FAILED" in said.out and "result.json" in said.out and "No trial is done yet." in said.out


def test_a_network_that_cannot_be_counted_is_reported(tmp_path, monkeypatch, capsys):
    stub(monkeypatch)
    build = kp.build_network

    def broken(genotype, shape, classes, channels, layers, stem):
        if layers == 2:
            raise ValueError("no such network")
        return build(genotype, shape, classes, channels, layers, stem)

    monkeypatch.setattr(kp, "build_network", broken)
    said = fails_with(capsys, 1, [*GRID, "--out", str(tmp_path / "sweep")])
    assert "FAILED" in said.out and "no such network" in said.out
    assert [row["layers"] for row in rows(tmp_path / "sweep")] == ["3"]


@pytest.mark.parametrize(
    "flag, cost", [(f"--{name.replace('_', '-')}", cost) for name, (cost, _) in sweep.LIMITS.items()]
)
def test_limits_leave_networks_out(flag, cost, tmp_path, monkeypatch, capsys):
    stub(monkeypatch)
    network = trials.Network("", common.resolve_genotype("DARTS_V2"), "own", 2, 2, 8)
    limit = grid.costs(network, (8, 8, 1), 10, "conv3x3", 4)[cost]
    directory = sweep.main([*GRID, f"{flag}={limit}", "--out", str(tmp_path / "sweep")])
    assert [row["layers"] for row in rows(directory)] == ["2"]
    out = capsys.readouterr().out
    assert "Trials to train: 1," in out and re.search(f"left out: .*-l3-.* more than {limit:,}", out)
    fits = sweep.main(["--resume", str(directory), f"{flag}={limit - 1}"])
    assert fits == directory and "No trial is done yet." in capsys.readouterr().out


def test_lines_are_named_by_what_differs():
    row = {"genotype": "A", "kernel": "own", "channels": 4, "side": 8}
    assert sweep.series(row, [row]) == "A"
    assert sweep.series(row, [row, {**row, "kernel": "7", "channels": 8}]) == "A, kernel own, C 4"


def test_kernels_and_texts_make_networks_of_their_own():
    text = kp.genotypes.get("PIBCONV").to_json()
    args = sweep.build_parser().parse_args(["--genotype", "PIBCONV", text, "--kernel", "own", "7", "--layers", "2"])
    networks = grid.networks(args)
    assert [network.label for network in networks] == ["PIBCONV", "genotype 2"] * 2
    assert {op for op, _ in networks[2].genotype.normal} == {"pib_conv_7x7"}
    names = [network.name for network in networks]
    assert len(set(names)) == 4 and all(re.fullmatch(r"[\w.-]+", name) for name in names)


def test_an_interruption_leaves_no_process_and_a_sweep_to_resume(tmp_path, monkeypatch, capsys):
    pid = tmp_path / "pid"
    wait = (
        f"if flags['layers'] == '3': import os, time; pathlib.Path({str(pid)!r}).write_text(str(os.getpid())); "
        "time.sleep(600)"
    )
    code = (
        "from keras_pibnas.cli import sweep\n"
        "from tests.cli import test_sweep\n"
        "import pytest, sys\n"
        f"with pytest.MonkeyPatch.context() as patch:\n"
        f"    test_sweep.stub(patch, {wait!r})\n"
        "    sweep.main(sys.argv[1:])\n"
    )
    words = [sys.executable, "-c", code, *GRID, "--jobs=1", "--out", str(tmp_path / "sweep")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not pid.exists() or not pid.read_text():
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130, err
    resume = shlex.split(err.splitlines()[-1].partition("keras-pibnas sweep ")[2])
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    assert len(list(tmp_path.glob("sweep/trials/*/result.json"))) == 1 and (tmp_path / "sweep" / "results.csv").exists()
    stub(monkeypatch)
    sweep.main(resume)
    assert [row["layers"] for row in rows(tmp_path / "sweep")] == ["2", "3"]


def test_a_real_training_in_its_own_process(tmp_path, npz, drawn):
    argv = ["--dataset", str(npz()), "--batch-size=8", "--epochs=1", *GRID, "--layers=2"]
    directory = sweep.main([*argv, "--out", str(tmp_path / "sweep")])
    (row,) = rows(directory)
    (run,) = directory.glob("trials/*/run")
    assert float(row["accuracy"]) == 100 * json.loads((run / "result.json").read_text())["test_accuracy"]
    model = keras.saving.load_model(run / "model.keras")
    assert kp.analysis.complexity(model).params == int(row["params"])
    dots = [figure.axes[0].lines[-1].get_xydata().tolist() for figure in drawn]
    assert int(row["params"]) < 1000 < int(row["macs"]) < 10**6  # so the axes count ones and thousands
    cost = [2, int(row["params"]), int(row["macs"]) / 1000]
    assert dots == [[[value, float(row["accuracy"])]] for value in cost]


def test_the_preset_is_the_papers_depth_study():
    args = flags.parse(sweep.build_parser(), ["--preset", "paper", "--epochs", "5"], sweep.PRESETS)
    assert (
        args.layers == [20, 15, 10, 8, 7, 6, 5, 4, 3, 2]
        and args.channels == [36]
        and args.genotype == ["DARTS_V2", "PIBCONV"]
    )
    assert (args.dataset, args.epochs, args.auxiliary, args.drop_path, args.cutout) == ("cifar10", 5, 0.4, 0.2, 16)


@pytest.mark.parametrize(
    "argv, words",
    [
        (["--layers=1"], "at least 2.*layers=1"),
        (["--channels=3"], "channels=3"),
        (["--genotype=NONSENSE"], "Unknown genotype 'NONSENSE'"),
        (["--kernel=9"], "--kernel: invalid choice: '9'.*own"),
        (["--genotype", POOLS, "--kernel=7"], "kernels of that size. Received: 7"),
        (["--batch-size=5000"], "batch_size=5000"),
        (["--side=9"], "9"),
        (["--max-params=many"], "--max-params: invalid amount.*100KiB.*'many'"),
        (["--max-macs=0"], "--max-macs: invalid amount.*'0'"),
        (["--jobs=0"], "--jobs: invalid whole number"),
        (["--resume=nowhere"], "Not the directory of a sweep. Received: --resume nowhere"),
    ],
)
def test_wrong_values(argv, words, fails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert re.search(words, fails(sweep.main, argv))
    assert not list(tmp_path.iterdir())


def test_a_sweep_keeps_its_settings(tmp_path, monkeypatch, fails, capsys):
    stub(monkeypatch)
    directory = sweep.main([*GRID, "--layers=2", "--out", str(tmp_path / "sweep")])
    capsys.readouterr()
    assert "--epochs=20; start another sweep" in fails(sweep.main, ["--resume", directory, "--epochs=3"])
    assert "--out names a new sweep" in fails(sweep.main, ["--resume", directory, "--out", tmp_path / "other"])
    assert "holds another run" in fails(sweep.main, [*GRID, "--out", directory])
