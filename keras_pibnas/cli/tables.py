"""Tables on standard output: for a terminal, as Markdown, as CSV."""

import csv
import io

from rich.box import Box
from rich.console import Console
from rich.table import Table
from rich.text import Text

STYLES = ("text", "markdown", "csv")
# A rule under the headings and no other lines, in characters that every terminal has.
RULE = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
MARKDOWN = Box("    \n| ||\n|-||\n| ||\n    \n    \n| ||\n    \n", ascii=True)
WIDE = 10**5  # characters, so that rich breaks no line


def table(rows: list[dict], style: str = "text") -> str:
    """Text of a table.

    Args:
        rows: dictionaries with the same keys, which are the headings; numbers stand to the right.
        style: one of STYLES. CSV has plain numbers, the others thousands separators.
    """
    if style == "csv":
        return _csv(rows)
    heads = list(rows[0])
    right = [all(_is_number(row[head]) for row in rows) for head in heads]
    text = io.StringIO()
    Console(file=text, width=WIDE, color_system=None).print(_drawn(heads, rows, right, style))
    lines = [line.rstrip() for line in text.getvalue().splitlines() if line.strip()]
    if style == "markdown":  # whose rule says which columns stand to the right
        lines[1] = "|".join(
            part[:-2] + ": " if which else part
            for part, which in zip(_spaced(lines[1]), [False, *right, False], strict=True)
        ).strip()
    return "\n".join(lines)


def _drawn(heads, rows, right, style):
    box = MARKDOWN if style == "markdown" else RULE
    drawn = Table(box=box, pad_edge=style == "markdown", show_edge=style == "markdown")
    for head, which in zip(heads, right, strict=True):
        drawn.add_column(Text(head), justify="right" if which else "left", no_wrap=True, min_width=2)
    for row in rows:
        drawn.add_row(*(Text(_cell(row[head])) for head in heads))
    return drawn


def _spaced(rule):
    """The parts of "|-----|---|" between the bars, as " --- "."""
    return [f" {part[2:]} " if part else "" for part in rule.split("|")]


def _csv(rows):
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().rstrip("\n")


def _cell(value):
    return f"{value:,}" if isinstance(value, int) else str(value)


def _is_number(value):
    return isinstance(value, (int, float))
