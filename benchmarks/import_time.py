"""Seconds that importing the package takes, beside importing Keras and TensorFlow alone.

python -m benchmarks.import_time [--runs 7]
"""

import argparse
import statistics
import subprocess
import sys
import time

CODES = {"keras": "import keras", "keras_pibnas": "import keras, keras_pibnas"}


def seconds(code):
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return time.perf_counter() - start


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="processes of each, in turn")
    runs = parser.parse_args(argv).runs
    rows = [{name: seconds(code) for name, code in CODES.items()} for _ in range(runs + 1)]
    del rows[0]  # it fills the caches
    for name in CODES:
        taken = [row[name] for row in rows]
        print(f"import {name:12}  median {statistics.median(taken):.2f} s  ({min(taken):.2f}-{max(taken):.2f})")
    more = statistics.median(row["keras_pibnas"] - row["keras"] for row in rows)
    print(f"keras_pibnas takes {more:.2f} s more than Keras (median of pairs; the limit is 0.3)")


if __name__ == "__main__":
    main()
