"""Fault rules, options and health: what a drill steers the simulator with."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from tests.simulator.client import ASK, Client

CHAT = "/v1/chat/completions"


async def statuses(simulator: Client, model: str, calls: int) -> list[int]:
    body = {"model": model, "messages": ASK}
    return [(await simulator.post(CHAT, body))[0] for _ in range(calls)]


async def test_a_rule_skips_then_strikes_so_many_times(simulator: Client) -> None:
    await simulator.fault(model="bench", kind="503", after=1, times=2)
    assert await statuses(simulator, "bench+tokens=1", 5) == [200, 503, 503, 200, 200]


async def test_a_rule_is_for_the_models_that_match_wholly(simulator: Client) -> None:
    await simulator.fault(model="bench-(a|b)", kind="500")
    assert await statuses(simulator, "bench-a+tokens=1", 1) == [500]
    assert await statuses(simulator, "bench-abc", 1) == [200]
    assert await statuses(simulator, "bench", 1) == [200]


async def test_primary_down_for_a_while_and_back(simulator: Client) -> None:
    await simulator.fault(model="*", kind="503", retry_after=1, until_seconds=0.6)
    assert await statuses(simulator, "bench", 2) == [503, 503]
    await asyncio.sleep(0.62)
    assert await statuses(simulator, "bench", 2) == [200, 200]


async def test_chance_is_repeatable(simulator: Client) -> None:
    seen = []
    for _ in range(2):
        rule = await simulator.fault(model="*", kind="500", probability=0.5, seed=3)
        seen.append(await statuses(simulator, "bench+tokens=1", 20))
        async with simulator.session.delete(f"{simulator.url}/control/faults/{rule['id']}") as response:
            assert await response.json() == {"cleared": 1}
    assert seen[0] == seen[1]
    assert set(seen[0]) == {200, 500}


async def test_faults_reach_embeddings_too(simulator: Client) -> None:
    await simulator.fault(model="demo-embed", kind="429", retry_after=2, times=1)
    body = {"model": "demo-embed", "input": "x"}
    status, headers, _ = await simulator.post("/v1/embeddings", body)
    assert (status, headers["Retry-After"]) == (429, "2")
    assert (await simulator.post("/v1/embeddings", body))[0] == 200


async def test_rules_are_listed_with_their_counts_and_cleared(simulator: Client) -> None:
    await simulator.fault(model="bench", kind="die", at=5, times=1)
    await simulator.stream("bench+tokens=20")
    await simulator.stream("bench+tokens=20")
    async with simulator.session.get(f"{simulator.url}/control/faults") as response:
        [rule] = (await response.json())["faults"]
    assert (rule["kind"], rule["seen"], rule["fired"]) == ("die@5", 2, 1)


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "nonsense"},
        {"kind": "die", "at": "soon"},
        {"kind": "500", "model": "("},
        {"kind": "500", "times": -1},
        {"kind": "500", "colour": "red"},
    ],
)
async def test_a_wrong_rule_is_refused(simulator: Client, rule: dict[str, object]) -> None:
    status, _, body = await simulator.post("/control/faults", rule)
    assert status == 400
    assert body["error"]["message"]


async def test_options_from_name_header_and_control_in_that_order(simulator: Client) -> None:
    async def tokens(model: str, header: str | None = None) -> int:
        headers = {"X-Simulator-Options": header} if header else {}
        _, _, answer = await simulator.post(CHAT, {"model": model, "messages": ASK}, headers=headers)
        return int(answer["usage"]["completion_tokens"])

    status, _, _ = await simulator.post("/control/options", {"model": "demo-.*", "options": "tps=0+ttft=0+tokens=5"})
    assert status == 201
    assert await tokens("demo-quill") == 5
    assert await tokens("demo-quill", "tokens=6") == 6
    assert await tokens("demo-quill+tokens=7", "tokens=6") == 7


async def test_health_counts_open_streams(simulator: Client) -> None:
    before = await simulator.health()
    attempt = str(uuid4())
    reading = asyncio.create_task(simulator.stream("bench+tokens=10+tps=0+ttft=0+hold=5", attempt=attempt))
    async with asyncio.timeout(5):
        while not (lines := await simulator.lines(attempt)) or lines[0]["tokens_sent"] < 5:
            await asyncio.sleep(0.01)
    during = await simulator.health()
    await simulator.post("/control/release", {})
    await reading
    await simulator.bill(attempt)
    after = await simulator.health()
    assert during["active_streams"] == before["active_streams"] + 1
    assert after["active_streams"] == before["active_streams"]
    assert after["calls"] == before["calls"] + 1
    assert after["chunks_sent"] == before["chunks_sent"] + 10
