"""Show a running search or training in the terminal: how far it is, the time left, the current genotype."""

import contextlib
import json
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.text import Text

import keras_pibnas as kp
from keras_pibnas.cli import common, flags

WIDTH = 30  # characters of a bar
SILENT = 120  # seconds without news after which a run may be dead
ASCII = str.maketrans("█░▁▂▃▄▅▆▇", "#-_.:=+*%")
BOLD, DIM, PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"


def build_parser():
    parser = flags.Parser("watch", __doc__)
    parser.add_argument(
        "run",
        metavar="RUN",
        help="run directory of search or train; of several parts, the last is shown",
    )
    parser.add_argument("--every", type=flags.rate, default=2.0, help="seconds between two looks")
    parser.add_argument("--once", action="store_true", help="one look, and out; so it is without a terminal")
    parser.add_argument("--plain", action="store_true", help="no bold and no dim text; so it is without a terminal")
    return parser


def main(argv=None):
    parser = build_parser()
    args = parser.parse_args(argv)
    console = Console(file=sys.stdout, highlight=False)

    def look():
        text = readable(frame(args.run, time.time()), console.encoding)
        return Text(plain(text)) if args.plain else Text.from_ansi(text)

    with common.user_errors(parser):
        first = look()
    if not console.is_terminal:
        print(first.plain)
    elif args.once:
        console.print(first)
    else:
        with (
            contextlib.suppress(KeyboardInterrupt),
            Live(first, console=console, auto_refresh=False, vertical_overflow="visible") as live,
        ):
            while not ended(Path(args.run)):
                time.sleep(args.every)
                live.update(look(), refresh=True)


def readable(text, encoding):
    """Text with other signs for bars and lines where the terminal's encoding has not got them."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(ASCII)
    return text


def reporting(run):
    """The directory that has reported last: the run's own, or one within of a search in stages or a repeated one."""
    if (run / "progress.json").is_file():
        return run
    reports = sorted(run.rglob("progress.json"), key=lambda path: path.stat().st_mtime)
    return reports[-1].parent if reports else run


def ended(run):
    """Whether nothing more will come; of a run of several parts, when it has its genotype."""
    if (run / "progress.json").is_file() or reporting(run) == run:
        return read_json(run / "progress.json").get("state", "running") != "running"
    return (run / "genotype.json").is_file()


def frame(run, now):
    """What there is to see of a run directory, as text; files that are not there yet leave their part out.

    Args: run: path; now: seconds since 1970.

    Raises:
        ValueError: it is no directory.
    """
    run = Path(run)
    if not run.is_dir():
        raise ValueError(f"Not a directory: a run directory of search or train is. Received: {run}")
    config, run = read_json(run / "config.json"), reporting(run)
    config, progress = read_json(run / "config.json") or config, read_json(run / "progress.json")
    parts = [title(run, config, progress, now), how_far(progress), numbers(run, progress), *cells(run)]
    return "\n\n".join(part for part in parts if part)


def title(run, config, progress, now):
    """The run, what it does, and whether it lives."""
    what = {"search": "a search of {space} on {dataset}", "train": "a training of {genotype} on {dataset}"}
    text = what.get(config.get("command"), "").format_map({"space": "?", "dataset": "?", "genotype": "?", **config})
    state = progress.get("state", "nothing recorded yet")
    silent = now - progress.get("time", now)
    if state == "running" and silent > SILENT:
        state = f"no news for {kp.runs.duration(silent)}: go on with --resume {run} if it is dead"
    return f"{BOLD}{run}{PLAIN}  {text}\n{state}"


def how_far(progress):
    """Bars of the epochs and of the steps in the epoch, and the time left."""
    if not progress:
        return ""
    lines = [part("epochs", progress["epoch"], progress["epochs"])]
    if progress["state"] == "running":
        lines += [part("steps", progress["step"], progress["steps"])] if progress["steps"] else []
        left = progress["seconds_left"]
        lines.append(f"time left  {'not known yet' if left is None else kp.runs.duration(left)}")
    return "\n".join(lines)


def part(name, done, whole):
    return f"{name:9}  {bar(done / whole)} {done} of {whole}"


def bar(share):
    """A bar of WIDTH characters, a share of it filled."""
    filled = round(WIDTH * min(1.0, max(0.0, share)))
    return "█" * filled + "░" * (WIDTH - filled)


def numbers(run, progress):
    """Losses and metrics: of the running epoch, and of the last whole one with a line of all before."""
    running = [f"{name} {value:.4g}" for name, value in progress.get("logs", {}).items()]
    rows = kp.runs.read_table(run / "history.csv")
    lines = [f"{DIM}now{PLAIN}  {'  '.join(running)}"] if running else []
    width = max(map(len, rows[-1])) if rows else 0
    for name in rows[-1] if rows else ():
        values = [float(row[name]) for row in rows if row[name]]
        if name != "epoch" and values:
            lines.append(f"{name:{width}}  {sparkline(values[-WIDTH:])}  {values[-1]:.4g}")
    return "\n".join(lines)


def sparkline(values):
    """One character a value, from the lowest to the highest."""
    low, high = min(values), max(values)
    return "".join("▁▂▃▄▅▆▇█"[round(7 * (value - low) / ((high - low) or 1.0))] for value in values)


def cells(run):
    """Text of each cell of the current genotype, with bars of the weights of its ops where there are alphas."""
    path, alphas = run / "genotype.json", run / "alphas.npz"
    if not path.is_file():
        return []
    genotype = kp.Genotype.load(path)
    weights, last = {}, {}
    if alphas.is_file():
        history, primitives = kp.analysis.read_alphas(alphas)
        last = {which: rows[-1] for which, rows in history.items()}
        weights = kp.analysis.genotype_weights(genotype, last, primitives)
    return [cell(genotype, which, weights.get(which), last.get(which)) for which in genotype.cells]


def cell(genotype, which, weights, alphas):
    parts, name = genotype.cell(which), {"normal": "normal cell", "reduce": "reduction cell"}[which]
    about = f"{kp.runs.skip_connections(genotype, which)} skip connections"
    if alphas is not None:
        about += f", entropy {kp.runs.mix_entropy(alphas):.3f} nats"
    width, lines = max(len(op) for op, _ in parts.pairs), [f"{BOLD}{name}{PLAIN}  {about}"]
    for i, ((op, source), (_, node)) in enumerate(zip(parts.pairs, parts.edges, strict=True)):
        inputs = parts.inputs
        state = f"c_{{k-{inputs - source}}}" if source < inputs else f"node {source - inputs}"
        weight = "" if weights is None else f"  {bar(weights[i])} {weights[i]:.3f}"
        lines.append(f"  node {node - inputs}  {op:{width}}  {state:7}{weight}")
    return "\n".join(lines)


def read_json(path):
    """The dictionary in a file; an empty one where there is no file."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return {}


def plain(text):
    """Text without escape sequences."""
    for code in (BOLD, DIM, PLAIN):
        text = text.replace(code, "")
    return text
