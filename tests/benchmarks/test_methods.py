"""What exact second order costs with each method: the ratios, and the command."""

import json

import pytest

import keras_pibnas as kp
from benchmarks import harness, jobs_ours, methods
from tests.benchmarks.fake_worker import fake_worker


def cost(config):
    """First order takes 2 s a step and 2000 bytes, second order 5 s and 5000."""
    return {1: 2.0, 2: 5.0}[config["order"]]


def test_ratios_to_first_order(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(harness, "Worker", fake_worker(cost))
    methods.main(["--method", "gdas", "gaea", "--steps", "2", "--out", str(tmp_path / "out.json")])
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    asked = [(row["configuration"]["method"], row["configuration"]["order"]) for row in rows]
    assert asked == [("gdas", 1), ("gdas", 2), ("gaea", 1), ("gaea", 2)]
    assert rows[3]["times_first_order"] == {"median": 2.5, "cpu_seconds": 2.5, "peak_memory": 2.5}
    line = "gaea: 2.50 times the time of first order (2.50 of its CPU time), 2.50 times its memory"
    assert line in capsys.readouterr().out


def test_methods_without_second_order_are_left_out():
    names = methods.with_second_order()
    assert {"darts", "gdas", "drnas", "pc_darts", "sdarts_adv"} <= set(names)
    assert not {"single_level", "random_sharing", "p_darts"} & set(names)


def test_partial_channels_get_channels_that_they_divide():
    """drnas computes a sixth, pc_darts a quarter; channels are divisible by twice that number."""
    assert [methods.channels_for(name, 8) for name in ("darts", "pc_darts", "drnas")] == [8, 8, 12]


@pytest.mark.parametrize("name", ["darts", "pc_darts", "drnas"])
def test_the_steps_that_are_measured_move_the_alphas(name, monkeypatch):
    """The first epochs of some methods leave the alphas alone; they cost less, and are not what is asked for."""
    made = []
    monkeypatch.setattr(jobs_ours, "fit", lambda supernet, batches, gate: made.append(supernet))
    config = {"space": "s4", "side": 8, "channels": methods.channels_for(name, 4), "layers": 2, "nodes": 1, "order": 2}
    jobs_ours.search(config | {"hvp": "exact", "method": name}, ((), ()), None)
    (supernet,) = made
    assert supernet.method.rest == 0.0 and (kp.methods.get(name).rest > 0.0) == (name != "darts")
    assert supernet.method.relaxation == kp.methods.get(name).relaxation


@pytest.mark.slow
def test_the_command_runs(tmp_path):
    methods.main(["--quick", "--threads", "1", "--method", "gdas", "--out", str(tmp_path / "out.json")])
    first, second = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert first["configuration"]["order"] == 1 and second["times_first_order"]["median"] > 0
