import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import keras_pibnas as kp
from keras_pibnas.cli import watch

PAIRS = (("skip_connect", 0), ("max_pool_3x3", 1), ("skip_connect", 2), ("max_pool_3x3", 1))
GENOTYPE = kp.Genotype(PAIRS, PAIRS, (2, 3), (2, 3))


@pytest.fixture
def run(tmp_path):
    """A search of 4 epochs, in its third, written 3 seconds after 1970."""
    kp.runs.write_json(tmp_path / "config.json", {"command": "search", "space": "darts", "dataset": "digits"})
    progress = {"state": "running", "epoch": 2, "epochs": 4, "step": 30, "steps": 40, "logs": {"loss": 0.5}}
    kp.runs.write_json(tmp_path / "progress.json", {**progress, "seconds_left": 725, "time": 3.0})
    alphas = [np.zeros((5, 4), "float32")] * 2
    alphas[0] = np.log(np.array([[1, 1, 2, 4]] * 5, "float32"))
    supernet = SimpleNamespace(
        allowed_alphas=lambda: dict(zip(("normal", "reduce"), alphas, strict=True)),
        space=SimpleNamespace(primitives=("none", "max_pool_3x3", "skip_connect", "sep_conv_3x3")),
    )
    for epoch in range(3):
        kp.runs.record_alphas(tmp_path, epoch, supernet)
        if epoch:
            kp.runs.record_history(tmp_path, epoch, {"loss": 1.0 / epoch, "val_accuracy": 0.25 * epoch})
            kp.runs.record_genotype(tmp_path, epoch, GENOTYPE)
    return tmp_path


def test_how_far_it_is_and_the_time_left(run):
    text = watch.plain(watch.frame(run, 4.0))
    assert text.startswith(f"{run}  a search of darts on digits\nrunning\n")
    # Half of 30 characters; three quarters of them, 22.5, rounds to 22.
    assert f"epochs     {'█' * 15}{'░' * 15} 2 of 4\nsteps      {'█' * 22}{'░' * 8} 30 of 40" in text
    assert "time left  12 min 5 s" in text


def test_numbers_now_and_after_every_epoch(run):
    text = watch.plain(watch.frame(run, 4.0))
    assert "now  loss 0.5\n" in text and "loss          █▁  0.5\n" in text and "val_accuracy  ▁█  0.5\n" in text


def test_the_genotype_with_the_weights_of_its_ops(run):
    text = watch.plain(watch.frame(run, 4.0))
    # Weights 1/8, 1/8, 2/8, 4/8: entropy (2 * 3/8 + 2/4 + 1/2) ln 2.
    assert f"normal cell  2 skip connections, entropy {1.75 * np.log(2):.3f} nats" in text
    assert f"  node 1  skip_connect  node 0   {watch.bar(0.25)} 0.250" in text
    assert f"  node 0  max_pool_3x3  c_{{k-1}}  {watch.bar(0.125)} 0.125" in text
    assert "reduction cell  2 skip connections, entropy 1.386 nats" in text  # ln 4


@pytest.mark.parametrize("missing", ["config.json", "progress.json", "alphas.npz", "history.csv", "genotype.json"])
def test_a_run_that_is_not_complete_shows_what_there_is(missing, run):
    (run / missing).unlink()
    text = watch.plain(watch.frame(run, 4.0))
    assert ("12 min 5 s" in text) == (missing != "progress.json")
    assert ("normal cell" in text) == (missing != "genotype.json")
    assert ("entropy" in text) == (missing not in ("genotype.json", "alphas.npz"))


def test_an_empty_directory_and_none(tmp_path, fails):
    assert "nothing recorded yet" in watch.frame(tmp_path, 0.0)
    assert "Received: nowhere" in fails(watch.main, ["nowhere"])


def test_silence_is_told(run):
    assert f"no news for 5 min 0 s: go on with --resume {run} if it is dead" in watch.frame(run, 303.0)


def test_without_a_terminal_it_is_one_plain_look(run, capsys):
    watch.main([str(run), "--once"])
    once = capsys.readouterr().out
    watch.main([str(run)])
    assert "\x1b" not in once and capsys.readouterr().out == once


def test_on_a_terminal_it_looks_until_the_run_ends(run, capsys, monkeypatch):
    monkeypatch.setattr(watch.sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    seconds = []

    def sleep(time):
        seconds.append(time)
        if len(seconds) == 2:
            kp.runs.mark(run, "ended")

    monkeypatch.setattr(watch.time, "sleep", sleep)
    watch.main([str(run), "--every=7"])
    assert seconds == [7, 7]
    out = capsys.readouterr().out
    # Two looks at the (long silent) search and one at the ended, which is drawn once more at the end.
    assert out.count("\nno news for ") == 2 and out.count("\nended\n") == 2 and "\x1b[1mnormal cell" in out


def test_a_terminal_without_block_signs_gets_others(run):
    text = watch.plain(watch.frame(run, 4.0))
    assert watch.readable(text, "utf-8") == text
    told = watch.readable(text, "latin-1")
    assert told.encode("latin-1") and f"epochs     {'#' * 15}{'-' * 15} 2 of 4" in told
    assert "loss          #_  0.5" in told


def test_watch_on_latin_1_as_a_process(run):
    words = [sys.executable, "-m", "keras_pibnas", "watch", str(run), "--once"]
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(words, env=environment, cwd=Path(__file__).parents[2], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"") and b"#" * 15 + b"-" * 15 in done.stdout


def test_of_several_parts_the_one_that_reported_last(run, tmp_path):
    """As a search in stages or repeats has them; it ends with a genotype of its own."""
    whole = tmp_path / "whole"
    for number, time in ((1, 5.0), (2, 9.0)):
        part = whole / f"stage_{number}"
        shutil.copytree(run, part, ignore=shutil.ignore_patterns("whole", "config.json"))
        os.utime(part / "progress.json", (time, time))
    shutil.copy(run / "config.json", whole)
    assert watch.plain(watch.frame(whole, 4.0)).startswith(f"{whole / 'stage_2'}  a search of darts")
    progress = watch.read_json(whole / "stage_2" / "progress.json")
    kp.runs.write_json(whole / "stage_2" / "progress.json", {**progress, "state": "done"})
    assert not watch.ended(whole)  # there may be a third stage
    GENOTYPE.save(whole / "genotype.json")
    assert watch.ended(whole) and not watch.ended(run)
