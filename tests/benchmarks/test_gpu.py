"""What would be measured on a GPU; without one, one line says so."""

import json

import pytest

from benchmarks import gpu, harness

FIRST = {"seconds": 3.0, "cpu_seconds": 1.0, "memory": 50}


class FakeWorker:
    """On a GPU: the plain engine takes 2 s a step, the other and the peer 1 s; alone in the machine."""

    versions, running = {"python": "3"}, 0

    def __init__(self, contender):
        self.config, self.steps = contender.config, 0

    def __enter__(self):
        FakeWorker.running += 1
        assert FakeWorker.running == 1
        return self

    def __exit__(self, *error):
        FakeWorker.running -= 1

    def step(self):
        assert self.config["device"] == "gpu"
        self.steps += 1
        seconds = 2.0 if self.config.get("engine") == "plain" else 1.0
        return FIRST if self.steps == 1 else {"seconds": seconds, "cpu_seconds": 1.0, "memory": 100}


def test_what_is_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(harness, "Worker", FakeWorker)
    monkeypatch.setattr(gpu, "gpu_count", lambda: 1)
    gpu.main(["--space", "darts", "--out", str(tmp_path / "gpu.json")])
    report = json.loads((tmp_path / "gpu.json").read_text())
    rows = report["rows"]
    found = [(row["contender"], row["configuration"]["order"], row["configuration"]["dtype"]) for row in rows]
    names = ("ours tensorflow", "ours plain", "peer channels_last")
    assert report["benchmark"] == "gpu"
    assert found == [(name, order, dtype) for order in (1, 2) for dtype in gpu.DTYPES for name in names]
    assert {row["configuration"]["batch"] for row in rows} == {64}
    assert {row["first_step"] for row in rows} == {3.0} and {row["peak_memory"] for row in rows} == {100}
    assert [row["times_as_fast"]["peer channels_last"] for row in rows[:2]] == [1.0, 0.5]
    second = [row["configuration"]["hvp"] for row in rows if row["configuration"]["order"] == 2]
    assert second == 2 * ["exact", "exact", "finite_difference"]


def test_without_a_gpu_it_says_so_in_one_line(monkeypatch):
    monkeypatch.setattr(gpu, "gpu_count", lambda: 0)
    with pytest.raises(SystemExit, match="^TensorFlow sees no GPU on this machine: nothing was measured.$"):
        gpu.main([])


def test_gpus_are_counted_in_another_process(monkeypatch):
    monkeypatch.setattr(gpu, "ASK", "print('a line of its own'); print(2)")
    assert gpu.gpu_count() == 2
    monkeypatch.setattr(gpu, "ASK", "raise SystemExit(1)")
    assert gpu.gpu_count() == 0
