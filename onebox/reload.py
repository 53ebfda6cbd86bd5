"""Development: restart web and worker when a source file changes."""

from __future__ import annotations

from pathlib import Path

from watchfiles import watch

from onebox import commands
from onebox.console import Console
from onebox.process import StartFailed
from onebox.stack import LOOK_SECONDS, READY_SECONDS, Stack

_FOLDERS = ("apps", "chatproject", "simulator", "templates")
_SUFFIXES = (".py", ".html", ".txt", ".jinja", ".md")
_STOP_SECONDS = 4.0


def restart_on_change(stack: Stack, console: Console) -> None:
    """Watch until interrupted. Browsers wait meanwhile: the listening socket stays open."""
    folders = [commands.ROOT / name for name in _FOLDERS if (commands.ROOT / name).is_dir()]
    pause_ms = int(LOOK_SECONDS * 1000)
    for changes in watch(*folders, raise_interrupt=True, rust_timeout=pause_ms, yield_on_timeout=True):
        if not changes:
            stack.look_after()
        paths = sorted({Path(path) for _, path in changes})
        paths = [path for path in paths if path.suffix in _SUFFIXES and "__pycache__" not in path.parts]
        if paths:
            console.line(f"{paths[0].relative_to(commands.ROOT)} changed{_others(len(paths))}, restarting")
            restart(stack, console, paths)


def _others(count: int) -> str:
    return f" and {count - 1} more" if count > 1 else ""


def restart(stack: Stack, console: Console, paths: list[Path]) -> None:
    """Restart what the changed files concern; migrate when one is a migration. Errors are shown, not raised."""
    names = [name for name in stack.processes if name.startswith(("web-", "worker-"))]
    if any(commands.ROOT / "simulator" in path.parents for path in paths):
        names.append("simulator")
    for name in names:
        stack.processes[name].terminate()
    for name in names:
        stack.processes[name].stop(_STOP_SECONDS)
    try:
        if any("migrations" in path.parts for path in paths):
            stack.prepare()
        for name in names:
            stack.processes[name].start()
        for name in names:
            stack.processes[name].wait_ready(READY_SECONDS)
        console.line("ready again")
    except StartFailed as error:
        # The next change starts them again; until then a broken web process is no reason to end everything.
        console.line(str(error).splitlines()[0])  # the log has just been shown
