"""A thousand callers of the gateway's streams hang up at random chunks. Nothing of them is left, and all of it is paid.

The provider's calls end, each call that was made has one ledger line, admission holds nothing, the process has no task
and no memory more than before, and its event loop was never blocked.
"""

import asyncio
import json
import random
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from uuid import UUID

import aiohttp
import pytest

from apps.billing import services as billing
from apps.billing.clients import limits
from apps.billing.models import LedgerEntry
from apps.limits.contracts import Cold, Level, Scope, ScopeLimits
from apps.routing import services as routing
from apps.routing.contracts import NewPrice
from apps.tenants.contracts import Principal
from apps.tenants.services import create_api_key
from tests.processes import Simulator
from tests.product import WebServer, eventually, web_server
from tests.verify.beating import WRITE_SECONDS, beat, beating

HANG_UPS, WARM_UPS, AT_ONCE, SEED = 1_000, 100, 32, 20
MODEL, TOKENS, MOST_CHUNKS = "hung-up-on", 160, 100
UPSTREAM = f"bench-hung+tokens={TOKENS}+tps=150+ttft=5+chunk=1"
WHOLE_HANG_UPS, WHOLE_MODEL, WHOLE_UPSTREAM = 200, "hung-up-on-whole", "bench-hung-whole+tokens=40+tps=0+ttft=400"
PRICE = NewPrice(input_nanousd_per_mtok=100_000_000, output_nanousd_per_mtok=400_000_000)
BLOCKED_SECONDS = 0.050
MORE_MIB = 12.0
_TURN = [{"role": "user", "content": "Why do leases need fences?"}]
# Path -> its body, and what stands in each line that brings text.
DOORS: Mapping[str, tuple[dict[str, Any], re.Pattern[bytes]]] = {
    "/v1/chat/completions": ({"messages": _TURN}, re.compile(rb'"content":"[^"]')),
    "/v1/messages": ({"messages": _TURN, "max_tokens": 400}, re.compile(rb'"type":"content_block_delta"')),
    "/v1/responses": ({"input": _TURN}, re.compile(rb'"type":"response.output_text.delta"')),
}
_CALL_ID = re.compile(rb'"id":"[a-z]+_?-?([0-9a-f]{32})"')


@dataclass(frozen=True, slots=True)
class HungUp:
    """What one caller had seen when it left: the call's id, None where no line had come, and pieces of text."""

    door: str
    call_id: UUID | None
    pieces: int


@dataclass(frozen=True, slots=True)
class Beating:
    """A web process whose event loop is watched."""

    web: WebServer
    path: Path

    def told(self, since: float = 0.0) -> dict[str, Any]:
        """What its loop noted, written after now."""
        now = time.time()

        def newest() -> dict[str, Any] | None:
            told = json.loads(self.path.read_text()) if self.path.exists() else {"at": 0.0}
            return told if told["at"] > now else None

        told: dict[str, Any] = eventually(newest)
        return told | {"blocked": [seconds for at, seconds in told["blocked"] if at > since]}

    def connections_to(self, url: str) -> int:
        """Its open connections to that address."""
        port = int(url.rsplit(":", 1)[1])
        own = set()
        for one in Path(f"/proc/{self.web.process.pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                own.add(one.readlink().name)
        rows = [line.split() for line in Path(f"/proc/{self.web.process.pid}/net/tcp").read_text().splitlines()[1:]]
        there = [row for row in rows if row[2].endswith(f":{port:04X}") and row[3] == "01"]
        return sum(f"socket:[{row[9]}]" in own for row in there)


@pytest.fixture(scope="module")
def beaten(
    database: None, provider_simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Beating]:
    provider_id = routing.add_provider(
        name="Simulator that is hung up on", base_url=f"{provider_simulator.url}/v1", key="any", simulated=True
    )
    for slug, upstream_model in ((MODEL, UPSTREAM), (WHOLE_MODEL, WHOLE_UPSTREAM)):
        routing.register_model(
            provider_id=provider_id, upstream_model=upstream_model, price=PRICE, slug=slug, name=slug
        )
    path = tmp_path_factory.mktemp("beating") / "told.json"
    with web_server("uvicorn", wrap=lambda argv: beating(path, argv)) as web:
        yield Beating(web, path)


async def hang_up(session: aiohttp.ClientSession, url: str, door: str, dice: random.Random) -> HungUp:
    """Ask at the door, and leave at a random chunk: sometimes before the first."""
    body, mark = DOORS[door]
    wanted, patience_seconds = dice.randint(0, MOST_CHUNKS), dice.uniform(0.0, 0.04)
    asking = session.post(f"{url}{door}", json={"model": MODEL, "stream": True, **body})
    if not wanted:
        try:
            async with asyncio.timeout(patience_seconds):
                response = await asking
        except TimeoutError:
            return HungUp(door, None, 0)
        response.close()
        return HungUp(door, None, 0)
    response = await asking
    try:
        assert response.status == 200, await response.text()
        call_id, pieces = None, 0
        async for line in response.content:
            if call_id is None and (found := _CALL_ID.search(line)):
                call_id = UUID(found[1].decode())
            pieces += mark.search(line) is not None
            if pieces >= wanted:
                break
        assert call_id is not None and pieces == wanted
        return HungUp(door, call_id, pieces)
    finally:
        response.close()


async def hang_up_whole(session: aiohttp.ClientSession, url: str, door: str, dice: random.Random) -> HungUp:
    """Ask for the answer in one piece, and leave before it can be there; or stay."""
    body, _ = DOORS[door]
    try:
        async with asyncio.timeout(dice.uniform(0.0, 0.35) if dice.random() < 0.9 else 20):
            async with session.post(f"{url}{door}", json={"model": WHOLE_MODEL, **body}) as response:
                told = await response.read()
                assert response.status == 200
    except TimeoutError:
        return HungUp(door, None, 0)
    found = _CALL_ID.search(told)
    assert found is not None
    return HungUp(door, UUID(found[1].decode()), 1)


Leave = Callable[[aiohttp.ClientSession, str, str, random.Random], Awaitable[HungUp]]


async def hang_up_many(url: str, key: str, count: int, dice: random.Random, leave: Leave = hang_up) -> list[HungUp]:
    at_once = asyncio.Semaphore(AT_ONCE)
    headers = {"Authorization": f"Bearer {key}"}
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout) as session:

        async def one(door: str) -> HungUp:
            async with at_once:
                return await leave(session, url, door, dice)

        return await asyncio.gather(*(one(list(DOORS)[number % len(DOORS)]) for number in range(count)))


def bill(simulator: Simulator, upstream: str = UPSTREAM) -> dict[UUID, dict[str, Any]]:
    """What the simulator was asked here, by attempt, once nothing of it is open."""

    def closed() -> bool:
        with urlopen(f"{simulator.url}/control/health", timeout=5) as response:
            return int(json.load(response)["active_calls"]) == 0

    eventually(closed)
    with urlopen(f"{simulator.url}/control/bill", timeout=10) as response:
        calls = [call for call in json.load(response)["calls"] if call["model"] == upstream]
    assert len({call["attempt_id"] for call in calls}) == len(calls)
    return {UUID(call["attempt_id"]): call for call in calls}


def lines_of(tenant_id: UUID, at_least: int) -> list[LedgerEntry]:
    def enough() -> list[LedgerEntry] | None:
        billing.drain_settlements()
        found = list(LedgerEntry.objects.using("engine").filter(tenant_id=tenant_id))
        return found if len(found) >= at_least else None

    found: list[LedgerEntry] = eventually(enough, within_seconds=20)
    return found


def held_calls(tenant_id: UUID) -> int:
    scope = ScopeLimits(Scope(Level.TENANT, str(tenant_id)), parallel_calls=10_000)
    overview = limits().peek(tenant_id, [scope])
    assert not isinstance(overview, Cold)
    return overview.allowances[0].used


def require_paid(line: LedgerEntry, call: Mapping[str, Any] | None, seen: int) -> None:
    """A line says what its call used as far as it came: what the caller saw at least, what was sent at most."""
    if call is None or call["status"] is None:  # it was cut before it was asked
        assert line.output_tokens == 0, line
        return
    assert line.kind == "charge"
    if not line.estimated:  # on a busy machine all was sent before the caller had read as much as it wanted
        assert call["completed"] and line.output_tokens == call["tokens_sent"], (line, call)
    else:
        # A token that is known by its bytes alone may count for two.
        assert seen <= line.output_tokens <= 2 * call["tokens_sent"], (line.output_tokens, call["tokens_sent"], seen)
    assert line.amount_nanousd == line.input_tokens * 100 + line.output_tokens * 400


async def test_a_loop_that_is_blocked_is_noticed(tmp_path: Path) -> None:
    """Else nothing noted would mean nothing."""
    path = tmp_path / "told.json"
    beats = asyncio.create_task(beat(path))
    await asyncio.sleep(0.1)
    time.sleep(0.08)  # noqa: ASYNC251 - the fault itself
    await asyncio.sleep(WRITE_SECONDS + 0.1)
    beats.cancel()
    noted = [seconds for _, seconds in json.loads(path.read_text())["blocked"]]
    assert max(noted) > BLOCKED_SECONDS


def test_a_thousand_hang_ups(beaten: Beating, provider_simulator: Simulator, alice: Principal) -> None:
    billing.set_quota(tenant_id=alice.tenant_id, requests_per_minute=100_000, parallel_calls=10_000)
    dice, key = random.Random(SEED), create_api_key(alice, "hasty").secret
    asyncio.run(hang_up_many(beaten.web.url, key, WARM_UPS, dice))
    warm_ups = bill(provider_simulator)
    before, began_at = beaten.told(), time.time()
    connections = beaten.connections_to(provider_simulator.url)

    callers = asyncio.run(hang_up_many(beaten.web.url, key, HANG_UPS, dice))

    calls = bill(provider_simulator)
    # What was sent whole leaves a connection that may be used again.
    kept = connections + sum(call["completed"] for call in calls.values())
    eventually(lambda: beaten.connections_to(provider_simulator.url) <= kept)
    assert sum(call["closed_by_caller"] for call in calls.values()) > 0.9 * len(calls)
    lines = {line.attempt_id: line for line in lines_of(alice.tenant_id, len(calls))}
    assert calls.keys() <= lines.keys(), "a call to the provider has no line"
    assert len({line.call_id for line in lines.values()}) == len(lines), "a call has two lines"
    seen = {caller.call_id: caller.pieces for caller in callers if caller.call_id is not None}
    assert len(seen) == sum(caller.pieces > 0 for caller in callers) > 0.9 * HANG_UPS
    assert seen.keys() <= {line.call_id for line in lines.values()}
    for line in lines.values():
        require_paid(line, calls.get(line.attempt_id), seen.get(line.call_id, 0))
    eventually(lambda: held_calls(alice.tenant_id) == 0)
    assert billing.differences(alice.tenant_id) == []

    eventually(lambda: beaten.told()["tasks"] <= before["tasks"], within_seconds=15)
    after = beaten.told(began_at)
    grown_mib = (after["resident_kib"] - before["resident_kib"]) / 1024
    written, sent = (
        sum(line.output_tokens for line in lines.values()),
        sum(call["tokens_sent"] for call in calls.values()),
    )
    print(
        f"{len(calls) - len(warm_ups)} calls of {HANG_UPS} hang-ups; {written} tokens written for {sent} sent; "
        f"longest block {max(after['blocked'], default=0) * 1000:.0f} ms; {grown_mib:+.1f} MiB; {after['tasks']} tasks"
    )
    assert max(after["blocked"], default=0.0) <= BLOCKED_SECONDS
    assert grown_mib <= MORE_MIB


def test_two_hundred_who_do_not_wait_for_the_whole(
    beaten: Beating, provider_simulator: Simulator, alice: Principal
) -> None:
    """Nothing had come, so who leaves pays for what may have been written by then; who stays pays for all."""
    dice, key = random.Random(SEED), create_api_key(alice, "hasty").secret
    billing.set_quota(tenant_id=alice.tenant_id, requests_per_minute=100_000, parallel_calls=10_000)
    callers = asyncio.run(hang_up_many(beaten.web.url, key, WHOLE_HANG_UPS, dice, hang_up_whole))
    stayed = {caller.call_id for caller in callers if caller.call_id is not None}
    calls = bill(provider_simulator, WHOLE_UPSTREAM)
    lines = {line.attempt_id: line for line in lines_of(alice.tenant_id, len(calls))}
    assert calls.keys() <= lines.keys() and len({line.call_id for line in lines.values()}) == len(lines)
    assert len(calls) > 0.5 * WHOLE_HANG_UPS and 0 < len(stayed) < 0.3 * WHOLE_HANG_UPS
    for attempt_id, line in lines.items():
        call = calls.get(attempt_id)
        if line.call_id in stayed:
            assert call is not None and not line.estimated and line.output_tokens == call["tokens_sent"] == 40
        else:
            assert call is None or call["closed_by_caller"]
            # Of this model two hundred tokens a second are thought possible, and at most a second was waited.
            assert line.output_tokens <= 200 and (line.estimated or not line.output_tokens)
            assert line.amount_nanousd == line.input_tokens * 100 + line.output_tokens * 400
    eventually(lambda: held_calls(alice.tenant_id) == 0)
    assert billing.differences(alice.tenant_id) == []
