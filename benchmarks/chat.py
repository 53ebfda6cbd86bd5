"""`python -m benchmarks.chat [--short] [--only PART ...] [--server NAME ...] [--json PATH]`: measure chats.

Starts the whole product on a temporary folder for each part, with the provider simulator as the only model. Figures
depend on what else the machine does: the report names the load average before each part.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import delivery, end_to_end, first_token, worker_streams
from benchmarks.figures import Part, as_json, conditions
from benchmarks.site import alone, offers, open_site

SERVERS = ("uvicorn", "daphne")
_FREE = "Nothing is pinned; the client shares the machine."


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything."""

    turns: int
    ramp: tuple[int, ...]
    stream_seconds: int
    sockets: int
    publish_seconds: int
    mixed_streams: int
    mixed_stream_seconds: int
    compared_streams: int


FULL = Scale(100, (100, 250, 500, 750, 1000, 1250), 60, 500, 20, 150, 30, 60)
SHORT = Scale(25, (100, 250), 30, 500, 8, 150, 16, 20)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Runs the parts. All parts share one data folder, so that only the first start migrates."""

    folder: Path
    scale: Scale
    servers: tuple[str, ...]

    @property
    def models(self) -> dict[str, str]:
        return offers(self.scale.stream_seconds, self.scale.mixed_stream_seconds)

    def first_token(self) -> Iterator[Part]:
        for server in self.servers:
            part = Part(f"Time to first token, {server}", f"{_FREE} {first_token.TURNS_PER_SECOND} turns a second.")
            with open_site(self.folder, self.models, web_server=server) as site:
                asyncio.run(first_token.measure(site, part, self.scale.turns))
            yield part

    def worker(self) -> Iterator[Part]:
        part = Part("Streams of 20 chunks/s that one worker holds", "")
        with open_site(self.folder, self.models, webs=0) as site, alone(site, "worker-1") as part.placement:
            asyncio.run(worker_streams.measure(site, part, list(self.scale.ramp), self.scale.stream_seconds))
        yield part

    def adapters(self) -> Iterator[Part]:
        """The worker with litellm beside an ordinary one: the same streams, of the same provider."""
        scale = self.scale
        for adapter, prefix, worker in (
            ("openai_compatible", "", "worker-1"),
            ("litellm", "mistral/", "worker-litellm"),
        ):
            part = Part(f"What a stream of 20 chunks/s costs a worker, {adapter}", "")
            models = {slug: f"{prefix}{upstream}" for slug, upstream in self.models.items()}
            folder = self.folder.with_name(f"data-{adapter}")
            with (
                open_site(folder, models, webs=0, adapter=adapter) as site,
                alone(site, worker) as part.placement,
            ):
                streams, seconds = scale.compared_streams, scale.stream_seconds
                asyncio.run(worker_streams.measure_each(site, part, worker, streams, seconds))
            yield part

    def delivery(self) -> Iterator[Part]:
        scale = self.scale
        for server in self.servers:
            part = Part(f"Delivery to {scale.sockets} WebSockets, {server}", "")
            with (
                open_site(self.folder, self.models, web_server=server) as site,
                alone(site, "web-1") as part.placement,
            ):
                delivery.measure(site, part, scale.sockets, scale.publish_seconds)
            yield part

    def end_to_end(self) -> Iterator[Part]:
        scale = self.scale
        for server in self.servers:
            part = Part(f"{scale.mixed_streams} streams end to end, {server}", f"{_FREE} Half SSE, half WebSocket.")
            with open_site(self.folder, self.models, web_server=server) as site:
                asyncio.run(end_to_end.measure(site, part, scale.mixed_streams, scale.mixed_stream_seconds))
            yield part

    def parts(self) -> dict[str, Callable[[], Iterator[Part]]]:
        return {
            "first-token": self.first_token,
            "worker": self.worker,
            "adapters": self.adapters,
            "delivery": self.delivery,
            "end-to-end": self.end_to_end,
        }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.chat", description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer turns, fewer and shorter streams: two minutes")
    parser.add_argument("--only", nargs="+", choices=("first-token", "worker", "adapters", "delivery", "end-to-end"))
    parser.add_argument("--server", nargs="+", choices=SERVERS, default=SERVERS)
    parser.add_argument("--ramp", nargs="+", type=int, help="numbers of streams for the worker")
    parser.add_argument("--json", type=Path, help="write all figures there too")
    return parser.parse_args()


def main() -> int:
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that everything is put away
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    scale = SHORT if arguments.short else FULL
    if arguments.ramp:
        scale = replace(scale, ramp=tuple(arguments.ramp))
    about = conditions()
    print("\n".join(f"- {name}: {value}" for name, value in about.items()), flush=True)
    done: list[Part] = []
    with tempfile.TemporaryDirectory(prefix="switchboard-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)  # PostgreSQL's own account must pass
        benchmark = Benchmark(Path(folder) / "data", scale, tuple(arguments.server))
        for name, run in benchmark.parts().items():
            if arguments.only and name not in arguments.only:
                continue
            for part in run():
                print("\n" + part.markdown(), flush=True)
                done.append(part)
    if arguments.json:
        arguments.json.write_text(as_json(about, done))
    return 0


if __name__ == "__main__":
    sys.exit(main())
