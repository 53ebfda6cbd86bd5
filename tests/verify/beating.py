"""`python -m tests.verify.beating PATH -- python -m uvicorn ARGUMENT...`: uvicorn whose event loop notes how it beats.

Twice a second PATH holds JSON: when the loop was blocked for long, its tasks, and the process's memory. Blocked is
what a beat comes late, less the time for which the machine had no core for this thread: that is nobody's fault here.
"""

import asyncio
import json
import os
import runpy
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BEAT_SECONDS = 0.005
WRITE_SECONDS = 0.5
# What is noted; the tests judge.
NOTED_SECONDS = 0.015


def waited_seconds() -> float:
    """For how long this thread could have run and had no core."""
    return int(Path("/proc/thread-self/schedstat").read_bytes().split()[1]) / 1e9


def resident_kib() -> int:
    pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def _late() -> Iterator[float]:
    """For each beat, how late it came by the loop's own fault."""
    began, waited = time.monotonic(), waited_seconds()
    while True:
        now, waited_by_now = time.monotonic(), waited_seconds()
        late = now - began - BEAT_SECONDS - (waited_by_now - waited)
        began, waited = now, waited_by_now
        yield late


async def beat(path: Path) -> None:
    blocked: list[tuple[float, float]] = []
    late = _late()
    next(late)
    written_at = 0.0
    beats = 0
    while True:
        await asyncio.sleep(BEAT_SECONDS)
        beats += 1
        seconds = next(late)
        if seconds > NOTED_SECONDS:
            blocked.append((time.time(), seconds))
        if time.monotonic() - written_at > WRITE_SECONDS:
            written_at = time.monotonic()
            told = {"at": time.time(), "beats": beats, "blocked": blocked}
            told |= {"tasks": len(asyncio.all_tasks()), "resident_kib": resident_kib()}
            beside = path.with_suffix(".new")
            beside.write_text(json.dumps(told))
            beside.replace(path)
            next(late)  # what this took is not counted


def main() -> None:
    import uvicorn

    path, words = Path(sys.argv[1]), sys.argv[sys.argv.index("--") + 1 :]
    serve = uvicorn.Server.main_loop

    async def main_loop(server: Any) -> None:
        beating = asyncio.create_task(beat(path))
        try:
            await serve(server)
        finally:
            beating.cancel()

    uvicorn.Server.main_loop = main_loop  # type: ignore[method-assign]
    position = words.index("-m")
    module, arguments = words[position + 1], words[position + 2 :]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def beating(path: Path, argv: list[str]) -> list[str]:
    """The command line that runs `argv` so."""
    return [*argv[: argv.index("-m")], "-m", "tests.verify.beating", str(path), "--", *argv]


if __name__ == "__main__":
    main()
