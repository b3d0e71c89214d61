"""The commands: `keras-pibnas search ...`, one a file. Nothing here imports TensorFlow before a command is chosen."""

import contextlib
import importlib
import os
import sys

import keras_pibnas
from keras_pibnas.cli import stderr

COMMANDS = {
    "search": "Search a cell, and read off its genotype.",
    "train": "Train the discrete network of a genotype, and save it.",
    "demo": "The whole way on handwritten digits: search, train, compare with random cells.",
    "plot": "Draw the cells of a genotype, or the curves of a run.",
    "watch": "Show a running search or training in the terminal.",
    "genotypes": "List the published genotypes, with their figures.",
    "complexity": "Count parameters and multiply-adds.",
    "profile": "Measure networks on this machine, in all and layer by layer.",
    "space": "Print how many architectures a search space holds.",
    "tabular": "Print and draw a table of cells that were all trained.",
    "compare": "Search a table's space with several methods, and look their results up.",
    "sweep": "Train genotypes over a grid of sizes and seeds, side by side.",
    "roadmap": "Go the paper's road: search and train one space after the other.",
    "gradcam": "Draw where networks look.",
    "export": "Write a trained network for other runtimes, and compare it there.",
    "tiny": "Fit a network into a file size, MACs and memory.",
}
PROGRAM = "keras-pibnas"
BROKEN_PIPE = 128 + 13  # what a shell says of a program that SIGPIPE ended


def main(argv=None):
    """Runs `keras-pibnas COMMAND ...`; argv: the words after the program's name."""
    words = sys.argv[1:] if argv is None else list(argv)
    if words[:1] in (["-h"], ["--help"]):
        print(overview())
    elif words[:1] == ["--version"]:
        print(PROGRAM, keras_pibnas.__version__)
    elif words and words[0] in COMMANDS:
        run(words[0], words[1:])
    else:
        wrong = f"Unknown command {words[0]!r}. Known: {', '.join(COMMANDS)}" if words else "A command is missing"
        print(f"{PROGRAM}: {wrong} (--help says what each does)", file=sys.stderr)
        raise SystemExit(2)


def overview() -> str:
    """The text of `keras-pibnas --help`."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {what}" for name, what in COMMANDS.items()]
    about = f"{PROGRAM} COMMAND --help lists the flags of a command."
    return "\n".join([f"usage: {PROGRAM} [--help] [--version] COMMAND ...", "", *lines, "", about])


def run(name, argv=None):
    """Runs a command as a program: TensorFlow's notes stay away, and so does the traceback of a closed pipe.

    Args:
        name: one of COMMANDS.
        argv: the words after the command's name; None: those of the process.

    Returns:
        What the command returns: of most, the run directory.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("MPLBACKEND", "Agg")
    if "tensorflow" not in sys.modules:
        with stderr.without_notes():
            importlib.import_module("keras_pibnas.registered")
    command = importlib.import_module(f"{__name__}.{name}")
    with contextlib.suppress(AttributeError):  # of a standard output that is no text file
        sys.stdout.reconfigure(errors="replace")
    try:
        result = command.main(argv)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(BROKEN_PIPE) from None
    return result
