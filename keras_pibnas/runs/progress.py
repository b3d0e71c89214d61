"""How far a run is, in its `progress.json` and in words."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .files import is_chief, write_json


def mark(directory: str | Path, state: str) -> None:
    """Puts another state into a run's `progress.json`, if there is one.

    Example:
        >>> kp.runs.write_json("progress.json", {"state": "running"})
        >>> kp.runs.mark(".", "ended")
    """
    path = Path(directory) / "progress.json"
    if path.exists() and is_chief():
        write_json(path, json.loads(path.read_text()) | {"state": state})


def seconds_left(begun: Sequence[float], todo: int) -> float:
    """Seconds for `todo` epochs, when the epochs so far and the next one began at the times `begun`.

    The first epoch, which also traces the model, counts only while there is no other.

    Example:
        >>> kp.runs.seconds_left([0.0, 60.0, 80.0], todo=3)  # 20 s an epoch, after the first one
        60.0
    """
    begun = begun[1:] if len(begun) > 2 else begun
    return (begun[-1] - begun[0]) / (len(begun) - 1) * todo


def duration(seconds: float) -> str:
    """Seconds in words: "45 s", "12 min 5 s", "3 h 20 min".

    Example:
        >>> kp.runs.duration(725)
        '12 min 5 s'
    """
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def words(flags: Mapping[str, Any]) -> list[str]:
    """{name: value} as words of a command line: --name=value; --name for True, nothing for None and False.

    Example:
        >>> kp.runs.words({"batch_size": 8, "remat": True, "data_dir": None})
        ['--batch-size=8', '--remat']
    """
    given = {name.replace("_", "-"): value for name, value in flags.items() if value is not None and value is not False}
    return [f"--{name}" if value is True else f"--{name}={value}" for name, value in given.items()]


def one_line(message: Any) -> str:
    """Text, or an error's text, without line breaks.

    Example:
        >>> kp.runs.one_line("two   lines")
        'two lines'
    """
    return " ".join(str(message).split())
