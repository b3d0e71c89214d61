"""What a machine of a Ray cluster does with a command: code that Ray sends there, of the standard library alone."""

import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

PATIENCE = 10  # seconds in which a process should end that was asked to


def run_where_ray_is(*args):
    """`run` on the machine that Ray has chosen for it."""
    import ray

    return run(*args, ray.get_runtime_context().get_node_id())


def run(words, log, stamp, given, root, cwd, threads, node):
    """Runs a command on this machine, in a process group that is gone when this function ends.

    Args:
        words: of the command; this machine's Python takes the place of the first one.
        log: path of the log. Its folder, with all in it, is the command's own.
        stamp: text that stands in the log where this machine sees the disk of the one that asks.
        given: the folder's files as `packed` makes them, for where it does not.
        root: folder that holds keras_pibnas where it was asked from; used if there is one here.
        cwd: folder to run in, if there is one here.
        threads: cores to use.
        node: name of the machine in the cluster.

    Returns:
        (exit status, the folder's files as `packed` makes them, or nothing where the disk is shared).
    """
    log = Path(log)
    shared = log.is_file() and log.read_text(encoding="utf-8") == stamp
    if not shared:
        unpack(given, log.parent)
    env = os.environ | {"TF_NUM_INTRAOP_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    if os.path.isdir(root):
        env["PYTHONPATH"] = os.pathsep.join(filter(None, (root, env.get("PYTHONPATH"))))
    with asked_to_end() as asked:
        with open(log, "wb") as output:
            output.write(f"On {socket.gethostname()}, node {node} of the cluster\n".encode())
            output.flush()
            process = subprocess.Popen(
                [sys.executable, *words[1:]], cwd=cwd if os.path.isdir(cwd) else log.parent, env=env,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        while process.poll() is None and not asked:
            time.sleep(0.1)
        end(process)
    if asked:
        raise KeyboardInterrupt
    return process.returncode, b"" if shared else packed(log.parent)


@contextlib.contextmanager
def asked_to_end():
    """A list that is no longer empty when the task was cancelled, which Ray does by an interruption.

    That would otherwise break in anywhere, and a process that has just begun would never be ended.
    """
    asked = []
    before = signal.signal(signal.SIGINT, lambda *_: asked.append(True))
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def end(process):
    """Asks a process group to end, and ends it if it has not after some seconds."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)


def packed(folder):
    """All files in a folder as the bytes of a .zip."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return content.getvalue()


def unpack(content, folder):
    """Writes the files of `packed` into a folder, which is made."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(folder)
