"""`python -m benchmarks.profile_gateway [--of NAME] [--shape answer|burst] [--seconds N]`: where a gateway's CPU goes.

Runs it as `benchmarks.gateway` does, under full load, and looks at its stack a hundred times a second with py-spy,
which is installed beside the other tools of that benchmark. What counts is the thread that holds the interpreter's
lock: no waiting, and not the kernel's part of reading and polling either, for which the loop lets go of it.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gateway import peers, targets, wrk
from benchmarks.gateway.measures import BURST_STREAMS, CONNECTIONS
from benchmarks.gateway.shapes import ANSWER, BURST
from benchmarks.gateway.targets import LeftOut, Places
from benchmarks.site import apart
from onebox import commands

SHAPES = {ANSWER.name: (ANSWER, CONNECTIONS), BURST.name: (BURST, BURST_STREAMS)}
CONTENDERS = {"switchboard": targets.switchboard, "bare": targets.bare, "litellm": peers.litellm}
# All threads stand still for a look: more of them, and a process with thirty hardly gets on.
_LOOKS_PER_SECOND = 100
_WARM_UP_SECONDS = 2
_MARGIN_SECONDS = 1
_TRUNK = 0.98
_PACKAGE = re.compile(r"[^ (]*/site-packages/")


@dataclass(frozen=True, slots=True)
class Profile:
    """How often each function was on the CPU itself, and how often it or something it called was. What is on every
    stack, the server's own beginning, is left out of the second."""

    looks: int
    own: Counter[str]
    whole: Counter[str]

    @classmethod
    def read(cls, lines: Iterable[str]) -> Profile:
        """From py-spy's raw form: frames from the outermost in, split by semicolons, then a count."""
        looks, own, whole = 0, Counter[str](), Counter[str]()
        for line in lines:
            stack, _, count = line.strip().rpartition(" ")
            if not stack:
                continue
            frames = [_named(frame) for frame in stack.split(";")]
            looks += int(count)
            own[frames[-1]] += int(count)
            for frame in set(frames):
                whole[frame] += int(count)
        return cls(looks, own, Counter({frame: count for frame, count in whole.items() if count < _TRUNK * looks}))

    def table(self, title: str, counted: Counter[str], top: int) -> str:
        lines = [f"{title}", ""]
        for name, count in counted.most_common(top):
            lines.append(f"{100 * count / self.looks:6.1f} %  {name}")
        return "\n".join(lines) + "\n"


def _named(frame: str) -> str:
    """`function (path:line)` without what is the same for all: where the packages and the product lie."""
    return _PACKAGE.sub("", frame.replace(f"{commands.ROOT}/", "")) if "/" in frame else frame


def _profiler(cache: Path) -> str:
    """py-spy. Raises LeftOut where it cannot be installed."""
    return str(peers.python_tools(cache, "profiler") / "bin" / "py-spy")


def record(pid: int, profiler: str, seconds: int, native: bool, lines: bool, path: Path) -> subprocess.Popen[bytes]:
    """Start to look at the process, which stands still for each look: what is read from a running one is often half a
    stack. py-spy needs the right to trace it: root's, or a parent's."""
    options = ["--format", "raw", "--rate", str(_LOOKS_PER_SECOND), "--duration", str(seconds), "--output", str(path)]
    options += [*(["--native"] if native else []), *([] if lines else ["--function"])]
    return subprocess.Popen(
        [profiler, "record", "--pid", str(pid), "--gil", *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.profile_gateway", description=__doc__)
    parser.add_argument("--of", choices=tuple(CONTENDERS), default="switchboard")
    parser.add_argument("--shape", choices=tuple(SHAPES), default=ANSWER.name)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--top", type=int, default=25)
    parser.add_argument("--native", action="store_true", help="C functions too; slower")
    parser.add_argument("--lines", action="store_true", help="tell lines apart, not only functions")
    parser.add_argument("--raw", type=Path, help="keep the stacks there, for a flame graph")
    return parser.parse_args()


def main() -> int:
    options = _arguments()
    shape, connections = SHAPES[options.shape]
    cache = peers.cache_folder()
    try:
        profiler = _profiler(cache)
        wrk.executable()
    except (LeftOut, wrk.NoWrk) as error:
        print(error, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="switchboard-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL's own account must pass
        raw = folder / "stacks"
        with (
            targets.upstream(folder) as url,
            CONTENDERS[options.of](Places(folder, cache, url)) as target,
            apart(target.pid, target.name),
        ):
            assert target.pid is not None
            wrk.drive(target.url, target.headers, shape, folder, connections=connections, seconds=_WARM_UP_SECONDS)
            looking = record(target.pid, profiler, options.seconds, options.native, options.lines, raw)
            load = wrk.drive(
                target.url,
                target.headers,
                shape,
                folder,
                connections=connections,
                seconds=options.seconds + _MARGIN_SECONDS,
            )
            _, said = looking.communicate(timeout=60)
        if looking.returncode or not raw.exists():
            print(f"py-spy could not look: {said.decode(errors='replace')[-500:]}", file=sys.stderr)
            return 1
        profile = Profile.read(raw.read_text().splitlines())
        if options.raw:
            options.raw.write_bytes(raw.read_bytes())
    print(
        f"{target.name}, {shape.name}: {load.ok / load.seconds:,.0f} answers/s while looked at, {load.failed} failed; "
        f"{profile.looks} looks. Load average: {os.getloadavg()[0]:.1f}.\n"
    )
    print(profile.table("Its own CPU:", profile.own, options.top))
    print(profile.table("With what it calls:", profile.whole, options.top))
    return 0


if __name__ == "__main__":
    sys.exit(main())
