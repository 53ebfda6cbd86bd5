"""`python -m benchmarks.gateway [--short] [--only NAME ...] [--part PART ...] [--json PATH]`: measure the gateway.

Switchboard, a bare pass-through, LiteLLM's proxy and the Portkey gateway get the same calls from the same load
generator, before the same upstream, each alone on a core. Figures depend on what else the machine does: the load
average is printed beside them.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks import figures
from benchmarks.gateway import measures, peers, preflight, report, targets, wrk
from benchmarks.gateway.measures import Measured, Measurement, Scale
from benchmarks.gateway.targets import LeftOut, Places, Target
from benchmarks.site import apart
from onebox.process import StartFailed

CONTENDERS: dict[str, Callable[[Places], AbstractContextManager[Target]]] = {
    "upstream": targets.directly,
    "bare": targets.bare,
    "switchboard": targets.switchboard,
    "portkey": peers.portkey,
    "litellm": peers.litellm,
}


_FAILURES = (LeftOut, StartFailed, RuntimeError, OSError, subprocess.SubprocessError)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.gateway", description=__doc__)
    parser.add_argument("--short", action="store_true", help="shorter runs: about half a minute for each")
    parser.add_argument("--only", nargs="+", choices=tuple(CONTENDERS), default=tuple(CONTENDERS))
    parser.add_argument("--part", nargs="+", choices=measures.PARTS, default=measures.PARTS)
    parser.add_argument("--json", type=Path, help="write all figures there too")
    return parser.parse_args()


def _measure(name: str, places: Places, scale: Scale, parts: list[str]) -> Measured:
    """Start it, see that it answers, measure it, stop it. Raises LeftOut, StartFailed."""
    load = os.getloadavg()[0]
    with CONTENDERS[name](places) as target:
        with targets.directly(places) as upstream:
            preflight.check(target, upstream)
        with apart(target.pid, name):
            found = Measurement(target, places.folder, scale).run(parts)
    print(f"- {found.name}: {found.about}. Load average before: {load:.1f}.", flush=True)
    return found


def _run(options: argparse.Namespace, folder: Path) -> tuple[list[Measured], dict[str, str]]:
    found: list[Measured] = []
    left_out: dict[str, str] = {}
    scale = measures.SHORT if options.short else measures.FULL
    cache = peers.cache_folder()
    for name in peers.SET_UPS.keys() & set(options.only):
        try:
            peers.SET_UPS[name](cache)
        except LeftOut as error:
            left_out[name] = str(error)
            print(f"- {name} is left out: {error}", flush=True)
    with targets.upstream(folder) as url:
        places = Places(folder, cache, url)
        for name in CONTENDERS:
            if name not in options.only or name in left_out:
                continue
            try:
                found.append(_measure(name, places, scale, list(options.part)))
            except _FAILURES as error:  # what the others gave must not be lost
                left_out[name] = str(error)
                print(f"- {name} is left out: {error}", flush=True)
    return found, left_out


def main() -> int:
    options = _arguments()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that everything is put away
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        wrk.executable()
    except wrk.NoWrk as error:
        print(error, file=sys.stderr)
        return 2
    scale = measures.SHORT if options.short else measures.FULL
    about = figures.conditions() | report.conditions(scale, peers.cache_folder())
    print("\n".join(f"- {name}: {value}" for name, value in about.items()) + "\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="switchboard-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)  # PostgreSQL's own account must pass
        found, left_out = _run(options, Path(folder))
    part = report.aims(found)
    for text in (report.table(found), report.ratios(found), part.markdown() if part else "") if found else ():
        print(f"\n{text}", end="", flush=True)
    if options.json:
        options.json.write_text(report.as_json(about, found, left_out))
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
