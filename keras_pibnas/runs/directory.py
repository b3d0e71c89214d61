"""The directory of a run, and the `config.json` that says what the run is."""

import json
from pathlib import Path

from .files import write_json


def create_run_directory(out: str | Path | None, command: str, config: dict) -> Path:
    """Makes the run directory and writes `config.json`.

    Args:
        out: a directory that is empty or does not exist; None: runs/<command>, or runs/<command>-2, -3, ...
        command: the command's name.
        config: the command's arguments, as a dictionary that JSON can hold.

    Returns:
        Path of the directory.

    Raises:
        ValueError: the directory holds something.

    Example:
        >>> kp.runs.create_run_directory("run", "search", {"epochs": 3}).name
        'run'
    """
    directory = free_path(Path("runs", command)) if out is None else Path(out)
    if directory.is_dir() and any(directory.iterdir()):
        raise ValueError(f"The directory holds another run: choose a new one with --out. Received: {out}")
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / "config.json", {"command": command, **config})
    return directory


def free_path(path: Path) -> Path:
    """The path, or the first of path-2, path-3, ... that does not exist.

    Example:
        >>> path = kp.runs.create_run_directory("run", "search", {})
        >>> kp.runs.free_path(Path("run")).name
        'run-2'
    """
    number, candidate = 2, path
    while candidate.exists():
        candidate, number = path.with_name(f"{path.name}-{number}"), number + 1
    return candidate


def read_config(directory: str | Path, command: str) -> dict:
    """The arguments that `create_run_directory` wrote for a command.

    Raises:
        ValueError: the directory holds no run of that command.

    Example:
        >>> directory = kp.runs.create_run_directory("run", "search", {"epochs": 3})
        >>> kp.runs.read_config(directory, "search")["epochs"]
        3
    """
    path = Path(directory) / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        config = {}
    if config.pop("command", None) != command:
        raise ValueError(f"No run of {command} to go on with: {path} does not say so. Received: {directory}")
    return config
