"""How fast one web process hands a worker's words to many WebSockets, alone on a core."""

from __future__ import annotations

import json
import subprocess
import time

from benchmarks.figures import Part
from benchmarks.meter import CpuMeter, cpu_seconds, memory
from benchmarks.publisher import ENTRIES_PER_SECOND
from benchmarks.site import Site

AIM_P99_MS = 50.0
_LAST_WORDS_SECONDS = 2.0


def measure(site: Site, part: Part, sockets: int, seconds: int) -> None:
    """One publisher, one process of `sockets` readers, each following a log of its own."""
    site.stack.processes["worker-1"].stop()  # web processes wait for a worker before they serve; it would answer
    publisher = site.script("benchmarks.publisher", "bench-long", str(sockets), str(seconds))
    readers = site.script("benchmarks.socket_readers", site.stack.web_urls[0], site.key)
    try:
        _tell(readers, _hear(publisher))
        _expect(readers, "ready")
        _tell(publisher, "go")
        _expect(publisher, "publishing")
        web_pid = site.pids()["web-1"]
        cpu, web_cpu_before = CpuMeter(site.pids()), cpu_seconds(web_pid)
        published = json.loads(_hear(publisher))
        shares, web_memory = cpu.shares(), memory(web_pid)
        time.sleep(_LAST_WORDS_SECONDS)
        web_cpu_seconds = cpu_seconds(web_pid) - web_cpu_before
        _tell(readers, "stop")
        measured = json.loads(_hear(readers))
    finally:
        publisher.kill()
        readers.kill()
    rate = sockets * ENTRIES_PER_SECOND
    part.add("tokens published", published["appended"] / published["seconds"], "/s")
    delivered = measured["tokens"] / published["seconds"]
    part.add("tokens delivered", delivered, "/s", aim=0.99 * rate, more_is_better=True)
    part.add("frames delivered", measured["frames"] / published["seconds"], "/s")
    part.add("tokens lost", published["appended"] - measured["tokens"], "", aim=0)
    part.add("latency, p50", measured["p50_ms"], "ms")
    part.add("latency, p95", measured["p95_ms"], "ms")
    part.add("latency, p99", measured["p99_ms"], "ms", aim=AIM_P99_MS)
    part.add("latency, longest", measured["max_ms"], "ms")
    part.add("web CPU", 100 * shares["web-1"], "% of a core")
    part.add("web CPU per frame", 1e6 * web_cpu_seconds / measured["frames"], "us")
    part.add("web RSS", web_memory.rss_mb, "MB")
    part.add("readers' CPU (other core)", 100 * measured["cpu_share"], "% of a core")
    part.add("publisher's CPU (other core)", 100 * published["cpu_share"], "% of a core")
    part.add("Redis' CPU (other core)", 100 * shares["redis"], "% of a core")
    part.add("publisher's longest delay behind its own schedule", published["latest_ms"], "ms")


def _hear(script: subprocess.Popen[str]) -> str:
    assert script.stdout is not None
    line: str = script.stdout.readline().strip()
    if not line:
        raise RuntimeError(f"{script.args!r} ended early")
    return line


def _expect(script: subprocess.Popen[str], word: str) -> None:
    if (heard := _hear(script)) != word:
        raise RuntimeError(f"expected {word}, not {heard[:200]}")


def _tell(script: subprocess.Popen[str], line: str) -> None:
    assert script.stdin is not None
    script.stdin.write(line + "\n")
    script.stdin.flush()
