import json

import keras
import pytest

import keras_pibnas as kp
from keras_pibnas.cli import tiny

TINY = ["--side=8", "--max-layers=2", "--min-channels=2", "--epochs=1"]


def test_the_whole_way_at_small_settings(tmp_path, capsys):
    network = kp.build_network("DARTS_V2", (8, 8, 1), 10, channels=2, layers=2)
    macs = kp.analysis.complexity(network).macs  # so 4 channels are too many
    argv = [*TINY, f"--max-macs={macs}", "--max-file-size=40KiB", "--out", str(tmp_path / "tiny")]
    directory = tiny.main(argv)
    out = capsys.readouterr().out
    assert "2 layers, 2 channels" in out and "too large (macs" in out
    for name in tiny.FILES:
        assert f"{directory / name} " in out and (directory / name).stat().st_size > 0
    result = json.loads((directory / "tiny.json").read_text())
    assert (result["layers"], result["channels"], result["macs"]) == (2, 2, macs)
    assert result["file_size"] == (directory / "model_int8.tflite").stat().st_size <= 40 * 1024
    assert result["limits"] == {"file_size": 40960, "macs": macs, "activation_memory": None}
    trained = json.loads((directory / "train" / "result.json").read_text())
    assert result["float_accuracy"] == pytest.approx(trained["test_accuracy"], abs=1e-6)
    model = keras.saving.load_model(directory / "train" / "model.keras")
    assert kp.analysis.complexity(model).macs == macs
    predicted = tiny.file_size(network, kp.data.load("digits", 8))
    assert predicted == pytest.approx(result["file_size"], rel=0.05)


def test_a_trained_file_that_is_too_large_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tiny, "fit", lambda *args: kp.analysis.Fit(2, 2, 1, 1, 1, 1))
    monkeypatch.setattr(tiny.train, "main", lambda argv: tmp_path)
    monkeypatch.setattr(tiny, "finish", lambda *args: False)
    with pytest.raises(SystemExit) as stopped:
        tiny.main([*TINY, "--out", str(tmp_path / "tiny")])
    assert stopped.value.code == 1 and "larger than the limit" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv, words",
    [
        (["--max-macs=10"], "Even 2 layers of 8 channels are too large: macs"),
        (["--max-file-size=0"], "--max-file-size: invalid amount"),
        (["--min-channels=3"], "channels=3"),
        (["--genotype=NONSENSE"], "Unknown genotype"),
        (["--batch-size=9999"], "batch_size=9999"),
    ],
)
def test_wrong_values(argv, words, fails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert words in fails(tiny.main, ["--side=8", *argv])
    assert not list(tmp_path.iterdir())
