"""One measured process: whenever a line comes in it does one step, and answers with its time and memory.

`harness.py` starts it as `python -m benchmarks.worker SIDE CONFIG`, with SIDE `ours` or `peer` and CONFIG a
JSON object. Every answer is one line of JSON. The first step counts from the construction of the network on.
"""

import importlib
import json
import os
import sys
import time

import numpy as np


def memory(field):
    """Bytes of this process from /proc: `VmRSS`, what is resident now, or `VmHWM`, the most that ever was."""
    with open("/proc/self/status") as lines:
        line = next(line for line in lines if line.startswith(field))
    return int(line.split()[1]) * 1024


def synthetic_batch(config, seed):
    """Images (B, H, W, 3), float32, and labels (B,), int32."""
    rng = np.random.default_rng(seed)
    shape = (config["batch"], config["side"], config["side"], 3)
    return rng.normal(size=shape).astype("float32"), rng.integers(10, size=shape[0], dtype="int32")


class Gate:
    """Where a job waits before a step and reports after it.

    The worker begins the first step itself, before it calls the job: building is part of it.
    """

    def __init__(self, replies, gpu_memory=None):
        """gpu_memory: () -> the most bytes that the framework held on the GPU; None to measure this process."""
        self.replies, self.gpu_memory = replies, gpu_memory
        self.started = None
        self.imported = memory("VmRSS")

    def send(self, **reply):
        print(json.dumps(reply), file=self.replies, flush=True)

    def begin(self):
        if self.started is None:
            if not sys.stdin.readline():  # the harness has what it wants
                sys.exit()
            self.started = time.perf_counter(), time.process_time()

    def end(self, loss=None, repeats=1):
        """`repeats`: how many times what is measured was done, where once is too short."""
        wall, cpu = time.perf_counter() - self.started[0], time.process_time() - self.started[1]
        self.started = None
        peak = self.gpu_memory() if self.gpu_memory else memory("VmHWM") - self.imported
        self.send(seconds=wall / repeats, cpu_seconds=cpu / repeats, memory=peak, loss=loss)


def use_cores(count):
    """Two threads are two cores on a larger machine too, whatever pools a framework opens besides."""
    os.environ["OMP_NUM_THREADS"] = str(count)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def main(side, config):
    # What a framework prints must not land among the replies.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if config.get("device") != "gpu":
        use_cores(config["threads"])
    jobs = importlib.import_module(f"benchmarks.jobs_{side}")
    jobs.use_threads(config)
    gate = Gate(replies, jobs.gpu_memory if config.get("device") == "gpu" else None)
    gate.send(versions=jobs.versions())
    batches = [synthetic_batch(config, seed) for seed in (0, 1)]
    gate.begin()
    jobs.JOBS[config["job"]](config, batches, gate)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
