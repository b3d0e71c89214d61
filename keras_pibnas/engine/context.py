"""Settings that hold inside a block."""

import contextlib
import gc


@contextlib.contextmanager
def holding(variable, value=True):
    """Inside, the ContextVar has the value."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


@contextlib.contextmanager
def no_collection():
    """Without Python's garbage collector: a trace makes a million objects that stay, and is a tenth faster."""
    wanted = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if wanted:
            gc.enable()
