"""The harness steps in turn, counts what it says, and its commands run."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import first_step, harness, network, pipeline, replicas, scaling, search_step
from benchmarks.worker import Gate, synthetic_batch


class FakeWorker:
    """Answers as a worker does, at once: the n-th step of a contender takes n times its `config["pace"]`."""

    versions = {"python": "3"}
    steps = []

    def __init__(self, contender):
        self.contender, self.count = contender, 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def step(self):
        self.count += 1
        self.steps.append(self.contender.name)
        seconds = self.count * self.contender.config["pace"]
        return {"seconds": seconds, "cpu_seconds": 2 * seconds, "memory": 100 * self.count}


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(harness, "Worker", FakeWorker)
    monkeypatch.setattr(FakeWorker, "steps", [])
    return FakeWorker


def contender(side, pace, layout="default"):
    return harness.Contender(side, sys.executable, {"pace": pace, "layout": layout})


def test_contenders_step_in_turn(fake):
    harness.alternate([contender("ours", 1), contender("peer", 1)], steps=2, warmup=0)
    assert fake.steps == ["ours", "peer default"] * 3


def test_a_row_leaves_out_the_first_step_and_the_warm_up(fake):
    pair = [contender("ours", 1.0), contender("peer", 3.0), contender("peer", 2.0, "channels_last")]
    row, *_ = harness.measure("step", pair, steps=3, warmup=1)
    # Step n takes n seconds: building and the first are 1, the warm-up 2, what is measured 3, 4, 5.
    assert (row["first_step"], row["minimum"], row["median"], row["maximum"]) == (1, 3, 4, 5)
    assert row["cpu_seconds"] == 8
    assert row["peak_memory"] == 500
    assert row["times_as_fast"] == {"peer default": 3.0, "peer channels_last": 2.0}
    assert row["memory_ratio"] == {"peer default": 1.0, "peer channels_last": 1.0}


def test_first_step_takes_the_median_over_processes(fake, tmp_path):
    options = harness.parse(first_step.parser(), ["--quick", "--only", "ours", "--steps", "3"])
    options.steps, options.times = 3, 2
    (row,) = first_step.rows_of({"space": "darts", "batch": 2, "order": 1, "pace": 2.0}, options)
    # 2 s for the first step; then a warm-up of 4 s, and 6, 8, 10.
    assert (row["median"], row["step"], row["steps_worth"]) == (2, 8, 0.25)


def test_replicas_are_set_against_one_device(fake, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(harness, "contenders", lambda options, config: [contender("ours", float(config["devices"]))])
    path = tmp_path / "replicas.json"
    replicas.main(["--order", "1", "--layers", "3", "--channels", "4", "--steps", "2", "--out", str(path)])
    one, two = check_report(path, "replicas", {"ours"})
    assert (one["median"], two["median"]) == (3.5, 7.0)  # steps 3 and 4, at a pace of 1 and of 2
    assert two["times_one_device"] == {"first_step": 2.0, "peak_memory": 1.0, "median": 2.0}
    assert two["name"] == "darts, batch 16, order 1, 3 cells of 4 channels: 2 devices"
    assert "first step 2.00, memory 1.00, step 2.00 times one device's" in capsys.readouterr().out


def test_second_order_is_set_against_first():
    def row(order, seconds, memory, contender="ours"):
        config = {"space": "darts", "batch": 16, "order": order}
        return {"contender": contender, "configuration": config, "median": seconds, "peak_memory": memory}

    rows = search_step.with_order_ratios([row(1, 2.0, 10), row(2, 5.0, 15), row(2, 9.0, 90, "peer default")])
    assert rows[1]["times_first_order"] == {"median": 2.5, "peak_memory": 1.5}
    assert "times_first_order" not in rows[0]
    assert "times_first_order" not in rows[2]


def test_a_worker_that_fails_ends_in_one_line_that_says_what_to_do():
    with pytest.raises(SystemExit, match=r"--peer-python .* Received: python=/bin/false, exit status 1"):
        harness.Worker(harness.Contender("peer", "/bin/false", {"layout": "default"}))


def test_both_sides_see_the_same_images():
    config = {"batch": 3, "side": 8}
    (images, labels), (again, _), (other, _) = (synthetic_batch(config, seed) for seed in (0, 0, 1))
    assert images.shape == (3, 8, 8, 3)
    assert labels.shape == (3,)
    np.testing.assert_array_equal(images, again)
    assert not np.array_equal(images, other)


def test_memory_counts_what_was_taken_since_the_imports():
    """100 MB are taken and given back; the peak still holds them."""
    program = (
        "import io, numpy as np; from benchmarks.worker import Gate; out = io.StringIO(); gate = Gate(out);"
        "gate.started = 0.0, 0.0; np.ones(100_000_000, 'uint8').sum(); gate.end(); print(out.getvalue())"
    )
    out = subprocess.run([sys.executable, "-c", program], cwd=harness.ROOT, capture_output=True, check=True)
    assert 95e6 < json.loads(out.stdout)["memory"] < 200e6


def test_the_peer_always_takes_the_finite_difference():
    options = harness.parse(search_step.parser(), ["--space", "darts", "--order", "2"])
    (config,) = search_step.configurations(options)
    ours, *peers = harness.contenders(options, config)
    assert ours.config["hvp"] == "exact"
    assert [peer.config["hvp"] for peer in peers] == ["finite_difference"] * 2


def check_report(path, benchmark, contenders):
    report = json.loads(path.read_text())
    assert report["benchmark"] == benchmark
    assert report["machine"]["cores"] >= 1
    assert {row["contender"] for row in report["rows"]} == contenders
    for row in report["rows"]:
        assert 0 < row["minimum"] <= row["median"] <= row["maximum"]
        assert row["first_step"] > 0
        assert row["peak_memory"] > 0
        assert "python" in row["versions"]
    return report["rows"]


PEERS = {"peer default", "peer channels_last"}
# One thread: on a busy machine, two of them wait for each other.
QUICK = ["--quick", "--threads", "1", "--only"]


def test_search_step_measures_the_peer(tmp_path, capsys):
    pytest.importorskip("torch")
    path = tmp_path / "search.json"
    search_step.main([*QUICK, "peer", "--space", "darts", "--order", "2", "--out", str(path)])
    check_report(path, "search_step", PEERS)
    assert "search step, darts, batch 2, order 2: peer channels_last" in capsys.readouterr().out


def test_network_measures_the_peer(tmp_path):
    pytest.importorskip("torch")
    path = tmp_path / "network.json"
    network.main([*QUICK, "peer", "--out", str(path)])
    rows = check_report(path, "network", PEERS)
    assert [row["configuration"]["job"] for row in rows] == ["train"] * 2 + ["inference"] * 2


def test_search_step_measures_ours(tmp_path):
    path = tmp_path / "search.json"
    search_step.main([*QUICK, "ours", "--space", "pibconv", "--order", "1", "--out", str(path)])
    (row,) = check_report(path, "search_step", {"ours"})
    assert row["configuration"]["space"] == "pibconv"


def test_network_measures_ours(tmp_path):
    path = tmp_path / "network.json"
    network.main([*QUICK, "ours", "--out", str(path)])
    assert len(check_report(path, "network", {"ours"})) == 2


def test_pipeline_is_set_against_the_step(tmp_path):
    path = tmp_path / "pipeline.json"
    pipeline.main([*QUICK, "ours", "--space", "darts", "--out", str(path)])
    step, pair = check_report(path, "pipeline", {"ours"})
    assert pair["share_of_step"] == pair["median"] / step["median"]


def test_what_was_repeated_counts_once(monkeypatch):
    gate = Gate(io.StringIO())
    gate.started = 10.0, 1.0
    monkeypatch.setattr("time.perf_counter", lambda: 16.0)
    monkeypatch.setattr("time.process_time", lambda: 10.0)
    gate.end(repeats=3)
    reply = json.loads(gate.replies.getvalue())
    assert (reply["seconds"], reply["cpu_seconds"]) == (2.0, 3.0)


def test_scaling_draws_every_axis(fake, tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "contenders", lambda options, config: [contender("ours", config["batch"])])
    path = tmp_path / "scaling.json"
    scaling.main(["--quick", "--axis", "batch", "layers", "--out", str(path)])
    rows = check_report(path, "scaling", {"ours"})
    points = [(row["axis"], row["value"]) for row in rows]
    assert points == [("batch", 2), ("batch", 4), ("layers", 3), ("layers", 4)]
    # Step 3 is measured, at a pace of `batch`; the other axes keep the batch of 2.
    assert [row["median"] for row in rows] == [6, 12, 6, 6]
    assert (tmp_path / "scaling_darts_batch2_order1.png").stat().st_size > 10_000
