import importlib

import pytest

from keras_pibnas.cli import COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_every_flag_means(name, capsys):
    parser = importlib.import_module(f"keras_pibnas.cli.{name}").build_parser()
    with pytest.raises(SystemExit) as stopped:
        parser.parse_args(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert stopped.value.code == 0 and f"keras-pibnas {name}" in text
    for action in parser._actions:
        assert action.help, action.option_strings
        assert all(option in text for option in action.option_strings)


@pytest.mark.parametrize("name", ["search", "train", "demo"])
def test_help_shows_defaults(name, capsys):
    parser = importlib.import_module(f"keras_pibnas.cli.{name}").build_parser()
    defaults = [action.default for action in parser._actions if action.option_strings and action.dest != "help"]
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert len(defaults) > 5 and all(f"(default: {default})" in text for default in defaults)
