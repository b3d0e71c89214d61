"""What the paper's experiments cost, from measured steps: hours for every search, and every row of Table 1.

Reads the JSON of benchmarks.search_step and benchmarks.network, measured on whatever device they ran; what was measured
at another batch is scaled by the batch, at another depth by the MACs. "at least" is arithmetic alone: forward and
backward take 6 FLOP for every MAC of convolutions and linear layers, divided by a device's peak rate.
"""

import argparse
import json
import sys
from pathlib import Path

import keras_pibnas as kp
from keras_pibnas.cli import complexity, roadmap, search, tables, train

from . import harness

SEARCH, TRAIN = search.PRESETS["paper"], train.PRESETS["paper"]
IMAGES = 50_000  # of CIFAR-10's training split; a search trains the weights on one half and the alphas on the other


def parser():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    files = [str(harness.RESULTS / f"{name}.json") for name in ("search_step", "network")]
    parser.add_argument("results", nargs="*", default=files, help="JSON files of the two benchmarks")
    parser.add_argument("--tflops", type=float, default=10.0, help="peak rate of a device, for the column `at least`")
    parser.add_argument("--depths", type=int, nargs="+", default=complexity.DEPTHS, help="rows of Table 1")
    parser.add_argument("--format", choices=tables.STYLES, default="markdown", help="of the table")
    return parser


def main(argv=None):
    options = parser().parse_args(argv)
    measured = []
    for path in map(Path, options.results):
        if not path.is_file():
            sys.exit(f"No results there: run python -m benchmarks.{path.stem} first. Received: {path}")
        report = json.loads(path.read_text(encoding="utf-8"))
        measured += [row | {"machine": report["machine"]} for row in report["rows"] if row["contender"] == "ours"]
    rows = [*searches(measured), *trainings(measured, options)]
    print(tables.table(rows, options.format))
    if options.format == "csv":
        return
    for name in sorted({f"{row['machine']['processor']}, {row['machine']['threads']} threads" for row in measured}):
        print(f"\nMeasured on: {name}")


def searches(measured):
    """A row for every space of the roadmap; second order as it was measured, exact first."""
    steps = SEARCH["epochs"] * (IMAGES // 2 // SEARCH["batch_size"])
    published = {"job": "search", "order": 2, "channels": SEARCH["channels"], "layers": SEARCH["layers"]}
    for space in roadmap.STEPS:
        found = matching(measured, published | {"space": space, "hvp": "exact"})
        best = min(found, key=lambda row: abs(row["configuration"]["batch"] - SEARCH["batch_size"]), default=None)
        yield line(f"search {space}, {SEARCH['epochs']} epochs", steps, scaled(best, SEARCH["batch_size"]))


def trainings(measured, options):
    """A row for every network of Table 1, auxiliary head included."""
    steps = TRAIN["epochs"] * (IMAGES // TRAIN["batch_size"])
    for name in ("DARTS_V2", "PIBCONV"):
        genotype = json.loads(kp.genotypes.get(name).to_json())
        found = matching(measured, {"job": "train", "channels": TRAIN["channels"], "genotype": genotype})
        for layers in options.depths:
            macs = head_included(name, layers)
            near = min(found, key=lambda row: abs(row["configuration"]["layers"] - layers), default=None)
            ratio = near and macs / head_included(name, near["configuration"]["layers"])
            flops = 6 * macs * steps * TRAIN["batch_size"]
            bound = flops / (options.tflops * 1e12) / 3600
            seconds, source = scaled(near, TRAIN["batch_size"], ratio)
            yield line(f"train {name}, {layers} layers, {TRAIN['epochs']} epochs", steps, (seconds, source), bound)


def matching(measured, wanted):
    return [row for row in measured if all(row["configuration"].get(key) == wanted[key] for key in wanted)]


def head_included(name, layers):
    """MACs of the network that is trained."""
    model = kp.build_network(name, channels=TRAIN["channels"], layers=layers, auxiliary=True)
    return kp.analysis.complexity(model).macs


def scaled(row, batch, ratio=1):
    """(Seconds a step, where they come from) of a measured row at another batch and so many times the MACs."""
    if row is None:
        return None, "not measured"
    own = row["configuration"]
    factors = [f"batch {own['batch']}"] * (own["batch"] != batch) + [f"{own['layers']} layers"] * (ratio != 1)
    source = f"scaled from {', '.join(factors)}" if factors else "measured"
    return row["median"] * batch / own["batch"] * ratio, source


def line(experiment, steps, seconds, bound=None):
    seconds, source = seconds
    return {
        "experiment": experiment,
        "steps": steps,
        "seconds a step": "" if seconds is None else f"{seconds:.3g}",
        "from": source,
        "hours": "" if seconds is None else f"{steps * seconds / 3600:.3g}",
        "hours at least": "" if bound is None else f"{bound:.2g}",
    }


if __name__ == "__main__":
    main()
