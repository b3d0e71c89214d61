"""Starts the measured processes, steps them in turn, and writes what they took.

Every contender (ours, or the peer in one layout) has a process of its own; they step alternately, so that a
machine that slows down slows all of them. See `README.md` for what a row holds.
"""

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
LAYOUTS = {"default": ["default"], "channels_last": ["channels_last"], "both": ["default", "channels_last"]}
# Small enough for a test: every part runs, nothing is measured.
QUICK = {
    "channels": 4,
    "layers": 3,
    "batch": 2,
    "image_side": 8,
    "steps": 1,
    "times": 1,
    "genotype": "PIBCONV:3",
    "nodes": 2,
    "pairs": 4,
    "images": 100,
}


@dataclass(frozen=True)
class Contender:
    """One process to measure: `side` is "ours" or "peer", `config` what its job reads."""

    side: str
    python: str
    config: dict

    @property
    def name(self):
        """ "ours", with its engine where several are measured, or "peer" and its layout."""
        kind = self.config.get("engine") if self.side == "ours" else self.config["layout"]
        return self.side if kind is None else f"{self.side} {kind}"


class Worker:
    """A running `benchmarks.worker`. Leaving the context ends it."""

    def __init__(self, contender):
        self.contender = contender
        command = [contender.python, "-m", "benchmarks.worker", contender.side, json.dumps(contender.config)]
        quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3")}
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=quiet, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.versions = self.reply()["versions"]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        """Ends the worker; returns its exit status."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait()

    def reply(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(
                f"The worker of {self.contender.name} ended before it answered; its own words stand above. "
                "The peer needs PyTorch: pip install -e .[bench], or --peer-python with an interpreter that "
                f"has it. Received: python={self.contender.python}, exit status {self.close()}"
            )
        return json.loads(line)

    def step(self):
        """Seconds of one step, and the peak memory in bytes above the imports up to now."""
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        return self.reply()


def alternate(contenders, steps, warmup=1):
    """Steps all contenders in turn; returns for each its versions and its replies.

    The first reply includes building; it and `warmup` more are no part of `steps`.
    """
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(Worker(contender)) for contender in contenders]
        rounds = [[worker.step() for worker in workers] for _ in range(1 + warmup + steps)]
        return [(worker.versions, replies) for worker, *replies in zip(workers, *rounds, strict=True)]


def spread(seconds):
    return {"median": median(seconds), "minimum": min(seconds), "maximum": max(seconds)}


def measure(name, contenders, steps, warmup=1):
    """One row for each contender; seconds a step, bytes of memory."""
    rows = []
    for contender, (versions, replies) in zip(contenders, alternate(contenders, steps, warmup), strict=True):
        rows.append(
            {
                "name": f"{name}: {contender.name}",
                "contender": contender.name,
                "configuration": contender.config,
                **spread([reply["seconds"] for reply in replies[1 + warmup :]]),
                "cpu_seconds": median(reply["cpu_seconds"] for reply in replies[1 + warmup :]),
                "first_step": replies[0]["seconds"],
                "peak_memory": replies[-1]["memory"],
                "versions": versions,
            }
        )
        print(f"{rows[-1]['name']}: {rows[-1]['median']:.3f} s", file=sys.stderr, flush=True)
    return with_ratios(rows)


def with_ratios(rows):
    """Adds to a row of ours how many times as fast it is as each peer, and its memory over the peer's."""
    ours = [row for row in rows if row["contender"].startswith("ours")]
    peers = [row for row in rows if row["contender"].startswith("peer")]
    for row in ours:
        row["times_as_fast"] = {peer["contender"]: peer["median"] / row["median"] for peer in peers}
        row["memory_ratio"] = {peer["contender"]: row["peak_memory"] / peer["peak_memory"] for peer in peers}
    return rows


def machine(threads):
    """What the figures hold for; the load average of the last minute should be near 0."""
    with open("/proc/cpuinfo") as lines:
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "threads": threads,
        "system": platform.platform(),
        "load_before": os.getloadavg()[0],
    }


def times(row, base):
    """How many times the time, the CPU time and the memory of another row one took."""
    return {key: row[key] / base[key] for key in ("median", "cpu_seconds", "peak_memory")}


def write(benchmark, rows, options):
    """Prints the table and writes the JSON; returns the path."""
    print_table(rows)
    path = Path(options.out or RESULTS / f"{benchmark}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    report = {"benchmark": benchmark, "machine": options.machine, "rows": rows}
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(f"written: {path}")
    return path


def print_table(rows):
    table = [["", "median s", "min", "max", "cpu s", "first step s", "memory GB", "times as fast as peer"]]
    for row in rows:
        ratios = ", ".join(f"{v:.2f} ({k[5:]})" for k, v in row.get("times_as_fast", {}).items())
        numbers = [row[key] for key in ("median", "minimum", "maximum", "cpu_seconds", "first_step")]
        numbers.append(row["peak_memory"] / 1e9)
        table.append([row["name"], *(f"{number:.3f}" for number in numbers), ratios])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for name, *cells in table:
        cells = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        print("  ".join([name.ljust(widths[0]), *cells]))


def parser(description, peers=True):
    """The options that all commands share; those about the peer where one is measured."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    if peers:
        parser.add_argument("--layout", choices=LAYOUTS, default="both", help="memory layouts of the peer")
        parser.add_argument("--only", choices=["ours", "peer"], help="measure one side alone")
        parser.add_argument("--peer-python", default=sys.executable, help="interpreter that has PyTorch")
    parser.add_argument("--steps", type=int, default=5, help="measured steps, after two that are not")
    parser.add_argument("--threads", type=int, default=2, help="threads, and cores, of each process")
    parser.add_argument("--image-side", type=int, default=32, help="pixels")
    parser.add_argument("--quick", action="store_true", help="a tiny network, to see that the command works")
    parser.add_argument("--out", help=f"the JSON file; by default in {RESULTS.relative_to(ROOT)}/")
    return parser


def parse(parser, argv):
    options = parser.parse_args(argv)
    options.machine = machine(options.threads)
    if options.machine["load_before"] > 0.5:
        print("The machine is busy: these times will mislead.", file=sys.stderr)
    for key, value in QUICK.items() if options.quick else ():
        if hasattr(options, key):
            several = isinstance(getattr(options, key), list)
            setattr(options, key, [value] if several else value)
    return options


def contenders(options, config):
    """Ours and the peer in each layout, as the options want them."""
    config = {**config, "threads": options.threads, "side": options.image_side}
    ours = [Contender("ours", sys.executable, config)]
    if config.get("order") == 2:
        config = {**config, "hvp": "finite_difference"}  # all that the peer has
    layouts = [{**config, "layout": layout} for layout in LAYOUTS[options.layout]]
    peers = [Contender("peer", options.peer_python, config) for config in layouts]
    return {"ours": ours, "peer": peers}.get(options.only, ours + peers)
