import json

import pytest

from keras_pibnas.cli import demo


def test_the_whole_way_at_small_settings(tmp_path, capsys):
    argv = ["--space=darts", "--side=8", "--layers=2", "--channels=2", "--nodes=1", "--batch-size=64"]
    argv += ["--search-epochs=1", "--train-epochs=1", "--randoms=1"]
    directory = demo.main([*argv, "--out", str(tmp_path / "demo")])
    out = capsys.readouterr().out
    for name in demo.FILES:
        assert f"{directory / name} " in out and (directory / name).stat().st_size > 0
    result = json.loads((directory / "result.json").read_text())
    searched = json.loads((directory / "searched" / "result.json").read_text())["test_accuracy"]
    random = json.loads((directory / "random_1" / "result.json").read_text())["test_accuracy"]
    assert result == {
        "searched_test_accuracy": searched,
        "random_test_accuracies": [random],
        "random_mean": pytest.approx(random),
    }
    assert (directory / "searched" / "genotype.json").read_text() == (
        directory / "search" / "genotype.json"
    ).read_text()
    assert demo.verdict(searched, random) in out


@pytest.mark.parametrize(
    "searched, mean, words",
    [(0.99, 0.98, "beats the mean of the random ones (+1.00 points)"),
     (0.98, 0.98, "does NOT beat the mean of the random ones (+0.00 points)"),
     (0.97, 0.98, "does NOT beat the mean of the random ones (-1.00 points)")],
)  # fmt: skip
def test_the_verdict_is_plain(searched, mean, words):
    assert words in demo.verdict(searched, mean)
