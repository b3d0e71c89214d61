"""Standard error without TensorFlow's notes about the machine, and with all the rest: errors, crashes, warnings.

TensorFlow 2.21 writes the notes from C++ while it is imported, before it reads its log level, so they are filtered from
file descriptor 2. The filter is a process of its own: what a crash writes last gets through, too.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys

NOTES = re.compile(
    r"WARNING: All log messages before absl::InitializeLog"  # is called are written to STDERR
    r"|[IW]\d{4} \d\d:\d\d:\d+\.\d+ +\d+ [\w.]+:\d+\] "  # I0000 00:00:1795933951.277022 6953 cpu_feature_guard.cc:227]
    r"|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IW] "  # 2026-01-31 12:00:00.123456: I tensorflow/core/...
    r"|To enable the following instructions: "
    r"|fully_quantize: \d, inference_type: "  # of a conversion to LiteRT
)


def is_note(line: str) -> bool:
    """Whether a line is one of TensorFlow's, of level information or warning."""
    return NOTES.match(line) is not None


@contextlib.contextmanager
def without_notes():
    """Inside, lines on file descriptor 2 that are notes of TensorFlow's are left out."""
    sys.stderr.flush()
    words = [sys.executable, "-I", "-S", __file__]
    saved = os.dup(2)
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
        os.dup2(process.stdin.fileno(), 2)
        process.stdin.close()
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)


def main():
    """The filter: standard input to standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process whose lines these are
    for line in sys.stdin.buffer:
        if not is_note(line.decode(errors="replace")):
            sys.stderr.buffer.write(line)
            sys.stderr.buffer.flush()


if __name__ == "__main__":
    main()
