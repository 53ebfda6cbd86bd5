"""The watchman: a tiny process that ends what its parent started, once the parent is gone.

The kernel's parent-death signal reaches direct children only. This process holds one end of a pipe; when the other end
closes without a goodbye, it ends every process group on its list, and with it what those processes had started.

Run as a plain script, so that it starts in milliseconds. Lines on standard input: `+<pid> <signal>` and `-<pid>`.
"""

import os
import signal
import sys
import time

GRACE_SECONDS = 20.0


def session_members(session: int) -> list[int]:
    """Processes that belong to a session, zombies left out. Empty where there is no /proc."""
    members = []
    try:
        names = os.listdir("/proc")  # noqa: PTH208 - pathlib would double this process's start time
    except OSError:
        return []
    for name in names:
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] not in (b"Z", b"X"):
            members.append(int(name))
    return members


def send(pid: int, number: int) -> bool:
    """Signal a process group and the stragglers of its session. False when nobody is left."""
    found = False
    try:
        os.killpg(pid, number)
        found = True
    except (ProcessLookupError, PermissionError):
        pass
    for member in session_members(pid):
        try:
            os.kill(member, number)
            found = True
        except (ProcessLookupError, PermissionError):
            pass
    return found


def end(watched: dict[int, int]) -> None:
    """Ask each group with its own signal, then insist."""
    waiting = {pid for pid, number in watched.items() if send(pid, number)}
    deadline = time.monotonic() + GRACE_SECONDS
    while waiting and time.monotonic() < deadline:
        time.sleep(0.02)
        waiting = {pid for pid in waiting if session_members(pid)}
    for pid in waiting:
        send(pid, signal.SIGKILL)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    watched: dict[int, int] = {}
    for line in sys.stdin:
        if line.startswith("+"):
            pid, death_signal = line[1:].split()
            watched[int(pid)] = int(death_signal)
        elif line.startswith("-"):
            watched.pop(int(line[1:]), None)
    end(watched)


if __name__ == "__main__":
    main()
