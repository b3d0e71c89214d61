"""Standard error of the commands: TensorFlow's notes stay away, all the rest gets through."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from keras_pibnas.cli import stderr

ROOT = Path(__file__).parents[2]
NOTE = "I0000 00:00:1795933951.277022    6953 cudart_stub.cc:31] Could not find cuda drivers on your machine."
FAULT = "F0000 00:00:1795933951.277022    6953 resource.cc:31] Check failed: x"
# The filter without the package, whose import would bring TensorFlow.
CODE = """
import importlib.util, os, sys
spec = importlib.util.spec_from_file_location("filter", sys.argv[1])
filter = importlib.util.module_from_spec(spec); spec.loader.exec_module(filter)
with filter.without_notes():
    os.write(2, b"{note}\\nours\\n{fault}\\nno newline"); {more}
os.write(2, b"{note}\\n")
"""


def ended(more):
    words = [sys.executable, "-c", CODE.format(note=NOTE, fault=FAULT, more=more), stderr.__file__]
    return subprocess.run(words, capture_output=True, text=True, cwd=ROOT)


@pytest.mark.parametrize(
    "line",
    [
        NOTE,
        "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
        "2026-01-31 12:00:00.123456: I tensorflow/core/util/port.cc:153] oneDNN custom operations are on.",
        "To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow.",
    ],
)
def test_notes(line):
    assert stderr.is_note(line)


@pytest.mark.parametrize("line", [FAULT, "2026-01-31 12:00:00.123456: E tensorflow/x.cc:1] no", "I am no note", ""])
def test_what_is_no_note(line):
    assert not stderr.is_note(line)


def test_lines_are_filtered_inside_and_nothing_is_outside():
    done = ended("pass")
    assert (done.returncode, done.stderr) == (0, f"ours\n{FAULT}\nno newline{NOTE}\n")


def test_what_a_crash_writes_last_gets_through():
    done = ended("os.abort()")
    assert done.returncode < 0 and done.stderr == f"ours\n{FAULT}\nno newline"


def test_the_traceback_of_an_error_gets_through():
    done = ended("1 / 0")
    assert done.returncode == 1 and "ZeroDivisionError" in done.stderr and NOTE not in done.stderr


def test_file_descriptor_2_is_as_before_in_a_process_that_goes_on(capfd):
    before = os.fstat(2)
    with stderr.without_notes():
        os.write(2, f"{NOTE}\nkept\n".encode())
    assert os.path.samestat(before, os.fstat(2)) and capfd.readouterr().err == "kept\n"
