"""docs/paper.md: its commands exist and take their flags, its spaces and pictures are there."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

import keras_pibnas as kp

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "paper.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"python -m (apps|benchmarks)\.(\w+)([^`#\n]*(?:\n[^`#\n]+)?)", PAGE)


def test_the_commands_are_found():
    assert {name for _, name, _ in COMMANDS} >= {"complexity", "roadmap", "search", "sweep", "gradcam", "paper_cost"}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: f"{command[1]}{command[2]}".strip()[:60])
def test_a_command_takes_its_flags(command):
    package, name, flags = command
    module = importlib.import_module(f"{'keras_pibnas.cli' if package == 'apps' else package}.{name}")
    parser = module.build_parser() if package == "apps" else module.parser()
    parser.parse_args(shlex.split(flags.split("\n    python")[0]))


def test_the_spaces_are_there():
    words = set(re.findall(r"`(darts\w*|convnext|pibconv[\w.]*)`", PAGE))
    assert len(words) > 6
    for word in words:
        assert kp.spaces.get(word).name == word


def test_the_pictures_are_there():
    for path in re.findall(r"\]\((pictures/[^)]+)\)", PAGE):
        assert (DOCS / path).stat().st_size > 0
