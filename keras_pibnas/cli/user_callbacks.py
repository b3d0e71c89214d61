"""Callbacks of the user's own, from --callbacks module:factory."""

import importlib
import os
import sys

import keras

import keras_pibnas as kp


def load(texts):
    """The factories that "module:factory" names; a module of the folder that the command is called in counts, too.

    Raises:
        ValueError: no such module or factory, or a text of another form.
    """
    return [_factory(text) for text in texts or ()]


def make(factories, directory, args):
    """What the factories give for a run directory and its settings; of several machines on the first alone.

    Raises:
        ValueError: something that is no Keras callback.
    """
    made = [factory(directory, dict(vars(args))) for factory in factories] if kp.runs.is_chief() else []
    found = [one for some in made for one in (some if isinstance(some, list | tuple) else [some])]
    for one in found:
        if not isinstance(one, keras.callbacks.Callback):
            raise ValueError(f"--callbacks: a factory should give Keras callbacks, one or a list. Received: {one!r}")
    return found


def _factory(text):
    module, colon, name = text.partition(":")
    if not (module and colon and name):
        raise ValueError(f"--callbacks should be module:factory. Received: {text}")
    if os.getcwd() not in sys.path:  # which an installed command has not got there, as python -m has
        sys.path.insert(0, os.getcwd())
    try:
        factory = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"--callbacks {text}: {error}") from None
    if not callable(factory):
        raise ValueError(f"--callbacks {text} should name something that is called. Received: {factory!r}")
    return factory
