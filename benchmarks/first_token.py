"""How much later the first token comes through Switchboard than from the provider itself."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable

import aiohttp

from benchmarks.doors import ChatSocket, Heard, ask_by_sse, ask_directly
from benchmarks.figures import Part
from benchmarks.meter import CpuMeter
from benchmarks.site import FIRST_TOKEN_MS, Site

TURNS_PER_SECOND = 5
_WARM_UP_TURNS = 10
_MODEL = "bench-first"
AIM_P50_MS, AIM_P95_MS = 25.0, 60.0


async def measure(site: Site, part: Part, turns: int) -> None:
    """Ask `turns` questions at each door, five turns a second in all, and as many of the simulator in between."""
    async with aiohttp.ClientSession() as session:
        socket = await ChatSocket.open(session, site.stack.url, site.key)
        await _ask(site, session, socket, _WARM_UP_TURNS)
        cpu = CpuMeter(site.pids())
        heard = await _ask(site, session, socket, turns)
        shares = cpu.shares()
        await socket.close()
    direct = statistics.median(one.first_token_at - one.sent_at for one in heard["direct"])
    part.add("simulator called directly, first token, p50", 1000 * direct, "ms")
    for door in ("SSE", "WebSocket"):
        answers = heard[door]
        added = [one.first_token_at - one.sent_at - direct for one in answers]
        part.add_delays(f"{door}: added to the first token", added, aims_ms={"p50": AIM_P50_MS, "p95": AIM_P95_MS})
        _break_down(part, door, answers)
    for name in ("web-1", "worker-1", "postgres", "redis"):
        per_turn = shares[name] / TURNS_PER_SECOND * 1000
        part.add(f"CPU per turn of {TURNS_PER_SECOND * 4} chunks, {name}", per_turn, "ms")


def _break_down(part: Part, door: str, answers: list[Heard]) -> None:
    """Medians of the stages; `queued` is the server's own figure and lies within the second stage."""

    def median_ms(name: str, seconds: list[float]) -> None:
        part.add(f"{door}: of that, {name}, p50", 1000 * statistics.median(seconds), "ms")

    median_ms("sending to accepted", [one.accepted_at - one.sent_at for one in answers])
    median_ms("accepted to started", [one.started_at - one.accepted_at for one in answers])
    queued = [one.end["timings"]["queued_ms"] / 1000 for one in answers]
    median_ms("queued (the server's figure)", queued)
    waited = FIRST_TOKEN_MS / 1000
    median_ms("started to first token, less the model's wait", [
        one.first_token_at - one.started_at - waited for one in answers
    ])  # fmt: skip


async def _ask(site: Site, session: aiohttp.ClientSession, socket: ChatSocket, turns: int) -> dict[str, list[Heard]]:
    """SSE and WebSocket take turns; each of their questions is followed by a direct one half an interval later."""
    asked: dict[str, list[asyncio.Task[Heard]]] = {"SSE": [], "WebSocket": [], "direct": []}

    def ask(door: str, asking: Awaitable[Heard]) -> None:
        asked[door].append(asyncio.ensure_future(asking))

    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in range(2 * turns):
        await asyncio.sleep(max(0.0, began + number / TURNS_PER_SECOND - loop.time()))
        if number % 2:
            ask("WebSocket", socket.ask(_MODEL))
        else:
            ask("SSE", ask_by_sse(session, site.stack.url, site.key, _MODEL))
        await asyncio.sleep(max(0.0, began + (number + 0.5) / TURNS_PER_SECOND - loop.time()))
        ask("direct", ask_directly(session, site.simulator_url, site.models[_MODEL]))
    heard = {door: await asyncio.gather(*tasks) for door, tasks in asked.items()}
    broken = [one for answers in heard.values() for one in answers if not one.complete]
    if broken:
        raise RuntimeError(f"{len(broken)} answers did not complete: {broken[0].end}")
    return heard
