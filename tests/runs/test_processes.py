import os
import signal
import sys
import time

from keras_pibnas.runs.processes import run_side_by_side


def python(code, log):
    return [sys.executable, "-S", "-c", code], log


def run(commands, jobs, **kwargs):
    ended = []
    finished = run_side_by_side(commands, jobs, lambda name, status: ended.append((name, status)), **kwargs)
    return finished, ended


def gone(pid):
    """Whether a process is over, at once or soon; one that nobody has waited for yet counts."""
    for _ in range(100):
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.1)
    return False


def test_all_are_run_and_a_failure_stops_no_other(tmp_path):
    codes = {"good": "print('hello')", "bad": "import sys; print('oh', file=sys.stderr); sys.exit(3)", "last": ""}
    finished, ended = run({name: python(code, tmp_path / name) for name, code in codes.items()}, 1)
    assert finished and ended == [("good", 0), ("bad", 3), ("last", 0)]
    assert (tmp_path / "good").read_text() == "hello\n" and (tmp_path / "bad").read_text() == "oh\n"


def test_two_jobs_are_side_by_side(tmp_path):
    wait = "import os, time\nopen({mine!r}, 'w')\nwhile not os.path.exists({other!r}): time.sleep(0.01)"
    paths = [str(tmp_path / name) for name in "ab"]
    commands = {
        name: python(wait.format(mine=mine, other=other), tmp_path / f"{name}.log")
        for name, mine, other in (("a", *paths), ("b", *paths[::-1]))
    }
    finished, ended = run(commands, 2)  # either waits for the other: one at a time would never end
    assert finished and dict(ended) == {"a": 0, "b": 0}


def test_an_interruption_ends_the_processes_and_theirs(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    # It has a child of its own; then it interrupts us.
    code = (
        "import os, signal, subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(tmp_path / 'pids')!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        f"os.kill({os.getpid()}, signal.SIGINT)\n"
        "time.sleep(600)"
    )
    started = time.monotonic()
    finished, ended = run({"a": python(code, tmp_path / "log"), "b": python("", tmp_path / "b")}, 1)
    assert not finished and ended == []
    assert not (tmp_path / "b").exists() and time.monotonic() - started < 300
    assert all(gone(pid) for pid in (tmp_path / "pids").read_text().split())
    assert signal.getsignal(signal.SIGINT) is before


def test_a_process_that_will_not_end_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_pibnas.runs.processes.PATIENCE", 0.2)
    code = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"open({str(tmp_path / 'pids')!r}, 'w').write(str(os.getpid()))\n"
        f"os.kill({os.getpid()}, signal.SIGTERM)\n"
        "time.sleep(600)"
    )
    assert run({"a": python(code, tmp_path / "log")}, 1) == (False, [])
    assert gone((tmp_path / "pids").read_text())


def test_who_waits_hears_what_runs(tmp_path):
    told = []
    run({"a": python("import time; time.sleep(0.5)", tmp_path / "log")}, 1, waiting=told.append, every=0)
    assert told and told[0] == ["a"]


def test_each_gets_its_share_of_the_cores(tmp_path):
    code = "import os; print(os.environ['TF_NUM_INTRAOP_THREADS'], os.environ.get('TF_FORCE_GPU_ALLOW_GROWTH'))"
    for jobs, grows in ((1, None), (2, "true")):
        run({"a": python(code, tmp_path / "log")}, jobs)
        assert (tmp_path / "log").read_text().split() == [str(max(1, os.cpu_count() // jobs)), str(grows)]
