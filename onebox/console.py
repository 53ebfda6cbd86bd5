"""What a person sees while the product starts: one line per step, a summary, and the processes' output in colour."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

_COLOURS = {"green": "32", "red": "31", "dim": "2", "bold": "1"}
_NAME_COLOURS = ("36", "33", "35", "34", "32", "96", "93", "95")
_POLL_SECONDS = 0.15


class Console:
    """Prints steps with a tick and their duration; several may run at once. Colours on a terminal only."""

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        self._stream = stream or sys.stdout
        self._quiet = quiet
        self._is_terminal = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._colours = self._is_terminal and "NO_COLOR" not in os.environ
        self._lock = threading.Lock()
        self._running: list[str] = []

    def paint(self, text: str, colour: str) -> str:
        """A text in a colour, by name or by its terminal code."""
        return f"\x1b[{_COLOURS.get(colour, colour)}m{text}\x1b[0m" if self._colours else text

    def line(self, text: str = "") -> None:
        """Print a line above the live one."""
        if self._quiet:
            return
        with self._lock:
            self._clear()
            self._stream.write(f"{text}\n")
            self._show_running()

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """A step of the start. Words appended to the yielded list are shown behind its name."""
        details: list[str] = []
        began = time.monotonic()
        with self._lock:
            self._running.append(name)
            self._clear()
            self._show_running()
        try:
            yield details
        except BaseException:
            self._finish(name)
            self.line(f"  {self.paint('✗', 'red')} {name}")
            raise
        self._finish(name)
        detail = " ".join(details)
        text = f"{name} {self.paint(detail, 'dim')}" if detail else name
        duration = self.paint(f"{time.monotonic() - began:.1f} s", "dim")
        self.line(f"  {self.paint('✓', 'green')} {text}  {duration}")

    def box(self, title: str, rows: Sequence[tuple[str, str]], footer: str) -> None:
        """A framed table of labels and values."""
        label_width = max(len(label) for label, _ in rows)
        lines = [(f"{label:<{label_width}}   {value}", label) for label, value in rows]
        width = max([len(title), len(footer), *(len(text) for text, _ in lines)])
        self.line("╭" + "─" * (width + 2) + "╮")
        self.line(f"│ {self.paint(title.ljust(width), 'bold')} │")
        self.line("├" + "─" * (width + 2) + "┤")
        for text, label in lines:
            padded = text.ljust(width)
            self.line(f"│ {self.paint(padded[: len(label)], 'dim')}{padded[len(label) :]} │")
        self.line("├" + "─" * (width + 2) + "┤")
        self.line(f"│ {footer.ljust(width)} │")
        self.line("╰" + "─" * (width + 2) + "╯")

    def _finish(self, name: str) -> None:
        with self._lock:
            self._running.remove(name)

    def _clear(self) -> None:
        if self._is_terminal and not self._quiet:
            self._stream.write("\r\x1b[2K")

    def _show_running(self) -> None:
        if self._is_terminal and not self._quiet and self._running:
            self._stream.write(self.paint(f"  … {', '.join(self._running)}", "dim"))
        if not self._quiet:
            self._stream.flush()


class LogFollower:
    """Prints what processes write to their logs, each line with the process's name before it.

    They write to files rather than to us, so that a stopped terminal never stops a server.
    """

    def __init__(self, console: Console, logs: dict[str, Path]) -> None:
        self._console = console
        self._logs = logs
        self._offsets = dict.fromkeys(logs, 0)
        self._rests = dict.fromkeys(logs, b"")
        self._width = max((len(name) for name in logs), default=0)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="onebox-logs", daemon=True)

    def start(self) -> None:
        """Print from the beginning of the files, then what is added."""
        self._thread.start()

    def stop(self) -> None:
        """Print the rest and end."""
        self._ending.set()
        self._thread.join()

    def _follow(self) -> None:
        while True:
            ending = self._ending.wait(_POLL_SECONDS)
            for number, (name, path) in enumerate(self._logs.items()):
                self._print_new(name, path, _NAME_COLOURS[number % len(_NAME_COLOURS)])
            if ending:
                return

    def _print_new(self, name: str, path: Path, colour: str) -> None:
        try:
            with path.open("rb") as file:
                file.seek(self._offsets[name])
                data = file.read()
        except OSError:
            return
        self._offsets[name] += len(data)
        *lines, self._rests[name] = (self._rests[name] + data).split(b"\n")
        for line in lines:
            prefix = self._console.paint(f"{name:<{self._width}} │", colour)
            self._console.line(f"{prefix} {line.decode(errors='replace')}")
