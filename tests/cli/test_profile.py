import json

import pytest

import keras_pibnas as kp
from keras_pibnas.cli import profile

PAIRS = (("sep_conv_3x3", 0), ("skip_connect", 1))
GENOTYPE = kp.Genotype(PAIRS, (("max_pool_3x3", 0), ("skip_connect", 1)), (2,), (2,))
TINY = ["--layers=2", "--channels=2", "--side=8", "--repeats=2"]


@pytest.fixture
def roofs(monkeypatch):
    monkeypatch.setattr(kp.analysis, "machine_roofs", lambda: (1e11, 1e10))


def test_a_file_and_a_genotype_side_by_side(tmp_path, capsys, roofs):
    model = kp.build_network(GENOTYPE, (8, 8, 1), 3, 2, 2)
    (tmp_path / "run").mkdir()
    model.save(tmp_path / "run" / "model.keras")
    argv = [str(tmp_path / "run"), GENOTYPE.to_json(), "--breakdown=3", "--out", str(tmp_path / "out")]
    directory = profile.main([*argv, *TINY])
    out = capsys.readouterr().out
    found = json.loads((directory / "profile.json").read_text())
    assert [entry["macs"] for entry in found["models"]] == [
        kp.analysis.complexity(kp.build_network(GENOTYPE, shape, classes, 2, 2)).macs
        for shape, classes in (((8, 8, 1), 3), ((8, 8, 3), 10))
    ]
    assert found["operations_per_second"] == 1e11
    rows = found["models"][0]["layers"]
    slowest = max(rows, key=lambda row: row["seconds"])
    assert slowest["name"] in out.partition("the slowest first")[2].splitlines()[3]
    assert f"3 of {len(rows)} layers" in out
    assert (directory / "roofline.png").stat().st_size > 0


@pytest.mark.parametrize(
    "argv, words",
    [
        (["nonsense"], "Unknown genotype 'nonsense'"),
        (["missing.keras"], "no such file.*missing.keras"),
        (["PIBCONV", "--batch-size=0"], "--batch-size: invalid whole number"),
        (["PIBCONV", "--channels=3"], "channels.*3"),
    ],
)
def test_wrong_values(argv, words, fails, tmp_path, monkeypatch):
    import re

    monkeypatch.chdir(tmp_path)
    assert re.search(words, fails(profile.main, argv))
    assert not list(tmp_path.iterdir())
