"""Hours from measured steps, by hand."""

import csv
import io
import json

import pytest

import keras_pibnas as kp
from benchmarks import paper_cost

MACHINE = {"processor": "a processor", "threads": 2}


@pytest.fixture
def results(tmp_path):
    """A search step of 2 s at batch 16, and a training step of 0.5 s at batch 32, 2 layers."""
    published = {"job": "search", "channels": 16, "layers": 8, "order": 2, "hvp": "exact", "batch": 16}
    genotype = json.loads(kp.genotypes.get("PIBCONV").to_json())
    network = {"job": "train", "channels": 36, "batch": 32, "layers": 2, "genotype": genotype}
    rows = [
        {"contender": "ours", "configuration": published | {"space": "pibconv"}, "median": 2.0},
        {"contender": "ours", "configuration": published | {"space": "pibconv", "order": 1}, "median": 7.0},
        {"contender": "peer default", "configuration": published | {"space": "darts"}, "median": 9.0},
        {"contender": "ours", "configuration": network, "median": 0.5},
    ]
    (tmp_path / "results.json").write_text(json.dumps({"machine": MACHINE, "rows": rows}))
    return str(tmp_path / "results.json")


def test_hours(results, capsys):
    paper_cost.main([results, "--depths", "2", "3", "--format", "csv", "--tflops", "2"])
    found = {row["experiment"]: list(row.values())[1:] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))}
    # 50 epochs of 25000 // 64 = 390 steps, at 2 s * 64 / 16
    assert found["search pibconv, 50 epochs"] == ["19500", "8", "scaled from batch 16", "43.3", ""]
    assert found["search darts, 50 epochs"] == ["19500", "", "not measured", "", ""]
    # 600 epochs of 50000 // 96 = 520 steps, at 0.5 s * 96 / 32; 6 FLOP a MAC, 2e12 a second
    macs = [kp.analysis.complexity(kp.build_network("PIBCONV", layers=n, auxiliary=True)).macs for n in (2, 3)]
    bounds = [f"{6 * count * 312000 * 96 / 2e12 / 3600:.2g}" for count in macs]
    seconds = 1.5 * macs[1] / macs[0]
    assert found["train PIBCONV, 2 layers, 600 epochs"] == ["312000", "1.5", "scaled from batch 32", "130", bounds[0]]
    assert found["train PIBCONV, 3 layers, 600 epochs"] == [
        "312000", f"{seconds:.3g}", "scaled from batch 32, 2 layers", f"{312000 * seconds / 3600:.3g}", bounds[1],
    ]  # fmt: skip
    assert found["train DARTS_V2, 2 layers, 600 epochs"][2] == "not measured"


def test_the_machine_is_named(results, capsys):
    paper_cost.main([results, "--depths", "2"])
    assert "Measured on: a processor, 2 threads" in capsys.readouterr().out


def test_missing_results_are_named():
    with pytest.raises(SystemExit, match="run python -m benchmarks.network first. Received: nowhere/network.json"):
        paper_cost.main(["nowhere/network.json"])
