"""Public functions and classes have type hints and an `Example:` that runs."""

import doctest
import inspect
import sys
import types

import keras
import numpy as np
import pytest

import keras_pibnas as kp
from keras_pibnas.engine import choice
from keras_pibnas.methods import catalog


def is_ours(value):
    return callable(value) and getattr(value, "__module__", "").startswith("keras_pibnas")


def names_of(module):
    """`__all__`, or without it what a module defines and does not begin with an underscore."""
    if hasattr(module, "__all__"):
        return module.__all__
    return [name for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__]  # fmt: skip


def public():
    """{"part.name": function or class}: the public names of the package and its parts."""
    parts = {name: getattr(kp, name) for name in kp.__all__}
    modules = {name: part for name, part in parts.items() if isinstance(part, types.ModuleType)}
    modules["analysis.closed_form"] = kp.analysis.closed_form
    found = {name: part for name, part in parts.items() if is_ours(part)}
    known = {id(value) for value in found.values()}
    for place, module in modules.items():
        for name in names_of(module):
            value = getattr(module, name)
            if is_ours(value) and id(value) not in known:
                known.add(id(value))
                found[f"{place}.{name}"] = value
    return found


PUBLIC = public()


def signature_of(value):
    """Of a class, that of its constructor; None where Python or Keras gives it (exceptions, inherited ones)."""
    if inspect.isclass(value):
        if "__init__" not in vars(value) or issubclass(value, Exception):
            return None
        value = value.__init__
    return inspect.signature(value)


def unhinted(value):
    """Parameters without a type hint, and "return" of a function."""
    signature = signature_of(value)
    if signature is None:
        return []
    bare = [
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.annotation is parameter.empty
        and parameter.name != "self"
        and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    ]
    lacks_return = not inspect.isclass(value) and signature.return_annotation is signature.empty
    return bare + ["return"] * lacks_return


def examples_of(value):
    """The doctest of its own docstring, with `kp`, `keras` and `np` at hand."""
    module = sys.modules[value.__module__]
    names = {**vars(module), "kp": kp, "keras": keras, "np": np}
    return doctest.DocTestParser().get_doctest(inspect.cleandoc(value.__doc__ or ""), names, value.__name__, None, 0)


def test_public_names_have_type_hints():
    assert not {name: bare for name, value in PUBLIC.items() if (bare := unhinted(value))}


def test_public_names_have_an_example():
    assert not [name for name, value in PUBLIC.items() if not examples_of(value).examples]


@pytest.fixture
def empty_folder(tmp_path, monkeypatch, registry):
    """Examples write there, and what they register is gone after them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(catalog, "_METHODS", dict(catalog._METHODS))
    monkeypatch.setattr(choice, "_ENTRIES", dict(choice._ENTRIES))


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_examples_run(name, empty_folder):
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    told = []
    runner.run(examples_of(PUBLIC[name]), out=told.append)
    assert runner.failures == 0, "".join(told)
