"""keras_pibnas: differentiable architecture search for Keras, with the pseudo-inverted bottleneck convolution.

`import keras_pibnas` does two things. On an x86 processor it sets the environment variable `TF_ENABLE_ONEDNN_OPTS` to
1, unless it is set already; `TF_ENABLE_ONEDNN_OPTS=0` keeps TensorFlow's oneDNN kernels off. And it registers the
package's layers, models, optimizers and schedules with Keras, so that `keras.saving.load_model` knows them. The other
parts are imported when they are first used.
"""

import importlib
import sys
from pathlib import Path

from keras_pibnas import onednn as onednn  # before all that imports TensorFlow

__version__ = "0.1.0"

# Public name -> the module that has it; None: a module of that name.
_PUBLIC = {
    "Genotype": "genotypes", "Supernet": "search", "analysis": None, "build_network": "network", "callbacks": None,
    "costs": None, "data": None, "distribution": None, "engine": None, "genotypes": None, "interop": None,
    "layers": None, "methods": None, "network": None, "optimizers": None, "runs": None, "spaces": None,
    "tabular": None, "topology": None,
}  # fmt: skip

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name):
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_PUBLIC[name] or name}")
    value = getattr(module, name) if _PUBLIC[name] else module
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})


def _is_command():
    """Whether Python was started as `keras-pibnas`, `python -m keras_pibnas` or `python -m apps.NAME`."""
    program = Path(sys.argv[0]).stem if sys.argv else ""
    words = sys.orig_argv[1:]  # sys.argv[0] is "-m" while a module is looked for, and its path afterwards
    module = words[words.index("-m") + 1] if "-m" in words[: len(words) - len(sys.argv) + 1] else ""
    return program == "keras-pibnas" or module.partition(".")[0] in (__name__, "apps")


if not _is_command():  # whose help needs no Keras, and whose parts import what they need
    from keras_pibnas import registered as registered
