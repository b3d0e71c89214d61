"""Trains all cells of a table in processes side by side, and writes the table.

Every worker appends a line to a file of its own when a training is done; what stands in any of them is not done again.
"""

import json
import os
import platform
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

import keras_pibnas as kp
from keras_pibnas.runs.processes import run_side_by_side
from keras_pibnas.tabular import CellSpace, Settings


def tasks(cells, seeds, more_seeds, every=5):
    """(cell, seed) pairs: all cells from one seed after the other, then every fifth cell from more seeds."""
    plain = [(cell, seed) for seed in range(seeds) for cell in range(cells)]
    return plain + [(cell, seed) for seed in range(seeds, seeds + more_seeds) for cell in range(0, cells, every)]


def lines(directory):
    """What the workers have written: dictionaries with cell, seed, valid, test (correct images), loss, seconds.

    The last line of a killed worker may be half a line.
    """
    found = {}
    for path in sorted(Path(directory).glob("shard_*.jsonl")):
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                continue
            found[line["cell"], line["seed"]] = line
    return found


def begin(directory, settings, space, seeds, more_seeds):
    """Writes what is built, or checks that the directory holds the same.

    Raises:
        ValueError: it holds another table.
    """
    plan = {
        "settings": asdict(settings), "primitives": list(space.primitives), "reduce": [list(p) for p in space.reduce],
        "seeds": seeds, "more_seeds": more_seeds,
    }  # fmt: skip
    path = Path(directory, "plan.json")
    if path.is_file():
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept != plan:
            differing = [key for key in plan if kept.get(key) != plan[key]]
            raise ValueError(f"{directory} holds a table of other {', '.join(differing)}: take another --out")
        return
    Path(directory).mkdir(parents=True, exist_ok=True)
    kp.runs.write_json(path, plan)


def take(directory, table):
    """Takes over what another table knows of the same cells, as if trained here. Returns the number of trainings.

    Raises:
        ValueError: the table's networks were trained in another way, or would come out otherwise here.
    """
    _, settings, space = read_plan(directory)
    ours = {"settings": settings, "reduce": space.reduce, "processor": processor(), "versions": versions()}
    known = table.about | {"settings": table.settings, "reduce": table.space.reduce}
    if differing := [name for name, value in ours.items() if known[name] != value]:
        raise ValueError(f"The table to take trainings from has other {', '.join(differing)} than this one and machine")
    seconds = round(table.about["seconds"] / int((table.test >= 0).sum()), 3)
    rows = []
    for number, pairs in enumerate(table.space.cells):
        if pairs not in space.cells:
            continue
        cell = space.cells.index(pairs)
        for seed in np.flatnonzero(table.test[number] >= 0):
            correct = {n: round(getattr(table, n)[number, seed] * table.about["images"][n]) for n in ("valid", "test")}
            rows.append({"cell": cell, "seed": int(seed), **correct, "seconds": seconds})
    Path(directory, "shard_taken.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return len(rows)


def read_plan(directory):
    """(plan, Settings, CellSpace) of a directory."""
    plan = json.loads(Path(directory, "plan.json").read_text(encoding="utf-8"))
    return plan, Settings(**plan["settings"]), CellSpace(plan["primitives"], plan["reduce"])


def left(directory):
    """The (cell, seed) pairs that are not done."""
    plan, _, space = read_plan(directory)
    done = lines(directory)
    return [task for task in tasks(len(space), plan["seeds"], plan["more_seeds"]) if task not in done]


def build(directory, jobs, every=60):
    """Trains what is not done. Returns whether all is done now."""
    total, started, before = len(lines(directory)) + len(left(directory)), time.monotonic(), len(lines(directory))
    print(f"{total} trainings, {before} done before; {jobs} processes", flush=True)
    stamp = f"{int(time.time())}_{os.getpid()}"
    worker = [sys.executable, "-m", "benchmarks.tabular", "worker", f"--out={directory}"]
    commands = {
        f"{stamp}_{number}": (
            [*worker, f"--share={number}/{jobs}", f"--shard={stamp}_{number}"],
            Path(directory, f"worker_{stamp}_{number}.log"),
        )
        for number in range(jobs)
    }  # fmt: skip
    failed = []

    def ended(name, status):
        if status:
            failed.append(name)
            print(f"worker {name} ended with status {status}: see worker_{name}.log", flush=True)

    def waiting(_):
        done = len(lines(directory))
        speed = (done - before) / (time.monotonic() - started)
        rest = f", {kp.runs.duration((total - done) / speed)} left" if speed else ""
        print(f"{done} of {total}{rest}", flush=True)

    run_side_by_side(commands, jobs, ended, waiting, every)
    return not failed and not left(directory)


def work(directory, share, shard):
    """Trains this worker's share of what is not done, each in one call of one traced function."""
    from benchmarks.tabular.network import Networks

    number, jobs = map(int, share.split("/"))
    _, settings, space = read_plan(directory)
    splits, orders = settings.splits(), {}
    networks = Networks(settings, space, splits)
    with open(Path(directory, f"shard_{shard}.jsonl"), "a", encoding="utf-8") as file:
        for cell, seed in left(directory)[number::jobs]:
            if seed not in orders:
                orders[seed] = settings.order(splits, seed)
            begun = time.perf_counter()
            valid, test, loss = networks.train(space.cells[cell], seed, orders[seed])
            row = {"cell": cell, "seed": seed, "valid": valid, "test": test, "loss": round(loss, 5)}
            file.write(json.dumps(row | {"seconds": round(time.perf_counter() - begun, 3)}) + "\n")
            file.flush()


def finish(directory, path):
    """Writes the table. Raises ValueError: some trainings are not done."""
    from benchmarks.tabular.network import Networks

    if missing := left(directory):
        raise ValueError(f"{len(missing)} trainings are not done yet: build goes on with --out={directory}")
    plan, settings, space = read_plan(directory)
    done, splits = lines(directory), settings.splits()
    shape = (len(space), plan["seeds"] + plan["more_seeds"])
    correct = {split: np.full(shape, -1, "int32") for split in ("valid", "test")}
    for (cell, seed), line in done.items():
        for split, counts in correct.items():
            counts[cell, seed] = line[split]
    costs = Networks(settings, space, splits).costs
    params, macs = (
        np.array([sum(costs[op][kind] for op, _ in cell) // 4 for cell in space.cells], "int64") for kind in (0, 1)
    )
    about = {
        **plan,
        "images": {split: len(splits.arrays[split][1]) for split in ("train", "valid", "test")},
        "seconds": round(sum(line["seconds"] for line in done.values())),
        "processor": processor(), "versions": versions(),
    }  # fmt: skip
    arrays = {**correct, "params": params, "macs": macs, "about": np.array(json.dumps(about))}
    return kp.tabular.write(path, arrays)


def processor():
    """The model of this machine's processor, as Linux says it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def versions():
    import keras
    import tensorflow as tf

    return {"tensorflow": tf.__version__, "keras": keras.__version__, "keras_pibnas": kp.__version__}


def check(table, count, write=print):
    """Trains some cells of a table again, from seed 0. Returns whether all meet it.

    To the image on the processor and with the versions that it was made with; else within four standard deviations over
    the seeds of one cell.
    """
    from benchmarks.tabular.network import Networks

    splits = table.settings.splits()
    networks, order = Networks(table.settings, table.space, splits), table.settings.order(splits, 0)
    now = {"processor": processor(), "versions": versions()}
    exact = all(now[name] == table.about[name] for name in now)
    allowed = 0 if exact else 4 * table.spread().seeds
    met = True
    for cell in np.random.default_rng(1).choice(len(table), count, replace=False):
        correct = networks.train(table.space.cells[cell], 0, order)[1]
        accuracy, known = correct / len(splits.arrays["test"][1]), table.test[cell, 0]
        met &= abs(accuracy - known) <= allowed + 1e-9
        write(f"{table.space.cells[cell]}: test {accuracy:.4f}, in the table {known:.4f}")
    return bool(met)


def spread(settings, space, count, seeds, write=print):
    """Trains some cells drawn at random, each from some seeds: (cells, seeds, 2), accuracies of valid and test."""
    from benchmarks.tabular.network import Networks

    splits = settings.splits()
    networks = Networks(settings, space, splits)
    sizes = [len(splits.arrays[split][1]) for split in ("valid", "test")]
    orders = [settings.order(splits, seed) for seed in range(seeds)]
    drawn = np.random.default_rng(0).choice(len(space), count, replace=False)
    rows = []
    for number, cell in enumerate(drawn, 1):
        runs = [networks.train(space.cells[cell], seed, order)[:2] for seed, order in enumerate(orders)]
        rows.append(np.array(runs) / sizes)
        write(f"{space.cells[cell]}: test {', '.join(f'{value:.4f}' for value in rows[-1][:, 1])}")
        if number >= 8 and number % 4 == 0:
            write(f"{number} cells: {told(np.array(rows)[..., 1])}")
    return np.array(rows)


def told(accuracies):
    """The spread of test accuracies (cells, seeds) in words."""
    found = kp.tabular.spread(accuracies)
    return (
        f"mean {accuracies.mean():.4f}, interquartile range over cells {found.cells:.4f}, "
        f"standard deviation over seeds {found.seeds:.4f}, ratio {found.ratio:.2f}"
    )
