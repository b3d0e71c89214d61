"""search and train: stopped, and gone on with."""

import errno
import json
import re
import signal

import numpy as np
import pytest

import keras_pibnas as kp
from keras_pibnas.cli import common, long_runs, search, train

PAIRS = (("sep_conv_3x3", 0), ("skip_connect", 1))
GENOTYPE = kp.Genotype(PAIRS, PAIRS, (2,), (2,))
SMALL = ["--side=8", "--layers=2", "--channels=2", "--batch-size=4", "--epochs=2", "--learning-rate=0.1"]
ARGUMENTS = {
    search: [*SMALL, "--space=small", "--nodes=1", "--order=1", "--skip-limit=3", "--at-skip-limit=restore"],
    train: [*SMALL, "--genotype", GENOTYPE.to_json(), "--drop-path=0.3"],
}


@pytest.mark.parametrize("app", [search, train], ids=["search", "train"])
def test_a_stopped_run_ends_as_an_undisturbed_one(app, tmp_path, npz, capsys, monkeypatch, stop_at):
    small = kp.spaces.SearchSpace("small", ("none", "skip_connect", "pib_conv_3x3"))
    monkeypatch.setitem(kp.spaces.catalog._SPACES, "small", small)
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), "uint8")
    data = npz(x=images, y=np.arange(40) % 2)
    argv, one, other = [*ARGUMENTS[app], "--dataset", str(data)], tmp_path / "one", tmp_path / "other"
    app.main([*argv, "--out", str(one)])
    capsys.readouterr()
    with monkeypatch.context() as patched:
        callbacks = common.progress_callbacks
        patched.setattr(common, "progress_callbacks", lambda *args: [*callbacks(*args), stop_at(6)])
        with pytest.raises(SystemExit) as end:
            app.main([*argv, "--out", str(other)])
    name = app.__name__.rpartition(".")[2]
    said = capsys.readouterr().err
    assert end.value.code == 128 + signal.SIGTERM
    assert said.startswith(f"keras-pibnas {name}: Stopped at epoch ") and said.count("\n") == 1, said
    assert said.endswith(f"To go on: keras-pibnas {name} --resume {other}\n")
    assert "Stopped at" in json.loads((other / "progress.json").read_text())["state"]
    assert app.main(["--resume", str(other)]) == other
    assert {path.name for path in other.iterdir()} == {path.name for path in one.iterdir()} == set(app.FILES)
    for path in [one / "history.csv", one / "genotype.json", *one.glob("genotypes.jsonl")]:
        assert path.read_text() == (other / path.name).read_text()
    assert_same_state(*(kp.runs.newest_snapshot(run / "checkpoints")[1] for run in (one, other)))
    if app is search:
        assert_same_state(*(dict(np.load(run / "alphas.npz")) for run in (one, other)))
    app.main(["--resume", str(other)])  # A run that has ended ends again.
    assert "the run has ended" in capsys.readouterr().out


def assert_same_state(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def claimed(tmp_path, command="search", **changes):
    parser = {"search": search, "train": train}[command].build_parser()
    directory = kp.runs.create_run_directory(str(tmp_path / "run"), command, vars(parser.parse_args([])) | changes)
    return parser, str(directory)


def test_the_settings_are_those_of_the_run_and_some_flags_win(tmp_path):
    parser, run = claimed(tmp_path, epochs=7, seed=5, checkpoint_minutes=3.0)
    argv = ["--resume", run, "--checkpoint-minutes=1", "--data-dir=x"]
    args = long_runs.resolve_arguments(parser, argv, search.PRESETS, "search")
    assert (args.epochs, args.seed, args.checkpoint_minutes, args.data_dir, args.resume) == (7, 5, 1.0, "x", run)
    assert long_runs.directory_of(args, "search") == tmp_path / "run"


def test_the_settings_of_an_older_run_have_the_defaults_of_what_they_lack(tmp_path):
    parser, run = claimed(tmp_path)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    del config["stable_epochs"]
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    assert long_runs.resolve_arguments(parser, ["--resume", run], search.PRESETS, "search").stable_epochs is None


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--epochs=10"], "with it go --callbacks, --checkpoint-minutes, .*Received: --epochs"),
        (["--preset=paper", "--deterministic"], "Received: --deterministic, --preset"),
    ],
)
def test_flags_that_change_the_run_are_refused(flags, words, tmp_path):
    parser, run = claimed(tmp_path)
    with pytest.raises(ValueError, match=words):
        long_runs.resolve_arguments(parser, ["--resume", run, *flags], search.PRESETS, "search")


def test_what_is_no_run_of_the_command(tmp_path, fails):
    _, run = claimed(tmp_path, "train")
    assert "No run of search to go on with" in fails(search.main, ["--resume", run])
    assert "Received: nowhere" in fails(train.main, ["--resume", "nowhere"])


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (kp.runs.Interrupted("Stopped", signal.SIGINT), 130, "search: Stopped\n"),
        (kp.runs.NotFinite("The loss"), 1, "The loss. At half the rate from there: GO ON --not-finite halve\n"),
        (kp.runs.DamagedCheckpoint("No checkpoint"), 2, "search: No checkpoint\n"),
        (OSError(errno.ENOSPC, "No space"), 1, "The disk is full: .*No space. The last good .* is LAST. .*GO ON\n"),
        (OSError(errno.ENOSPC, "The disk is full: x. Then: GO ON"), 1, "search: The disk is full: x. Then: GO ON\n"),
    ],
)
def test_what_ends_a_run_is_one_line(error, status, words, tmp_path, capsys):
    saved, args = kp.callbacks.Checkpoint(tmp_path, go_on="GO ON"), search.build_parser().parse_args([])
    saved.last = "LAST"

    def fit():
        raise error

    with pytest.raises(SystemExit) as end:
        long_runs.run_with_exit_status(fit, saved, tmp_path, "keras-pibnas search", args)
    line = capsys.readouterr().err
    assert end.value.code == status and line.count("\n") == 1
    assert re.search(words, line)


def test_other_errors_keep_their_traceback(tmp_path):
    def fit():
        raise OSError(errno.EACCES, "Permission denied")

    with pytest.raises(PermissionError):
        saved = kp.callbacks.Checkpoint(tmp_path)
        long_runs.run_with_exit_status(fit, saved, tmp_path, "command", search.build_parser().parse_args([]))


def test_halving_where_asked(tmp_path, capsys):
    args = search.build_parser().parse_args(["--not-finite=halve"])
    saved, calls = kp.callbacks.Checkpoint(tmp_path), []

    def fit():
        calls.append(saved.factor)
        if len(calls) < 3:
            raise kp.runs.NotFinite("The loss")

    long_runs.run_with_exit_status(fit, saved, tmp_path, "command", args)
    assert calls == [1.0, 0.5, 0.25]


def test_flags_of_early_ends():
    parser = search.build_parser()
    assert search.early_ends(parser.parse_args([])) == []
    flags = ["--skip-limit=2", "--at-skip-limit=restore", "--stable-epochs=10", "--at-least=5"]
    limit, stable = search.early_ends(parser.parse_args(flags))
    assert (limit.limit, limit.restore, limit.at_least) == (2, True, 5)
    assert (stable.epochs, stable.at_least) == (10, 5)


def test_the_switch_for_determinism(monkeypatch):
    import tensorflow as tf

    calls = []
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: calls.append(1))
    long_runs.seeded(search.build_parser().parse_args([]))
    assert calls == []
    long_runs.seeded(search.build_parser().parse_args(["--deterministic"]))
    assert calls == [1]
