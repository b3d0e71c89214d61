import errno
import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_pibnas.runs import files


@pytest.mark.parametrize("content", ["text with ü\n", b"\x00\xff"])
def test_atomic_write_replaces_the_file(tmp_path, content):
    path = tmp_path / "file.bin"
    path.write_text("old")
    files.atomic_write(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert os.listdir(tmp_path) == ["file.bin"]


def test_a_full_disk_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def half(self, content):
        with open(self, "wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError, match="No space left"):
        files.atomic_write(path, "new and longer")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_files_can_be_read_by_others_as_the_umask_says(tmp_path):
    mask = os.umask(0o022)
    try:
        files.atomic_write(tmp_path / "file", "x")
    finally:
        os.umask(mask)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_written_aside_keeps_the_suffix_and_moves_only_at_the_end(tmp_path):
    path = tmp_path / "model.keras"
    with files.written_aside(path) as aside:
        assert aside.suffix == ".keras" and aside.parent == tmp_path
        aside.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"


def test_a_model_is_saved_whole(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    files.save_model(model, tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_weights()[0].tolist() == model.get_weights()[0].tolist()
    assert os.listdir(tmp_path) == ["model.keras"]


def test_lines_and_tables_come_back(tmp_path):
    assert files.read_lines(tmp_path / "none.jsonl") == files.read_table(tmp_path / "none.csv") == []
    rows = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25, "val_loss": 1.0}]
    files.write_lines(tmp_path / "a.jsonl", rows)
    files.write_table(tmp_path / "a.csv", rows)
    assert files.read_lines(tmp_path / "a.jsonl") == rows
    assert (tmp_path / "a.csv").read_text() == "epoch,loss,val_loss\n1,0.5,\n2,0.25,1.0\n"
    assert files.read_table(tmp_path / "a.csv")[1] == {"epoch": "2", "loss": "0.25", "val_loss": "1.0"}


def test_arrays_come_back(tmp_path):
    files.write_arrays(tmp_path / "a.npz", values=np.arange(3), names=np.array(["none", "skip_connect"]))
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["values"].tolist() == [0, 1, 2] and arrays["names"].tolist() == ["none", "skip_connect"]


@pytest.mark.parametrize(
    ("config", "chief"),
    [
        (None, True),
        ({"cluster": {}, "task": {}}, True),
        ({"cluster": {"worker": ["a", "b"]}, "task": {"type": "worker", "index": 0}}, True),
        ({"cluster": {"worker": ["a", "b"]}, "task": {"type": "worker", "index": 1}}, False),
        ({"cluster": {"chief": ["a"], "worker": ["b"]}, "task": {"type": "worker", "index": 0}}, False),
        ({"cluster": {"chief": ["a"], "worker": ["b"]}, "task": {"type": "chief", "index": 0}}, True),
    ],
)
def test_one_of_several_workers_writes(config, chief, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "" if config is None else json.dumps(config))
    assert files.is_chief() == chief
