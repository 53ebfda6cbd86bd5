"""Answers served again to the very same call: when, to whom, and what they say of themselves."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from uuid import uuid4

import pytest
import redis
from django.conf import settings

from apps.routing import selectors, services
from apps.routing.caches import exact, key
from apps.routing.contracts import (
    CacheKind,
    CacheScope,
    CacheUse,
    FallbackKind,
    Finished,
    Plan,
    Prompt,
    TextDelta,
    Usage,
)
from apps.tenants.contracts import Principal
from apps.tenants.scope import database_step
from tests.people import new_member
from tests.processes import Simulator
from tests.routing.cached import ask, from_cache, rule
from tests.routing.cached_plan import PLAN
from tests.routing.exchange import PATIENT, RecordingGate, admission, offer
from tests.routing.scripted import DONE, FINISH, STREAM, USAGE, Step, event, provider, text_event

REPLY: tuple[Step, ...] = (STREAM, text_event("Forty-"), text_event("two."), FINISH, USAGE, DONE, None)
HELLO = {"role": "user", "content": "Hello"}


async def test_the_same_call_is_served_from_the_cache_for_nothing(
    alice: Principal, provider_simulator: Simulator
) -> None:
    plan = await offer(alice, provider_simulator.url, ["bench+tokens=900+tps=0"])
    await rule(alice, exact=True)
    first, second = await ask(alice, plan), await ask(alice, plan)
    assert (from_cache(first), from_cache(second)) == (False, True)
    assert second.text == first.text
    assert len(second.chunks) > 2, "a long answer comes in several pieces"
    hit, end = second.finished.cache, second.finished
    assert hit is not None
    assert (hit.kind, hit.similarity, end.usage) == (CacheKind.EXACT, 1.0, Usage(0, 0))
    assert end.candidate == plan.candidates[0]
    assert end.attempt_id == first.finished.attempt_id
    assert hit.saved_nanousd == plan.candidates[0].price.amount_nanousd(first.finished.usage) > 0
    assert (hit.saved_output_tokens, hit.age_seconds < 60) == (900, True)


async def test_caches_are_off_until_they_are_switched_on(alice: Principal, provider_simulator: Simulator) -> None:
    plan = await offer(alice, provider_simulator.url, ["bench"])
    assert [from_cache(await ask(alice, plan)) for _ in range(2)] == [False, False]
    await rule(alice, exact=True)
    assert [from_cache(await ask(alice, plan)) for _ in range(2)] == [False, True]
    await rule(alice, exact=False)
    assert not from_cache(await ask(alice, plan))


async def test_a_bypass_asks_anew_and_replaces_what_is_stored(alice: Principal) -> None:
    await rule(alice, exact=True)
    async with provider(REPLY) as played:
        plan = await offer(alice, played.base_url, ["m"])
        await ask(alice, plan)
        played.script = [STREAM, text_event("Another."), FINISH, USAGE, DONE, None]
        assert (await ask(alice, plan, use=CacheUse.NO_STORE)).text == "Another."
        assert (await ask(alice, plan)).text == "Forty-two."
        assert (await ask(alice, plan, use=CacheUse.BYPASS)).text == "Another."
        again = await ask(alice, plan)
        assert (again.text, from_cache(again), len(played.requests)) == ("Another.", True, 3)


async def test_people_meet_their_own_answers_unless_the_workspace_shares_them(
    alice: Principal, bob: Principal, mallory: Principal, provider_simulator: Simulator
) -> None:
    plan = await offer(alice, provider_simulator.url, ["bench"])
    await rule(alice, exact=True)
    await rule(mallory, exact=True)
    await ask(alice, plan)
    assert from_cache(await ask(alice, plan))
    assert not from_cache(await ask(bob, plan))
    await rule(alice, scope=CacheScope.WORKSPACE)
    assert not from_cache(await ask(alice, plan)), "what was a person's own is not shared afterwards"
    assert from_cache(await ask(bob, plan))
    other = await offer(mallory, provider_simulator.url, ["bench"])
    assert not from_cache(await ask(mallory, other))


Change = Callable[[Plan], Plan]


def _candidate(**fields: object) -> Change:
    return lambda plan: replace(plan, candidates=(plan.candidates[0]._replace(**fields),))


@pytest.mark.parametrize(
    ("what", "change", "messages", "parameters"),
    [
        ("question", None, [{"role": "user", "content": "Hello!"}], {}),
        ("history", None, [{"role": "user", "content": "Hm"}, {"role": "assistant", "content": "?"}, HELLO], {}),
        ("system prompt", None, [{"role": "system", "content": "Be brief."}, HELLO], {}),
        ("role", None, [{"role": "system", "content": "Hello"}], {}),
        ("temperature", None, [HELLO], {"temperature": 0.1}),
        ("tools", None, [HELLO], {"tools": [{"type": "function", "function": {"name": "look"}}]}),
        ("response format", None, [HELLO], {"response_format": {"type": "json_object"}}),
        ("name asked for", lambda plan: replace(plan, model="auto"), [HELLO], {}),
        ("model", _candidate(model="other"), [HELLO], {}),
        ("place", _candidate(deployment_id=uuid4()), [HELLO], {}),
        ("upstream model", _candidate(upstream_model="m-2"), [HELLO], {}),
        ("output", _candidate(output_tokens_bound=7), [HELLO], {}),
        ("fallback", _candidate(after=FallbackKind.ANY), [HELLO], {}),
    ],
)
def test_everything_that_changes_the_answer_changes_the_key(
    what: str,
    change: Change | None,
    messages: list[dict[str, str]],
    parameters: dict[str, object],
) -> None:
    plan, tenant, person = PLAN, uuid4(), uuid4()
    usual = key.exact_key(tenant, person, plan, Prompt([HELLO]))
    assert usual == key.exact_key(tenant, person, replace(plan, hue=7), Prompt([dict(HELLO)], {}))
    changed = key.exact_key(tenant, person, plan if change is None else change(plan), Prompt(messages, parameters))
    assert changed not in (None, usual), what


def test_tenant_person_price_and_embedder_change_the_key_and_the_order_of_candidates_does_not() -> None:
    plan = replace(PLAN, candidates=(*PLAN.candidates, PLAN.candidates[0]._replace(deployment_id=uuid4())))
    prompt, tenant, person = Prompt([HELLO]), uuid4(), uuid4()
    usual = key.exact_key(tenant, person, plan, prompt)
    turned = replace(plan, candidates=plan.candidates[::-1])
    assert key.exact_key(tenant, person, turned, prompt) == usual
    dear = plan.candidates[0]._replace(price=replace(plan.candidates[0].price, id=uuid4()))
    found = {
        usual,
        key.exact_key(uuid4(), person, plan, prompt),
        key.exact_key(tenant, uuid4(), plan, prompt),
        key.exact_key(tenant, None, plan, prompt),
        key.exact_key(tenant, person, replace(plan, candidates=(dear, plan.candidates[1])), prompt),
        key.exact_key(tenant, person, replace(plan, candidates=plan.candidates[:1]), prompt),
        key.context_key(tenant, person, plan, prompt, embedder="a", signature="s"),
        key.context_key(tenant, person, plan, prompt, embedder="b", signature="s"),
        key.context_key(tenant, person, plan, prompt, embedder="a", signature="t"),
    }
    assert len(found) == 9
    assert None not in found


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]}],
        [{"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]}, HELLO],
        [],
    ],
)
def test_prompts_with_more_than_text_are_never_looked_up(messages: list[dict[str, str]]) -> None:
    plan, tenant = Plan("m", "M", 1, ()), uuid4()
    assert key.exact_key(tenant, None, plan, Prompt([HELLO])) is not None
    assert key.exact_key(tenant, None, plan, Prompt(messages)) is None
    assert key.context_key(tenant, None, plan, Prompt(messages), embedder="e", signature="s") is None


def test_prompts_that_ask_for_likelihoods_are_never_looked_up() -> None:
    plan, tenant, probable = Plan("m", "M", 1, ()), uuid4(), Prompt([HELLO], {"logprobs": True})
    assert key.exact_key(tenant, None, plan, probable) is None
    assert key.context_key(tenant, None, plan, probable, embedder="e", signature="s") is None


_CUT = event('{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}')
_FILTERED = event('{"choices":[{"index":0,"delta":{},"finish_reason":"content_filter"}]}')
_TOOL = event(
    '{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c1","type":"function",'
    '"function":{"name":"look","arguments":"{}"}}]},"finish_reason":null}]}'
)


@pytest.mark.parametrize(
    "script",
    [
        [STREAM, text_event("Cut"), _CUT, USAGE, DONE, None],
        [STREAM, text_event("No"), _FILTERED, USAGE, DONE, None],
        [STREAM, text_event("See"), _TOOL, FINISH, USAGE, DONE, None],
        [STREAM, FINISH, USAGE, DONE, None],
        [STREAM, *[text_event("x" * 30_000)] * 5, FINISH, USAGE, DONE, None],
    ],
    ids=["cut", "filtered", "tool call", "empty", "too long"],
)
async def test_what_is_not_a_whole_answer_of_words_is_not_kept(alice: Principal, script: list[Step]) -> None:
    await rule(alice, exact=True)
    async with provider(script) as played:
        plan = await offer(alice, played.base_url, ["m"])
        assert (await ask(alice, plan)).gate.begun
        played.script = REPLY
        assert not from_cache(await ask(alice, plan))
        assert from_cache(await ask(alice, plan))


async def test_the_answer_of_a_stand_in_is_not_served_once_the_first_choice_is_back(alice: Principal) -> None:
    await rule(alice, exact=True)
    async with provider(REPLY) as played:
        plan = await offer(alice, played.base_url, ["m"])
        stand_in = replace(plan, candidates=(plan.candidates[0]._replace(after=FallbackKind.ANY),))
        assert [from_cache(await ask(alice, stand_in)) for _ in range(2)] == [False, False]


async def test_a_restarted_answer_is_kept_as_it_ended(alice: Principal, provider_simulator: Simulator) -> None:
    await rule(alice, exact=True)
    plan = await offer(alice, provider_simulator.url, ["bench+tokens=40+fault=die@9", "bench+tokens=12+tps=0"])
    first, second = await ask(alice, plan), await ask(alice, plan)
    assert (len(first.restarts), from_cache(second), second.text) == (1, True, first.text)
    assert second.finished.candidate == plan.candidates[1]


async def test_an_absent_or_slow_cache_is_a_miss_and_never_an_error(
    alice: Principal, provider_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = await offer(alice, provider_simulator.url, ["bench+tps=0"])
    await rule(alice, exact=True)
    await ask(alice, plan)
    silent = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    ports = [1, silent.sockets[0].getsockname()[1]]
    for port in ports:
        monkeypatch.setattr(settings, "REDIS_CACHE_URL", f"redis://127.0.0.1:{port}/0")
        monkeypatch.setattr(exact._clients, "_open", {})
        assert await exact.look_up(alice.tenant_id, b"\0" * 32) is None
        exchange = await ask(alice, plan)
        assert not from_cache(exchange)
        assert isinstance(exchange.finished, Finished)
    silent.close()


async def test_an_unreadable_entry_is_a_miss(alice: Principal, provider_simulator: Simulator) -> None:
    plan = await offer(alice, provider_simulator.url, ["bench"])
    await rule(alice, exact=True)
    await ask(alice, plan)
    with redis.Redis.from_url(settings.REDIS_CACHE_URL) as server:
        (name,) = server.scan_iter(f"{settings.REDIS_PREFIX}{{t:{alice.tenant_id}}}:cached:*", count=1000)
        assert 0 < server.ttl(name) <= 3_600  # type: ignore[operator]
        server.set(name, b'{"text": "half"}')
    assert not from_cache(await ask(alice, plan))
    assert from_cache(await ask(alice, plan))


async def test_many_at_once_are_all_answered_and_leave_one_entry(
    alice: Principal, provider_simulator: Simulator
) -> None:
    plan = await offer(alice, provider_simulator.url, ["bench+tps=0"])
    await rule(alice, exact=True)
    together = await asyncio.gather(*(ask(alice, plan) for _ in range(8)))
    assert len({exchange.text for exchange in together}) == 1
    assert from_cache(await ask(alice, plan))
    assert await database_step(exact.forget, alice.tenant_id) == 1


async def test_a_reader_who_stops_in_the_middle_of_a_hit_leaves_nothing_open(
    alice: Principal, provider_simulator: Simulator
) -> None:
    plan = await offer(alice, provider_simulator.url, ["bench+tokens=900+tps=0"])
    await rule(alice, exact=True)
    await ask(alice, plan)
    gate = RecordingGate()
    prompt = Prompt([{"role": "user", "content": "What is a lease?"}])
    async with aclosing(services.stream(plan, admission(alice, plan), gate, prompt, PATIENT)) as chunks:
        assert isinstance(await anext(chunks), TextDelta)
    assert (gate.begun, gate.ends) == ([], [])
    assert from_cache(await ask(alice, plan))


async def test_clearing_takes_what_is_meant_and_nothing_else(
    alice: Principal, mallory: Principal, provider_simulator: Simulator
) -> None:
    plans = {}
    for person in (alice, mallory):
        await rule(person, exact=True)
        plans[person.user_id] = await offer(person, provider_simulator.url, ["bench+tps=0"])
        await ask(person, plans[person.user_id])
    assert await database_step(exact.forget, alice.tenant_id, model="other") == 0
    assert await database_step(exact.forget, alice.tenant_id, kept_before=1.0) == 0
    assert await database_step(exact.forget, alice.tenant_id, model="m") == 1
    assert not from_cache(await ask(alice, plans[alice.user_id]))
    assert from_cache(await ask(mallory, plans[mallory.user_id]))


async def test_two_members_of_a_workspace_that_shares_nothing_share_nothing(
    alice: Principal, provider_simulator: Simulator
) -> None:
    carol = await database_step(new_member, alice, "Carol")
    plan = await offer(alice, provider_simulator.url, ["bench"])
    await rule(alice, exact=True)
    assert not from_cache(await ask(carol, plan))
    assert not from_cache(await ask(alice, plan))
    assert selectors.snapshot_in_memory(alice.tenant_id) is not None
