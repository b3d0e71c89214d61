"""The installed command, `python -m keras_pibnas` and the thin modules of apps."""

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import keras_pibnas as kp
from keras_pibnas import cli
from keras_pibnas.cli import flags

ROOT = Path(__file__).parents[2]


def command(*words, start=("-m", "keras_pibnas"), **environment):
    """A process that has ended."""
    variables = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    return subprocess.run([sys.executable, *start, *words], cwd=ROOT, env=variables, capture_output=True, text=True)


def test_help_lists_the_commands_without_tensorflow():
    done = command("--help", start=("-X", "importtime", "-m", "keras_pibnas"))
    assert done.returncode == 0
    for name, what in cli.COMMANDS.items():
        assert f"{name} " in done.stdout and what in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "keras_pibnas.cli" in imported and not imported & {"tensorflow", "keras", "numpy"}


def test_every_command_is_listed_and_has_its_thin_module():
    files = {path.stem for path in (ROOT / "keras_pibnas/cli").glob("*.py") if "\ndef main(argv=" in path.read_text()}
    assert files - {"__init__"} == set(cli.COMMANDS)
    assert {path.stem for path in (ROOT / "apps").glob("*.py")} == {*cli.COMMANDS, "__init__"}


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_thin_module_holds_one_command_and_no_code(name):
    tree = ast.parse((ROOT / "apps" / f"{name}.py").read_text(encoding="utf-8"))
    assert not [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    main = importlib.import_module(f"apps.{name}").main
    assert (main.func, main.args) == (cli.run, (name,))


def test_a_thin_module_runs_the_command(capsys):
    importlib.import_module("apps.space").main(["--space=nasnet", "--format=csv"])
    assert capsys.readouterr().out.endswith("nasnet,cells,3.2e+11,320000000000\n")


def test_a_command_by_its_name(capsys):
    cli.main(["space", "--space=nasnet", "--format=csv"])
    assert capsys.readouterr().out.endswith("nasnet,cells,3.2e+11,320000000000\n")


def test_the_version(capsys):
    cli.main(["--version"])
    assert capsys.readouterr().out == f"keras-pibnas {kp.__version__}\n"


@pytest.mark.parametrize(
    "argv, words", [(["serach"], ["Unknown command 'serach'", "search, train"]), ([], ["A command is missing"])]
)
def test_no_such_command(argv, words, fails):
    line = fails(cli.main, argv)
    assert line.startswith("keras-pibnas: ") and all(word in line for word in words)


@pytest.mark.parametrize(
    "program, called",
    [
        ("/home/me/.venv/bin/keras-pibnas", "keras-pibnas search"),
        ("/site-packages/keras_pibnas/__main__.py", "python -m keras_pibnas search"),
        ("/checkout/apps/search.py", "python -m apps.search"),
    ],
)
def test_a_command_names_itself_as_it_was_called(program, called, monkeypatch):
    monkeypatch.setattr(sys, "argv", [program])
    assert flags.called("search") == called


def test_a_reader_that_has_seen_enough_ends_a_command_quietly():
    words = [sys.executable, "-m", "keras_pibnas", "space", "--format=csv"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()  # before anything is written, as `head -0` would
        said = process.stderr.read()
    assert (said, process.returncode) == ("", cli.BROKEN_PIPE)


def test_a_process_prints_one_line_for_a_mistake():
    done = command("search", "--space=nonsense")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("python -m keras_pibnas search: Unknown search space 'nonsense'.")
    assert done.stderr.count("\n") == 1


def test_a_terminal_that_knows_latin_1_alone_gets_every_table():
    done = command("space", "--space=nasnet", PYTHONIOENCODING="latin-1")
    assert done.returncode == 0 and "320,000,000,000" in done.stdout, done.stderr
