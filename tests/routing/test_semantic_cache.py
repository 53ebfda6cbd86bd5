"""Answers served to the same question in other words: to whom, where nothing tells the questions apart."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from django.db.models.functions import Now
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.routing import attempts, cache_clearing, cache_settings, caching, selectors, services
from apps.routing.caches import embedding, guards, minilm, semantic
from apps.routing.caches.entry import Entry
from apps.routing.contracts import (
    AttemptState,
    CacheKind,
    CacheRules,
    CacheScope,
    CacheUse,
    Call,
    Chunk,
    Finished,
    ModelKind,
    NewPrice,
    Plan,
    TextDelta,
    Usage,
)
from apps.routing.errors import CacheRulesRefused
from apps.routing.models import CacheEvidence, LanguageModel, SemanticAnswer
from apps.tenants import membership
from apps.tenants.audit import Actor
from apps.tenants.contracts import Principal
from apps.tenants.models import AuditEntry, Membership
from apps.tenants.scope import database_step, tenant_scope
from tests.people import new_member
from tests.processes import Simulator
from tests.routing.cached import ask, from_cache, rule
from tests.routing.cached_plan import CANDIDATE, PLAN
from tests.routing.exchange import offer
from tests.routing.meaning import embed, speak_for

pytestmark = pytest.mark.usefixtures("by_meaning")

Steps = list[tuple[object, ...]]
COMMAND = Actor.command("test")
ASKED = "How do I undo my last git commit?"
OTHERWISE = "Please explain how I can undo my last git commit."


@pytest.fixture
def by_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded model counts as installed, and reads by `embed`."""
    monkeypatch.setattr(minilm, "installed", lambda: True)
    monkeypatch.setattr(embedding, "embed", embed)


async def switched_on(principal: Principal, simulator: Simulator, **rules: object) -> Plan:
    plan = await offer(principal, simulator.url, ["bench+tps=0"])
    await database_step(speak_for, principal.tenant_id)
    await rule(principal, semantic=True, threshold=0.85, **rules)
    return plan


def stored(principal: Principal) -> int:
    with tenant_scope(principal.tenant_id):
        return SemanticAnswer.objects.count()


async def test_the_same_in_other_words_is_served_and_says_how_alike_it_is(
    alice: Principal, provider_simulator: Simulator
) -> None:
    plan = await switched_on(alice, provider_simulator)
    first, second = await ask(alice, plan, ASKED), await ask(alice, plan, OTHERWISE)
    assert (from_cache(first), from_cache(second), second.text) == (False, True, first.text)
    hit = second.finished.cache
    assert hit is not None
    assert hit.kind is CacheKind.SEMANTIC
    assert 0.85 <= hit.similarity <= 1
    assert hit.saved_nanousd > 0


@pytest.mark.parametrize(
    "question",
    [
        "How do I undo my last 2 git commits?",
        "How do I not undo my last git commit?",
        "Why do I undo my last git commit?",
        "How do I undo my last svn commit?",
        "How do I undo my last git commit on Windows?",
        "How do I undo my last `git` commit?",
        "What is the weather like?",
    ],
)
async def test_what_asks_something_else_is_not(alice: Principal, provider_simulator: Simulator, question: str) -> None:
    plan = await switched_on(alice, provider_simulator)
    await ask(alice, plan, ASKED)
    assert not from_cache(await ask(alice, plan, question))
    assert from_cache(await ask(alice, plan, OTHERWISE))


async def test_everything_but_the_last_question_must_agree_exactly(
    alice: Principal, provider_simulator: Simulator
) -> None:
    plan = await switched_on(alice, provider_simulator)
    before = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]
    await ask(alice, plan, ASKED, before=before)
    assert not from_cache(await ask(alice, plan, OTHERWISE))
    assert not from_cache(await ask(alice, plan, OTHERWISE, before=[before[0], {**before[1], "content": "Hi!"}]))
    assert not from_cache(await ask(alice, plan, OTHERWISE, before=before, temperature=1))
    assert from_cache(await ask(alice, plan, OTHERWISE, before=before))


async def test_a_bypass_replaces_and_what_is_too_old_or_too_much_goes(
    alice: Principal, provider_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = await switched_on(alice, provider_simulator, max_entries=10)
    await ask(alice, plan, ASKED)
    await ask(alice, plan, ASKED, use=CacheUse.BYPASS)
    await ask(alice, plan, ASKED, use=CacheUse.NO_STORE)
    assert await database_step(stored, alice) == 1
    for number in range(12):
        await ask(alice, plan, f"What happened in the year {1900 + number}?")
    assert await database_step(stored, alice) == 10
    assert not from_cache(await ask(alice, plan, OTHERWISE)), "the least recently used went first"
    assert from_cache(await ask(alice, plan, "Please tell me what happened in the year 1911."))
    rules = replace(selectors.catalogue(alice.tenant_id).cache, semantic_ttl_seconds=0)

    async def expired(_tenant_id: UUID) -> CacheRules:
        return rules

    monkeypatch.setattr(caching, "_rules", expired)
    assert not from_cache(await ask(alice, plan, "Please tell me what happened in the year 1911."))


async def test_without_evidence_it_stays_off_and_goes_off(alice: Principal, provider_simulator: Simulator) -> None:
    with pytest.raises(CacheRulesRefused):
        await rule(alice, semantic=True)
    plan = await switched_on(alice, provider_simulator)
    await ask(alice, plan, ASKED)
    assert from_cache(await ask(alice, plan, OTHERWISE))
    await database_step(speak_for, alice.tenant_id, guards=99)
    assert not from_cache(await ask(alice, plan, OTHERWISE)), "measured with other guards"
    await database_step(speak_for, alice.tenant_id, fingerprint="other weights")
    assert not from_cache(await ask(alice, plan, OTHERWISE))
    await database_step(speak_for, alice.tenant_id, 0.95)
    assert not from_cache(await ask(alice, plan, OTHERWISE)), "a threshold below what was measured"
    with pytest.raises(CacheRulesRefused) as refused:
        await rule(alice, threshold=0.9)
    assert set(refused.value.fields or {}) == {"threshold"}
    await rule(alice, threshold=0.95)
    assert from_cache(await ask(alice, plan, ASKED))


def by_provider(principal: Principal, url: str, upstream: str) -> None:
    """Have questions compared by a provider's model, as if it had been measured."""
    provider = services.add_provider(name="Side", base_url=url, key="sk-test", tenant_id=principal.tenant_id)
    made = services.register_model(
        provider_id=provider, upstream_model=upstream, slug="vectors", price=NewPrice(20_000_000, 0)
    )
    LanguageModel.objects.using("engine").filter(id=made.model_id).update(kind=ModelKind.EMBEDDING)
    fingerprint = f"vectors@side/{upstream}"
    CacheEvidence.objects.using("engine").create(
        tenant_id=principal.tenant_id,
        embedding_model="vectors",
        fingerprint=fingerprint,
        guards=guards.VERSION,
        threshold=0.5,
        report={},
    )
    cache_settings.change_rules(principal, semantic=True, embedding_model="vectors", threshold=0.6)


@pytest.mark.parametrize(("upstream", "works"), [("demo-embed", True), ("demo-embed+fault=500", False)])
async def test_a_providers_embedding_passes_the_gate_and_its_failure_is_a_miss(
    alice: Principal, provider_simulator: Simulator, upstream: str, works: bool
) -> None:
    await offer(alice, provider_simulator.url, ["bench+tps=0"])
    await database_step(by_provider, alice, provider_simulator.url, upstream)
    plan = services.plan(Call(alice.tenant_id, "m", 400), await database_step(selectors.catalogue, alice.tenant_id))
    assert [one.candidate.model for one in plan.side] == ["vectors"]
    first, second = await ask(alice, plan, ASKED), await ask(alice, plan, ASKED)
    kinds = [end.candidate.kind for end in first.gate.ends]
    assert kinds == [ModelKind.EMBEDDING, ModelKind.CHAT]
    assert (second.finished.cache is not None) is works
    assert [end.candidate.kind for end in second.gate.ends] == [
        ModelKind.EMBEDDING,
        *([] if works else [ModelKind.CHAT]),
    ]
    assert second.gate.ends[0].state is (AttemptState.WON if works else AttemptState.FAILED)


async def test_a_database_or_a_model_that_does_not_answer_is_a_miss(
    alice: Principal, provider_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = await switched_on(alice, provider_simulator)
    await ask(alice, plan, ASKED)
    monkeypatch.setattr(caching, "SEMANTIC_SECONDS", 0.05)

    async def slow(text: str) -> list[float] | None:
        await asyncio.sleep(0.3)
        return None

    with monkeypatch.context() as patched:
        patched.setattr(embedding, "embed", slow)
        exchange = await ask(alice, plan, OTHERWISE)
    assert not from_cache(exchange)
    with monkeypatch.context() as patched:
        patched.setattr(semantic, "_LOOK_UP", "SELECT pg_sleep(0.2) WHERE %(tenant)s::text = ''")
        assert not from_cache(await ask(alice, plan, "How do I boil eggs?"))


async def test_a_vector_that_points_nowhere_is_like_nothing(
    alice: Principal, provider_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = await switched_on(alice, provider_simulator)
    await ask(alice, plan, ASKED)

    async def nowhere(text: str) -> list[float] | None:
        return [0.0] * 32

    monkeypatch.setattr(embedding, "embed", nowhere)
    assert not from_cache(await ask(alice, plan, OTHERWISE))


async def test_switching_it_off_and_leaving_forget_what_was_stored(
    alice: Principal, provider_simulator: Simulator
) -> None:
    plan = await switched_on(alice, provider_simulator)
    carol = await database_step(new_member, alice, "Carol")
    await ask(alice, plan, ASKED)
    await ask(carol, plan, ASKED)

    def leave() -> None:
        row = Membership.objects.using("engine").get(tenant_id=alice.tenant_id, user_id=carol.user_id)
        membership.suspend(alice, row.id)

    await database_step(leave)
    assert await database_step(stored, alice) == 1
    await rule(alice, semantic=False)
    assert await database_step(stored, alice) == 0


async def test_clearing_is_told_and_takes_one_tenants_alone(
    alice: Principal, mallory: Principal, provider_simulator: Simulator
) -> None:
    for person in (alice, mallory):
        plan = await switched_on(person, provider_simulator)
        await ask(person, plan, ASKED)

    def clear(**more: object) -> int:
        wanted = {"model": None, "kept_before": None, **more}
        return cache_clearing.clear(alice.tenant_id, actor=COMMAND, **wanted).semantic  # type: ignore[arg-type]

    assert [await database_step(clear, model="other"), await database_step(clear, kept_before=1.0)] == [0, 0]
    assert await database_step(clear, model="m") == 1
    assert [await database_step(stored, person) for person in (alice, mallory)] == [0, 1]

    def told() -> int:
        with tenant_scope(alice.tenant_id):
            return AuditEntry.objects.filter(action="answer_caches.cleared").count()

    assert await database_step(told) == 3


def test_foreign_rows_can_be_neither_seen_nor_changed_nor_made(alice: Principal, mallory: Principal) -> None:
    place = semantic.Place(alice.tenant_id, None, b"c" * 32, "e", ASKED)
    rules = CacheRules(semantic=True, threshold=0.5)
    entry = _entry("for Alice's workspace")
    semantic.keep(place, [1.0, 0.0], entry, rules)
    assert semantic.look_up(place, [1.0, 0.0], rules) == (entry, 1.0)
    with tenant_scope(mallory.tenant_id):
        assert not SemanticAnswer.objects.exists()
        assert SemanticAnswer.objects.update(last_used_at=Now()) == 0
        assert SemanticAnswer.objects.all().delete()[0] == 0
    assert semantic.look_up(replace(place, tenant_id=mallory.tenant_id), [1.0, 0.0], rules) is None
    assert semantic.look_up(replace(place, owner_id=alice.user_id), [1.0, 0.0], rules) is None
    assert semantic.look_up(replace(place, context=b"d" * 32), [1.0, 0.0], rules) is None


def _entry(text: str) -> Entry:
    return Entry(text, "", Usage(1, 1), uuid4(), CANDIDATE.deployment_id, "m", 1.0)


# Two ways to ask each of three things.
QUESTIONS = (
    (ASKED, OTHERWISE),
    ("What is the capital of Portugal?", "Which city is the capital of Portugal?"),
    ("Why is the sky blue?", "Please explain why the sky is blue."),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 3), st.integers(0, 2), st.integers(0, 1), st.booleans()),
        st.tuples(st.just("scope"), st.integers(0, 1), st.sampled_from(CacheScope)),
    ),
    min_size=4,
    max_size=14,
)


class World:
    """Two tenants with two people each, asking through `caching.stream`, beside a model of what each may meet."""

    def __init__(self, people: tuple[Principal, ...]) -> None:
        self.people = people
        self.scopes = {person.tenant_id: CacheScope.OWN for person in people}
        self.known: dict[tuple[object, ...], str] = {}
        self.count = self.hits = 0

    async def rules(self, tenant_id: UUID) -> CacheRules:
        scope = self.scopes[tenant_id]
        return CacheRules(exact=True, semantic=True, threshold=0.85, scope=scope, embedder=minilm.FINGERPRINT)

    async def answer(self, *_: object, **_more: object) -> AsyncGenerator[Chunk, None]:
        self.count += 1
        yield TextDelta(f"answer {self.count}")
        yield Finished("stop", Usage(1, 1), uuid4(), CANDIDATE)

    async def step(self, step: tuple[object, ...]) -> None:
        if step[0] == "scope":
            tenant = self.people[2 * step[1]].tenant_id  # type: ignore[operator]
            self.scopes[tenant] = step[2]  # type: ignore[assignment]
            return
        _, who, what, wording, bypass = step
        person = self.people[who]  # type: ignore[index]
        owner = person.user_id if self.scopes[person.tenant_id] is CacheScope.OWN else None
        place = person.tenant_id, owner, what
        use = CacheUse.BYPASS if bypass else CacheUse.USE
        exchange = await ask(person, PLAN, QUESTIONS[what][wording], use=use)  # type: ignore[index]
        expected = None if bypass else self.known.get(place)
        assert (exchange.finished.cache is not None) is (expected is not None)
        if expected is None:
            self.known[place] = exchange.text
        else:
            self.hits += 1


@given(steps=STEPS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_history_of_questions_crosses_tenants_or_people(
    alice: Principal,
    bob: Principal,
    mallory: Principal,
    monkeypatch: pytest.MonkeyPatch,
    steps: list[tuple[object, ...]],
) -> None:
    run_history((alice, bob, mallory, _second(mallory)), monkeypatch, steps)


_seconds: dict[UUID, Principal] = {}


def _second(owner: Principal) -> Principal:
    if owner.user_id not in _seconds:
        _seconds[owner.user_id] = new_member(owner, "Oscar")
    return _seconds[owner.user_id]


def run_history(people: tuple[Principal, ...], monkeypatch: pytest.MonkeyPatch, steps: list[tuple[object, ...]]) -> int:
    """Plays the steps; returns how many were hits."""
    world = World(people)
    for tenant_id in world.scopes:
        cache_clearing.clear(tenant_id, model=None, kept_before=None, actor=COMMAND)
    monkeypatch.setattr(caching, "_rules", world.rules)
    monkeypatch.setattr(services, "snapshot_in_memory", lambda tenant_id: None)
    monkeypatch.setattr(attempts, "stream", world.answer)

    async def play() -> None:
        for step in steps:
            await world.step(step)

    asyncio.run(play())
    return world.hits


def test_the_history_that_should_hit_does(
    alice: Principal, bob: Principal, mallory: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = ("scope", 0, CacheScope.WORKSPACE)
    steps: list[tuple[object, ...]] = [
        ("ask", 0, 0, 0, False),
        ("ask", 0, 0, 1, False),  # hit: her own, in other words
        ("ask", 1, 0, 0, False),
        ("ask", 2, 0, 0, False),
        share,
        ("ask", 0, 0, 0, False),
        ("ask", 1, 0, 1, False),  # hit: the workspace's
        ("ask", 3, 0, 1, False),
    ]
    assert run_history((alice, bob, mallory, _second(mallory)), monkeypatch, steps) == 2


def test_the_rules_of_another_workspace_do_not_hold_here(alice: Principal, mallory: Principal) -> None:
    speak_for(alice.tenant_id)
    cache_settings.change_rules(alice, semantic=True)
    assert selectors.catalogue(alice.tenant_id).cache.semantic
    assert not selectors.catalogue(mallory.tenant_id).cache.on
