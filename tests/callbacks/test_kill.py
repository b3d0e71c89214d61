"""Real processes, killed with SIGKILL at twenty random moments, end as one that nobody disturbed."""

import multiprocessing
import random
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

KILLS = {"search": 5, "training": 15}
LONGEST = {"search": 2.0, "training": 0.4}  # seconds of training before a kill
FILES = {"search": ("history.csv", "genotypes.jsonl", "genotype.json"), "training": ("history.csv",)}


@pytest.fixture(scope="module")
def start():
    """start(kind, directory): a process that trains there, forked from one that has imported everything."""
    sys.path.insert(0, str(Path(__file__).parent))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["resumable"])
    import resumable

    def started(kind, directory):
        directory.mkdir(exist_ok=True)
        begun = directory.with_suffix(".begun")
        begun.unlink(missing_ok=True)
        process = context.Process(target=resumable.child, args=(kind, directory, begun, kind == "search"))
        process.start()
        return process, begun

    yield started
    sys.path.remove(str(Path(__file__).parent))


def run_until(process, begun, seconds):
    """Lets a process train for so many seconds and kills it; whether it was still alive."""
    while process.is_alive() and not begun.exists():
        time.sleep(0.01)
    process.join(seconds)
    process.kill()
    process.join()
    assert process.exitcode in (0, -9)
    return process.exitcode == -9


def whole(process):
    process.join()
    assert process.exitcode == 0


def assert_same(kind, run, undisturbed):
    with np.load(run / "end.npz") as one, np.load(undisturbed / "end.npz") as other:
        assert one.files == other.files and {"history/loss", "history/val_accuracy"} <= set(one.files)
        for name in one.files:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    for name in FILES[kind]:
        assert (run / name).read_text() == (undisturbed / name).read_text()
    if kind == "search":
        with np.load(run / "alphas.npz") as one, np.load(undisturbed / "alphas.npz") as other:
            assert one["normal"].shape[0] == 1 + len((run / "genotypes.jsonl").read_text().splitlines())
            for name in one.files:
                np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.parametrize("kind", KILLS)
def test_killed_runs_end_as_an_undisturbed_one(kind, start, tmp_path):
    undisturbed = tmp_path / "undisturbed"
    whole(start(kind, undisturbed)[0])
    seed = time.time_ns()
    moments, kills, run = random.Random(seed), 0, 0
    print(f"seed of the moments: {seed}")
    while kills < KILLS[kind]:
        directory = tmp_path / f"run-{run}"
        if run_until(*start(kind, directory), moments.uniform(0, LONGEST[kind])):
            kills += 1
        else:
            assert_same(kind, directory, undisturbed)
            run += 1
    whole(start(kind, tmp_path / f"run-{run}")[0])
    assert_same(kind, tmp_path / f"run-{run}", undisturbed)
    assert not list((tmp_path / f"run-{run}").rglob(".*")), "what was half-written is gone"
