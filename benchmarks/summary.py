"""Puts result files together: the JSON of all their rows, and a Markdown table of ours against the peer."""

import argparse
import json
import sys
from pathlib import Path

from keras_pibnas.cli import tables

from . import harness

KEPT = (
    "name", "contender", "median", "minimum", "maximum", "first_step", "peak_memory", "times_as_fast", "memory_ratio",
    "times_first_order", "share_of_step", "versions",
)  # fmt: skip


def parser():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("results", nargs="+", help="JSON files of the other benchmarks")
    parser.add_argument("--out", default=str(harness.RESULTS / "summary.json"), help="the JSON file")
    return parser


def main(argv=None):
    options = parser().parse_args(argv)
    reports = []
    for path in map(Path, options.results):
        if not path.is_file():
            sys.exit(f"No results there: run another benchmark first. Received: {path}")
        reports.append(json.loads(path.read_text(encoding="utf-8")))
    short = [report | {"rows": [kept(row) for row in report["rows"]]} for report in reports]
    Path(options.out).write_text(json.dumps(short, indent=1) + "\n", encoding="utf-8")
    print(tables.table([line(row) for report in short for row in report["rows"]], "markdown"))


def kept(row):
    """A row without its long parts; the genotype's name stands in the row's."""
    config = {key: value for key, value in row["configuration"].items() if key != "genotype"}
    return {key: row[key] for key in KEPT if key in row} | {"configuration": config}


def line(row):
    ratios = row.get("times_as_fast", {})
    return {
        "": row["name"],
        "seconds": f"{row['median']:.3g}",
        "until the first is done": f"{row['first_step']:.0f} s",
        "GB": f"{row['peak_memory'] / 1e9:.1f}",
        "times as fast as the peer": ", ".join(f"{value:.2g} ({name[5:]})" for name, value in ratios.items()),
    }


if __name__ == "__main__":
    main()
