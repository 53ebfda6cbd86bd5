"""One run of one drill: a cluster, a crowd, figures, and the verdict."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import aiohttp

from chaos import oracle
from chaos.cluster import Cluster, Setup
from chaos.evidence import Evidence, collect
from chaos.oracle import Violation
from chaos.readers import Crowd

TRIAL_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Drill:
    """`id` is its number in the table of docs/reliability.md, with a word where a number has variants."""

    id: str
    title: str
    run: Callable[["Trial"], Awaitable[None]]
    setup: Setup = field(default_factory=Setup)
    mutations: tuple[str, ...] = ()

    @property
    def number(self) -> int:
        return int(self.id.partition("-")[0])


@dataclass(slots=True)
class Trial:
    """What a drill works with. `scale` multiplies counts, `dice` decide every instant and choice."""

    cluster: Cluster
    crowd: Crowd
    dice: random.Random
    scale: float
    figures: dict[str, str] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    evidence: Evidence | None = None

    def count(self, full: int) -> int:
        return max(4, round(full * self.scale))

    def figure(self, name: str, value: float | str, unit: str = "") -> None:
        self.figures[name] = (
            value if isinstance(value, str) else f"{value:.2f}{unit}" if value % 1 else f"{value:g}{unit}"
        )

    def fail(self, code: str, detail: str) -> None:
        self.violations.append(Violation(code, detail))

    def at_most(self, code: str, name: str, value: float, limit: float, unit: str = "s") -> None:
        """Note a figure, and a violation where it is above its limit."""
        self.figure(name, value, f" {unit}")
        if value > limit:
            self.fail(code, f"{name} is {value:.2f} {unit}, allowed are {limit:g} {unit}")

    async def do(self, action: Callable[[], object]) -> None:
        """Something that blocks, such as waiting for a process."""
        await asyncio.to_thread(action)

    async def until(self, condition: Callable[[], bool], seconds: float, every_seconds: float = 0.1) -> bool:
        """Wait until a (blocking) condition holds; False where it does not in time."""
        deadline = time.monotonic() + seconds
        while not await asyncio.to_thread(condition):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(every_seconds)
        return True

    async def settle(self, *, readers_seconds: float, rest_seconds: float = 5.0) -> Evidence:
        """Wait for the readers and for rest, then ask the oracle."""
        await self.crowd.finished(readers_seconds)
        self.evidence = await asyncio.to_thread(collect, self.cluster, rest_seconds)
        readings = [reader.reading for reader in self.crowd.readers]
        self.violations += oracle.h(self.crowd.questions, readings, self.evidence)
        self.figure("answers", len(self.evidence.generations))
        self.figure("readers", len(readings))
        return self.evidence


def percentile(values: Sequence[float], percent: float) -> float:
    """Nearest rank; infinite where there are no values, so that nothing measured never passes."""
    if not values:
        return float("inf")
    ranked = sorted(values)
    return ranked[max(0, -(-len(ranked) * int(percent * 10) // 1000) - 1)]


async def conduct(drill: Drill, cluster: Cluster, *, seed: int, scale: float) -> Trial:
    """Run a drill against a started cluster."""
    dice = random.Random(f"{drill.id}:{seed}")
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        crowd = Crowd(session, list(cluster.web_urls), cluster.callers, dice, time.time() + TRIAL_SECONDS)
        trial = Trial(cluster, crowd, dice, scale)
        try:
            async with asyncio.timeout(TRIAL_SECONDS * 1.5):
                await drill.run(trial)
        except Exception as error:
            trial.fail("drill-broken", f"{type(error).__name__}: {error}")
        finally:
            await crowd.finished(0)
        return trial
