"""The commands: `python -m apps.search` and the others, one a file."""

import contextlib
import os
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")


@contextlib.contextmanager
def _quiet():
    """Nothing reaches file descriptor 2 inside the block; exceptions pass."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as nowhere:
        saved = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


# TensorFlow 2.21 writes about the machine while it is imported, before it reads the log level.
# A command promises one line on standard error.
with _quiet():
    import keras_pibnas  # noqa: F401
