import importlib
from pathlib import Path

import pytest

APPS = sorted(
    path.stem for path in Path(__file__).parents[2].glob("apps/*.py") if "build_parser" in path.read_text()
)
COMMANDS = [name for name in APPS if name != "common"]


def test_the_commands_are_found():
    assert {"search", "train", "demo"} <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_every_flag_means(name, capsys):
    parser = importlib.import_module(f"apps.{name}").build_parser()
    with pytest.raises(SystemExit) as stopped:
        parser.parse_args(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert stopped.value.code == 0 and f"python -m apps.{name}" in text
    for action in parser._actions:
        assert action.help, action.option_strings
        assert all(option in text for option in action.option_strings)


@pytest.mark.parametrize("name", ["search", "train", "demo"])
def test_help_shows_defaults(name, capsys):
    parser = importlib.import_module(f"apps.{name}").build_parser()
    defaults = [
        action.default for action in parser._actions if action.option_strings and action.dest != "help"
    ]
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert len(defaults) > 8 and all(f"(default: {default})" in text for default in defaults)
