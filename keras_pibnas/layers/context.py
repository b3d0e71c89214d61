"""Settings that hold inside a block."""

import contextlib


@contextlib.contextmanager
def holding(variable, value=True):
    """Inside, the ContextVar has the value."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
