"""Partial channels against all channels: the ratios, and the command."""

import json

import pytest

from benchmarks import harness, partial
from tests.benchmarks.fake_worker import fake_worker


def cost(config):
    """darts takes 4 s a step and 4000 bytes, what else there is 1 s and 1000."""
    return 4.0 if config["method"] == "darts" else 1.0


def test_ratios_to_darts(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(harness, "Worker", fake_worker(cost))
    partial.main(["--batch", "64", "128", "--method", "pc_darts", "--steps", "2", "--out", str(tmp_path / "out.json")])
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    names = [f"search step, batch {batch}: {method}" for batch in (64, 128) for method in ("darts", "pc_darts")]
    assert [row["name"] for row in rows] == names
    assert [row["times_darts"]["median"] for row in rows] == [1.0, 0.25] * 2
    config = rows[1]["configuration"]
    assert (config["batch"], config["method"], config["order"], config["channels"], config["layers"]) == (
        (64, "pc_darts", 1, 16, 8)
    )
    line = "pc_darts: 0.25 times the time of darts (0.25 of its CPU time), 0.25 times its memory"
    assert line in capsys.readouterr().out


@pytest.mark.slow
def test_the_command_runs(tmp_path):
    partial.main(["--quick", "--threads", "1", "--out", str(tmp_path / "out.json")])
    darts, pc_darts = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert darts["times_darts"] == {"median": 1.0, "cpu_seconds": 1.0, "peak_memory": 1.0}
    assert pc_darts["median"] > 0 and pc_darts["configuration"]["method"] == "pc_darts"
