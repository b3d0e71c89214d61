"""Commands side by side in processes of their own, which end when this one is asked to end."""

import contextlib
import os
import signal
import subprocess
import threading
import time

PATIENCE = 10  # seconds in which a process should end that was asked to


@contextlib.contextmanager
def asked_to_end():
    """An event that Ctrl-C, a request to terminate and a closed terminal set, instead of breaking in anywhere."""
    event = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: event.set())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_side_by_side(commands, jobs, ended, waiting=None, every=60, machine=None):
    """Runs commands, at most `jobs` at a time, until all are done or this process is asked to end.

    Args:
        commands: {name: (list of words, path of the log that gets what it prints)}.
        jobs: number of processes.
        ended: called as ended(name, exit status) when a command is done.
        waiting: called as waiting(names of those that run) every so many seconds, or None.
        every: seconds.
        machine: where to start commands, as `ray_cluster.RayCluster`; None: here.

    Returns:
        Whether all were done. If not, the processes that were running are gone.
    """
    start, stop = (machine.start, machine.stop) if machine else (_start, _stop)
    todo, running, told = list(commands.items()), {}, time.monotonic()
    with asked_to_end() as end:
        try:
            while (todo or running) and not end.is_set():
                while todo and len(running) < jobs:
                    name, (words, log) = todo.pop(0)
                    running[name] = start(words, log, jobs)
                for name in [name for name, process in running.items() if process.poll() is not None]:
                    ended(name, running.pop(name).returncode)
                if waiting and running and time.monotonic() - told > every:
                    told = time.monotonic()
                    waiting(list(running))
                end.wait(0.1)
        finally:
            stop(running.values())
        return not (todo or running)


def _start(words, log, jobs):
    """A process in a group of its own, so that Ctrl-C reaches it through us alone; it gets its share of the cores."""
    share = str(max(1, os.cpu_count() // jobs))
    env = os.environ | {"TF_NUM_INTRAOP_THREADS": share, "OMP_NUM_THREADS": share}
    if jobs > 1:
        env["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    with open(log, "wb") as output:
        return subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=env, start_new_session=True
        )


def _stop(processes):
    """Asks the groups to end, and ends those that have not after some seconds."""
    processes = list(processes)
    for process in processes:
        _signal(process, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.1, deadline - time.monotonic()))
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process, number):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
