"""Results of several benchmarks in one file and table."""

import json

import pytest

from benchmarks import summary


def row(name, seconds, **more):
    config = {"job": "train", "genotype": {"normal": []}}
    return {"name": name, "contender": name, "median": seconds, "first_step": 3.2, "peak_memory": 2.5e9,
            "cpu_seconds": 1.0, "configuration": config} | more  # fmt: skip


def test_rows_of_all_files(tmp_path, capsys):
    rows = [row("ours", 0.5, times_as_fast={"peer default": 3.14}), row("peer default", 1.57)]
    for index, part in enumerate(rows):
        report = {"benchmark": "network", "machine": {"cores": 2}, "rows": [part]}
        (tmp_path / f"{index}.json").write_text(json.dumps(report))
    summary.main([str(tmp_path / "0.json"), str(tmp_path / "1.json"), "--out", str(tmp_path / "summary.json")])
    table = capsys.readouterr().out.splitlines()
    assert [cell.strip() for cell in table[2].split("|")[1:-1]] == ["ours", "0.5", "3 s", "2.5", "3.1 (default)"]
    assert "1.57" in table[3]
    written = json.loads((tmp_path / "summary.json").read_text())
    assert [report["rows"][0]["median"] for report in written] == [0.5, 1.57]
    assert written[0]["machine"] == {"cores": 2} and written[0]["rows"][0]["configuration"] == {"job": "train"}


def test_missing_results_are_named(tmp_path):
    with pytest.raises(SystemExit, match="Received: nowhere.json"):
        summary.main(["nowhere.json", "--out", str(tmp_path / "summary.json")])
