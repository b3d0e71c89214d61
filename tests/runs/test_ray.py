"""Commands on a Ray cluster of two nodes, which are processes of this machine."""

import os
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from keras_pibnas.cli import search, sweep
from keras_pibnas.runs import ray_task
from keras_pibnas.runs.processes import run_side_by_side

POOLS = "Genotype(normal=[('max_pool_3x3', 0), ('skip_connect', 1)], reduce=[('max_pool_3x3', 0), ('skip_connect', 1)])"
MEETING = """
import pathlib, time
pathlib.Path({mine!r}).touch()
while not pathlib.Path({other!r}).exists():
    time.sleep(0.05)
"""


def python(code, log):
    log.parent.mkdir(exist_ok=True)
    return [sys.executable, "-S", "-c", code], log


@pytest.fixture(scope="module")
def machines():
    """A `RayCluster` of two nodes with a core each."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'keras_pibnas[ray]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        import ray
        from ray.cluster_utils import Cluster

        small = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=small)
        try:
            cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
            patch.setenv("RAY_ADDRESS", cluster.address)
            from keras_pibnas.runs.ray_cluster import RayCluster

            yield RayCluster()
        finally:
            ray.shutdown()
            cluster.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Ray's own
def test_two_commands_on_two_nodes(machines, tmp_path):
    one, other = tmp_path / "one" / "there", tmp_path / "other" / "there"
    commands = {
        "one": python(MEETING.format(mine=str(one), other=str(other)), tmp_path / "one" / "log.txt"),
        "other": python(MEETING.format(mine=str(other), other=str(one)), tmp_path / "other" / "log.txt"),
        "bad": python("print('no luck'); raise SystemExit(3)", tmp_path / "bad" / "log.txt"),
    }
    ended = {}
    assert run_side_by_side(commands, 3, ended.__setitem__, machine=machines)
    assert ended == {"one": 0, "other": 0, "bad": 3}
    logs = {name: log.read_text() for name, (_, log) in commands.items()}
    nodes = {name: re.fullmatch(r"On \S+, node (\w+) of the cluster\n(.*)", text, re.S) for name, text in logs.items()}
    assert nodes["one"][1] != nodes["other"][1]  # each waited for the other, and a node has room for one
    assert nodes["bad"][2] == "no luck\n"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_an_interruption_ends_what_runs_and_what_waits(machines, tmp_path):
    pid = tmp_path / "a" / "pid"
    code = f"import os, pathlib, time; pathlib.Path({str(pid)!r}).write_text(str(os.getpid())); time.sleep(600)"
    commands = {name: python(code, tmp_path / name / "log.txt") for name in "abc"}

    def interrupt():
        while not pid.exists() or not pid.read_text():
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    assert not run_side_by_side(commands, 3, print, machine=machines)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_what_is_cancelled_while_it_begins_is_ended(tmp_path, monkeypatch):
    begun, start = [], subprocess.Popen

    def interrupted(*args, **kwargs):
        begun.append(start(*args, **kwargs))
        signal.raise_signal(signal.SIGINT)
        return begun[0]

    monkeypatch.setattr(ray_task.subprocess, "Popen", interrupted)
    words, log = python("import time; time.sleep(600)", tmp_path / "trial" / "log.txt")
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        ray_task.run(words, str(log), "a stamp", ray_task.packed(tmp_path / "trial"), "nowhere", str(tmp_path), 1, "n")
    assert begun[0].returncode == -signal.SIGTERM and signal.getsignal(signal.SIGINT) == before


def test_without_a_shared_disk_files_go_and_come(tmp_path):
    """What a machine does that sees nothing of the folder: its own copy stands where the folder was."""
    folder = tmp_path / "trial"
    words, log = python("print(open('in.txt').read() + '!', file=open('out.txt', 'w'))", folder / "log.txt")
    (folder / "in.txt").write_text("hello")
    given = ray_task.packed(folder)
    folder.rename(tmp_path / "on the machine that asks")
    status, files = ray_task.run(words, str(log), "a stamp", given, "nowhere", "no such folder", 1, "n")
    assert status == 0
    ray_task.unpack(files, tmp_path / "on the machine that asks")
    assert (tmp_path / "on the machine that asks" / "out.txt").read_text() == "hello!\n"
    assert (tmp_path / "on the machine that asks" / "log.txt").read_text().endswith("node n of the cluster\n")


def test_on_a_shared_disk_nothing_is_sent(tmp_path):
    words, log = python("print('here')", tmp_path / "trial" / "log.txt")
    log.write_text("a stamp")
    assert ray_task.run(words, str(log), "a stamp", b"", "nowhere", str(tmp_path), 1, "n") == (0, b"")
    assert log.read_text().endswith("of the cluster\nhere\n")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_sweep_trains_on_the_cluster_and_goes_on(machines, tmp_path, capsys):
    np.savez(tmp_path / "data.npz", x=np.zeros((24, 8, 8, 1), "uint8"), y=np.arange(24) % 2)
    argv = ["--cluster=ray", "--genotype", POOLS, "--side=8", "--channels=2", "--layers", "2", "3", "--epochs=1"]
    argv += ["--batch-size=8", "--dataset", str(tmp_path / "data.npz")]
    directory = sweep.main([*argv, "--out", str(tmp_path / "sweep")])
    assert "Trials to train: 2, 2 at a time" in capsys.readouterr().out
    runs = list(directory.glob("trials/*/run"))
    assert len({log.read_text().split("node ")[1].split()[0] for log in directory.glob("trials/*/log.txt")}) == 2
    assert len(runs) == 2 and all((run / "model.keras").is_file() for run in runs)
    (trial,) = directory.glob("trials/*-l3-*")
    (trial / "result.json").unlink()
    sweep.main(["--resume", str(directory), "--cluster=ray"])
    assert "Trials to train: 1," in capsys.readouterr().out and (trial / "result.json").is_file()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_repeats_of_a_search_on_the_cluster(machines, tmp_path, capsys):
    np.savez(tmp_path / "data.npz", x=np.zeros((24, 8, 8, 1), "uint8"), y=np.arange(24) % 2)
    argv = ["--space=s2", "--side=8", "--layers=2", "--channels=2", "--order=1", "--epochs=1", "--batch-size=4"]
    argv += ["--repeats=2", "--select-by=search", "--cluster=ray", "--dataset", str(tmp_path / "data.npz")]
    directory = search.main([*argv, "--out", str(tmp_path / "run")])
    assert "search: 2 of 2 to do, 2 at a time" in capsys.readouterr().out
    logs = [path.read_text() for path in directory.glob("seed_*/search.log")]
    assert len({log.split("node ")[1].split()[0] for log in logs}) == 2
    assert (directory / "genotype.json").is_file()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--cluster=slurm"], "--cluster: invalid choice: 'slurm'"),
        (["--gpus-per-trial=1"], "--gpus-per-trial goes with --cluster. Received: --gpus-per-trial=1.0"),
        (["--cluster=ray"], "needs Ray: pip install 'keras_pibnas[ray]'"),
    ],
)
def test_wrong_values(argv, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed
    with pytest.raises(SystemExit) as stopped:
        sweep.main([*argv, "--side=8", "--layers=2"])
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and words in said and said.count("\n") == 1
    assert not list(tmp_path.iterdir())
