"""How far a run is, in its `progress.json` and in words."""

import json
from pathlib import Path

from .files import is_chief, write_json


def mark(directory, state):
    """Puts another state into a run's `progress.json`, if there is one."""
    path = Path(directory) / "progress.json"
    if path.exists() and is_chief():
        write_json(path, json.loads(path.read_text()) | {"state": state})


def seconds_left(begun, todo):
    """Seconds for `todo` epochs, when the epochs so far and the next one began at the times `begun`.

    The first epoch, which also traces the model, counts only while there is no other.
    """
    begun = begun[1:] if len(begun) > 2 else begun
    return (begun[-1] - begun[0]) / (len(begun) - 1) * todo


def duration(seconds):
    """Seconds in words: "45 s", "12 min 5 s", "3 h 20 min"."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def one_line(message):
    """Text, or an error's text, without line breaks."""
    return " ".join(str(message).split())
