"""Tables of measured seconds, by op and place, as files: what `ExpectedCost` can count in."""

import csv
from pathlib import Path

COLUMNS = ("op", "channels", "side", "stride", "seconds")


def read_latencies(path: str | Path) -> dict:
    """The table of a file, for `ExpectedCost(unit=)`.

    Args:
        path: a .csv with the columns op, channels, side (of the op's input in pixels, "8" or "8x6"), stride, seconds.

    Returns:
        {(op, channels, (height, width), stride): seconds}.

    Raises:
        ValueError: it is no such table; names the line.
        OSError: it cannot be read.

    Example:
        >>> text = "op,channels,side,stride,seconds\\nskip_connect,4,8,1,0.25\\n"
        >>> _ = Path("table.csv").write_text(text)
        >>> kp.methods.read_latencies("table.csv")
        {('skip_connect', 4, (8, 8), 1): 0.25}
    """
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ValueError(
                f"A table of latencies has the columns {','.join(COLUMNS)}. "
                f"Received: {path} with {','.join(reader.fieldnames or ['none'])}"
            )
        return dict(_row(line, path, reader.line_num) for line in reader)


def _row(line, path, number):
    try:
        height, _, width = line["side"].partition("x")
        seconds = float(line["seconds"])
        if not 0 <= seconds < float("inf"):
            raise ValueError(f"seconds of {seconds}")
        place = (line["op"], int(line["channels"]), (int(height), int(width or height)), int(line["stride"]))
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"Line {number} of {path} is no row of a table of latencies: {error}") from None
    return place, seconds


def latency_rows(table: dict) -> list[dict]:
    """A table as rows for a .csv file. Args: table: as `read_latencies` returns it.

    Example:
        >>> kp.methods.latency_rows({("skip_connect", 4, (8, 6), 1): 0.25})
        [{'op': 'skip_connect', 'channels': 4, 'side': '8x6', 'stride': 1, 'seconds': '0.25'}]
    """
    return [
        {
            "op": op,
            "channels": channels,
            "side": str(height) if height == width else f"{height}x{width}",
            "stride": stride,
            "seconds": f"{seconds:.6g}",
        }
        for (op, channels, (height, width), stride), seconds in table.items()
    ]
