"""Imports point one way: the direction rule, held against the source."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "keras_pibnas"
BASE = {"onednn", "genotypes", "genotype_forms", "topology", "skeleton", "engine", "layers", "data", "training"}
BASE |= {"schedules"}
MIDDLE = {
    "optimizers": {"engine"},
    "distribution": {"engine", "layers", "optimizers", "training"},
    "costs": {"engine", "layers", "topology"},
    "methods": {"layers", "spaces", "costs", "genotypes", "topology"},
    "search": {
        "methods",
        "spaces",
        "layers",
        "genotypes",
        "topology",
        "optimizers",
        "distribution",
        "engine",
        "training",
    },  # fmt: skip
    "network": {"spaces", "layers", "genotypes", "topology", "distribution", "engine"},
}
TOP = ("analysis", "interop", "runs")
# Part of the package -> parts that it may import besides itself.
ALLOWED = {
    **{part: set() for part in {*BASE, "keras_private"}},
    "engine": {"onednn"},
    "layers": {"engine"},
    "genotypes": {"genotype_forms", "topology"},
    "skeleton": {"topology"},
    "spaces": {"layers", "genotypes", "topology"},  # genotypes: its vocabulary learns the registered op names
    **MIDDLE,
    **{part: BASE | set(MIDDLE) | {"spaces"} for part in TOP},
    "callbacks": BASE | set(MIDDLE) | {"spaces", "runs"},  # runs: the functions that callbacks are shells around
    "tabular": BASE | set(MIDDLE) | {"spaces", "runs"},
    "registered": {"layers", "methods", "schedules", *MIDDLE},  # what saved files name
}
# The commands and what starts them import everything.
FREE = {"__init__", "__main__", "cli"}
SOURCES = sorted(ROOT.glob(f"{PACKAGE}/**/*.py"))


def imported(source, module):
    """Absolute dotted names that a module's source imports, inside functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = module[: len(module) - node.level + 1] if node.level else []
            base = [*parent, *([node.module] if node.module else [])]
            yield from (".".join([*base, alias.name]) for alias in node.names)


def dotted(path):
    """('keras_pibnas', 'search', 'cell') of a file; a package's own name ends in '__init__'."""
    return path.relative_to(ROOT).with_suffix("").parts


def violations(source, module):
    """What a module of ours imports against the rule."""
    own = module[1]
    for name in imported(source, list(module[:-1])):
        top, _, rest = name.partition(".")
        part = rest.partition(".")[0]
        ours = top == PACKAGE and own not in FREE and part != own
        if top == "apps" or (ours and part not in {*ALLOWED[own], "keras_private"}):
            yield name


def test_every_part_of_the_package_has_a_rule():
    assert {dotted(path)[1] for path in SOURCES} <= {*FREE, *ALLOWED}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: "/".join(dotted(path)))
def test_imports_point_one_way(path):
    assert not list(violations(path.read_text(encoding="utf-8"), dotted(path)))


@pytest.mark.parametrize("name", ["genotypes", "genotype_forms", "topology"])
def test_genotypes_and_topology_need_only_the_standard_library(name):
    source = (ROOT / PACKAGE / f"{name}.py").read_text()
    used = {name.partition(".")[0] for name in imported(source, [PACKAGE])}
    assert used <= {*sys.stdlib_module_names, PACKAGE}


@pytest.mark.parametrize(
    "source, module",
    [
        ("from apps import search", (PACKAGE, "search", "cell")),
        ("import keras_pibnas.spaces", (PACKAGE, "layers", "pib")),
        ("from keras_pibnas import network", (PACKAGE, "search", "cell")),
        ("import keras_pibnas as kp", (PACKAGE, "runs", "files")),
        ("from apps import search", (PACKAGE, "cli", "demo")),
        ("from keras_pibnas import cli", (PACKAGE, "runs", "trials")),
        ("from keras_pibnas.callbacks import Board", (PACKAGE, "runs", "files")),
        ("from ..search import cell", (PACKAGE, "network", "__init__")),
        ("from keras_pibnas.search import edges", (PACKAGE, "methods", "cells")),
        ("from .. import search", (PACKAGE, "network", "build")),
        ("def f():\n    from keras_pibnas.analysis import plots", (PACKAGE, "callbacks", "record")),
    ],
)
def test_the_rule_sees_a_violation(source, module):
    assert list(violations(source, module))


@pytest.mark.parametrize(
    "source, module",
    [
        ("from ..layers import PIBConv", (PACKAGE, "spaces", "registry")),
        ("from . import cell", (PACKAGE, "search", "supernet")),
        ("from .cell import Cell", (PACKAGE, "search", "__init__")),
        ("from keras_pibnas.search import Supernet\nfrom .genotypes import Genotype", (PACKAGE, "__init__")),
        ("import keras_pibnas as kp\nfrom keras_pibnas.analysis import Limits", (PACKAGE, "cli", "tiny")),
        ("from keras_pibnas.runs import write_json", (PACKAGE, "callbacks", "progress")),
        ("import keras\nfrom tensorflow import data", (PACKAGE, "layers", "pib")),
    ],
)
def test_the_rule_lets_the_rest_pass(source, module):
    assert not list(violations(source, module))


# Methods that subclasses of Keras's call as Keras's own do, and argparse's list of flags.
SHARED = {"_get_variable_index", "_trainable_variables", "_compute_loss", "_actions"}


def foreign_privates(tree, own):
    """Attributes with a leading underscore that nothing in the package defines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            if node.attr not in own | SHARED:
                yield node.attr


def test_private_names_of_keras_stand_in_one_file():
    """Those of TensorFlow are in engine/tensorflow; `super()._name` stands where a hook is overridden."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}
    own = set()
    for node in (node for tree in trees.values() for node in ast.walk(tree)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            own.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            own.add(node.attr)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "__setattr__":
            own.add(getattr(node.args[1], "value", ""))
    found = {path.relative_to(ROOT).as_posix(): {*foreign_privates(tree, own)} for path, tree in trees.items()}
    assert {path for path, names in found.items() if names} == {"keras_pibnas/keras_private.py"}
