"""Commands side by side on the machines of a Ray cluster (docs/distributed.md)."""

import contextlib
import math
import os
import uuid
from pathlib import Path

from . import ray_task

ROOT = str(Path(__file__).parents[2])  # the folder that keras_pibnas is in


class RayCluster:
    """Where `processes.run_side_by_side` may start commands: each becomes a task of the Ray cluster that runs.

    Machines that see the folder of a command's log at the same path write into it. To others its files are sent, and
    come back when the command has ended. keras_pibnas and the data have to be on every machine.

    Args:
        cpus: cores that a command gets, and waits for.
        gpus: GPUs likewise; a part of one is shared.

    Raises:
        ValueError: Ray is not installed, or there is no cluster.
    """

    def __init__(self, cpus=1.0, gpus=0.0):
        self.ray = connected()
        self.threads = max(1, math.floor(cpus))
        self.ray.cloudpickle.register_pickle_by_value(ray_task)  # other machines may have other versions
        self.task = self.ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(ray_task.run_where_ray_is)

    def start(self, words, log, jobs):
        """A `RayProcess` of the command; Ray chooses the machine, when one has room."""
        stamp = f"Waiting for a machine ({uuid.uuid4().hex})"
        Path(log).write_text(stamp, encoding="utf-8")
        given = ray_task.packed(Path(log).parent)
        words = [str(word) for word in words]
        return RayProcess(
            self.ray, self.task.remote(words, str(log), stamp, given, ROOT, os.getcwd(), self.threads), Path(log)
        )

    def stop(self, processes):
        """Ends commands that run or wait."""
        left = [process.task for process in processes if process.poll() is None]
        for task in left:
            self.ray.cancel(task)
        if left:
            _, left = self.ray.wait(left, num_returns=len(left), timeout=2 * ray_task.PATIENCE)
        for task in left:
            self.ray.cancel(task, force=True)


class RayProcess:
    """A command on a cluster, asked like a subprocess.Popen."""

    def __init__(self, ray, task, log):
        self.ray, self.task, self.log, self.returncode = ray, task, log, None

    def poll(self):
        """The exit status, or None while it runs or waits; what it wrote elsewhere is here by then."""
        if self.returncode is None and self.ray.wait([self.task], timeout=0)[0]:
            try:
                self.returncode, files = self.ray.get(self.task)
                if files:
                    ray_task.unpack(files, self.log.parent)
            except self.ray.exceptions.RayError as error:
                self.returncode = 1
                with contextlib.suppress(OSError), self.log.open("a", encoding="utf-8") as log:
                    log.write(f"\nThe cluster lost it: {' '.join(str(error).split())[:500]}\n")
        return self.returncode


def connected():
    """The module ray, connected to the cluster of RAY_ADDRESS, or the one that this machine is part of."""
    try:
        import ray
    except ImportError:
        raise ValueError("A Ray cluster needs Ray: pip install 'keras_pibnas[ray]'") from None
    if not ray.is_initialized():
        address = os.environ.get("RAY_ADDRESS", "auto")
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except ConnectionError:
            raise ValueError(
                "There is no Ray cluster: `ray start --head` on the first machine, `ray start --address=FIRST:6379` on "
                f"each other one. Received: RAY_ADDRESS={address}"
            ) from None
    return ray
