"""Writes the API reference from the docstrings: python docs/build_api.py [FOLDER], docs/api by default.

The public names are documented where they are public: kp.analysis.complexity under keras_pibnas.analysis, whatever file
of that package defines it. Any warning is an error.
"""

import shutil
import sys
import types
import warnings
from pathlib import Path

import pdoc

import keras_pibnas  # here, so that only our own warnings count below


def pages():
    """The package, its parts, and the modules that those name as public; not the files inside them."""
    public = [getattr(keras_pibnas, name) for name in keras_pibnas.__all__]
    parts = [value for value in public if isinstance(value, types.ModuleType)]
    named = [getattr(part, name) for part in parts for name in getattr(part, "__all__", ())]
    modules = [value.__name__ for value in named if isinstance(value, types.ModuleType)]
    return keras_pibnas.__name__, r"!keras_pibnas\.\w+\.", *modules


def main(folder=Path(__file__).parent / "api"):
    shutil.rmtree(folder, ignore_errors=True)
    pdoc.render.configure(docformat="google", show_source=False, search=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pdoc.pdoc(*pages(), output_directory=Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
