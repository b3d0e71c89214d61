"""docs/paper.md: its commands exist and take their flags, its spaces and pictures are there."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

import keras_pibnas as kp

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "paper.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"(keras-pibnas |python -m benchmarks\.)(\w+)([^`#\n]*)", PAGE)


def test_the_commands_are_found():
    assert {name for _, name, _ in COMMANDS} >= {"complexity", "roadmap", "search", "sweep", "gradcam", "paper_cost"}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: f"{command[1]}{command[2]}".strip()[:60])
def test_a_command_takes_its_flags(command):
    runner, name, flags = command
    if runner == "keras-pibnas ":
        parser = importlib.import_module(f"keras_pibnas.cli.{name}").build_parser()
    else:
        parser = importlib.import_module(f"benchmarks.{name}").parser()
    parser.parse_args(shlex.split(flags))


def test_the_spaces_are_there():
    words = set(re.findall(r"`(darts\w*|convnext|pibconv[\w.]*)`", PAGE))
    assert len(words) > 6
    for word in words:
        assert kp.spaces.get(word).name == word


def test_the_pictures_are_there():
    for path in re.findall(r"\]\((pictures/[^)]+)\)", PAGE):
        assert (DOCS / path).stat().st_size > 0
