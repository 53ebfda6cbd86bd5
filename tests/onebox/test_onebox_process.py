"""A process starts in a session of its own, says why when it fails, and takes what it started with it."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from onebox.identity import is_running
from onebox.network import log_says
from onebox.process import Process, StartFailed, descendants
from tests.onebox.waiting import eventually

WAIT = "import time; time.sleep(60)"
WITH_CHILD = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
# The child leaves the process group, as a server's worker may.
WITH_CHILD_IN_OWN_GROUP = WITH_CHILD.replace("60)'])", "60)'], process_group=0)")


def test_it_runs_in_its_own_session_and_logs_to_its_file(python_process: Callable[..., Process]) -> None:
    process = python_process("talker", f"print('hello', flush=True); {WAIT}")
    process.start()
    assert process.alive
    assert os.getsid(process.pid) == process.pid != os.getsid(0)
    assert eventually(lambda: log_says(process.log_path, "hello"))
    process.terminate()
    assert process.wait(5) == -signal.SIGTERM


def test_it_can_be_started_again_but_not_twice(python_process: Callable[..., Process]) -> None:
    process = python_process("again", WAIT)
    process.start()
    with pytest.raises(RuntimeError, match="already running"):
        process.start()
    first = process.pid
    process.stop(5)
    process.start()
    assert process.alive
    assert process.pid != first


def test_one_that_ends_before_it_is_ready_shows_the_end_of_its_log(python_process: Callable[..., Process]) -> None:
    process = python_process("broken", "raise SystemExit('no such setting')", probe=lambda: False)
    process.start()
    with pytest.raises(StartFailed, match=r"(?s)broken ended with code 1.*no such setting"):
        process.wait_ready(10)


def test_one_that_is_never_ready_is_given_up(python_process: Callable[..., Process]) -> None:
    process = python_process("slow", WAIT, probe=lambda: False)
    process.start()
    with pytest.raises(StartFailed, match=r"not ready within 0\.2 s"):
        process.wait_ready(0.2)


def test_one_that_ignores_the_request_is_killed(python_process: Callable[..., Process]) -> None:
    code = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); {WAIT}"
    process = python_process("deaf", code)
    process.start()
    assert eventually(lambda: log_says(process.log_path, "deaf"))
    process.stop(0.2)
    assert process.returncode == -signal.SIGKILL


def test_a_frozen_one_can_be_stopped(python_process: Callable[..., Process]) -> None:
    process = python_process("frozen", WAIT)
    process.start()
    process.kill(signal.SIGSTOP)
    process.stop(5)
    assert process.returncode == -signal.SIGTERM


@pytest.mark.parametrize("code", [WITH_CHILD + WAIT, WITH_CHILD_IN_OWN_GROUP + WAIT], ids=["same-group", "own-group"])
def test_its_children_go_with_it(python_process: Callable[..., Process], code: str) -> None:
    process = python_process("parent", code)
    process.start()
    assert eventually(lambda: descendants(process.pid))
    children = descendants(process.pid)
    process.kill(signal.SIGKILL)
    process.wait(5)
    assert eventually(lambda: not any(map(is_running, children)))


def test_a_tree_can_be_frozen_and_woken(python_process: Callable[..., Process]) -> None:
    process = python_process("tree", WITH_CHILD + WAIT)
    process.start()
    assert eventually(lambda: descendants(process.pid))
    everybody = [process.pid, *descendants(process.pid)]

    def states() -> set[str]:
        return {Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in everybody}

    process.kill(signal.SIGSTOP, tree=True)
    assert eventually(lambda: states() == {"T"})
    process.kill(signal.SIGCONT, tree=True)
    assert eventually(lambda: "T" not in states())


def test_it_outlives_the_thread_that_started_it(python_process: Callable[..., Process]) -> None:
    """The parent-death signal is about the forking thread, which must therefore not be the caller's."""
    import threading

    process = python_process("threaded", WAIT)
    starter = threading.Thread(target=process.start)
    starter.start()
    starter.join()
    time.sleep(0.2)
    assert process.alive


def test_a_wrapper_may_replace_the_command(python_process: Callable[..., Process]) -> None:
    process = python_process("wrapped", "import os; print(os.environ['ADDED'], flush=True)")
    process.wrap = lambda name, argv: ["/usr/bin/env", f"ADDED=by-{name}", *argv]
    process.start()
    assert process.wait(5) == 0
    assert log_says(process.log_path, "by-wrapped")
