"""Tables on standard output: for a terminal, as Markdown, as CSV."""

import csv
import io

STYLES = ("text", "markdown", "csv")


def table(rows, style="text"):
    """Text of a table.

    Args:
        rows: dictionaries with the same keys, which are the headings; numbers stand to the right.
        style: one of STYLES. CSV has plain numbers, the others thousands separators.
    """
    heads = list(rows[0])
    if style == "csv":
        return _csv(heads, rows)
    cells = [[_cell(row[head]) for head in heads] for row in rows]
    widths = [max(2, *map(len, column)) for column in zip(heads, *cells, strict=True)]
    right = [all(_is_number(row[head]) for row in rows) for head in heads]
    lines = [_line(line, widths, right, style) for line in (heads, *cells)]
    if style == "markdown":
        rule = ["-" * (width - 1) + (":" if r else "-") for width, r in zip(widths, right, strict=True)]
    else:
        rule = ["-" * width for width in widths]
    return "\n".join([lines[0], _line(rule, widths, right, style), *lines[1:]])


def _csv(heads, rows):
    text = io.StringIO()
    writer = csv.DictWriter(text, heads, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().rstrip("\n")


def _line(cells, widths, right, style):
    padded = [
        cell.rjust(width) if r else cell.ljust(width)
        for cell, width, r in zip(cells, widths, right, strict=True)
    ]
    return f"| {' | '.join(padded)} |" if style == "markdown" else "  ".join(padded).rstrip()


def _cell(value):
    return f"{value:,}" if isinstance(value, int) else str(value)


def _is_number(value):
    return isinstance(value, (int, float))
