"""The answer caches around the attempts: look up before, listen, keep after. Read `stream` top to bottom.

A tenant that uses no cache pays for none of it: its rules come with the snapshot that the attempts need anyway.
"""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterator, Sequence
from contextlib import aclosing
from typing import Any
from uuid import UUID

import structlog
from django.db import DatabaseError

from apps.billing.contracts import Admission
from apps.observability import metrics
from apps.routing import access, attempts, cache_rules, side_calls
from apps.routing.caches import embedding, exact, guards, key, minilm, semantic
from apps.routing.caches.entry import Entry, Recording
from apps.routing.caches.minilm import NotInstalled
from apps.routing.caches.semantic import Place
from apps.routing.contracts import (
    CacheHit,
    CacheKind,
    CacheRules,
    CacheUse,
    Candidate,
    Chunk,
    Deadlines,
    Finished,
    Gate,
    Plan,
    Prompt,
    ReasoningDelta,
    SideCall,
    TextDelta,
    Usage,
)
from apps.routing.errors import BreakersOpen, NoCandidates, ProviderFailed
from apps.routing.rescue import Rescue
from apps.tenants.scope import DATABASE_AWAY, database_step

# Characters per delta of an answer that is there at once: few enough events, and none too large for a frame.
BLOCK = 1_024
# To compare a question by meaning: about 15 ms where nothing is busy, and no answer waits longer for it than this.
SEMANTIC_SECONDS = 0.25
# The same by a provider, whose failure is a miss too.
PROVIDER_SECONDS = 1.0
_SIDE_FAILED = (ProviderFailed, BreakersOpen, NoCandidates)
# Answers on their way into the caches; more than that wait for servers that are away, and are not worth it.
_MOST_KEEPING = 100

_keeping: set["asyncio.Task[None]"] = set()

log = structlog.get_logger(__name__)


async def stream(
    plan: Plan,
    admission: Admission,
    gate: Gate,
    prompt: Prompt,
    deadlines: Deadlines,
    rescue: Rescue = Rescue.RESTART,
) -> AsyncGenerator[Chunk, None]:
    """See `services.stream`. A hit makes no attempt: the gate is not asked, and nothing is charged."""
    rules = CacheRules() if plan.cache is CacheUse.NO_STORE else await _rules(admission.tenant_id)
    store = _Store(rules, plan, admission, gate, prompt) if rules.on else None
    if store is not None and plan.cache is CacheUse.USE and (found := await store.find()) is not None:
        for chunk in _chunks(*found):
            yield chunk
        return
    recording = Recording()
    async with aclosing(attempts.stream(plan, admission, gate, prompt, deadlines, rescue)) as chunks:
        async for chunk in chunks:
            if store is not None and not isinstance(chunk, Finished):
                recording.hear(chunk)
            yield chunk
            # Afterwards: who screens the answer closes the stream at its end, where it is not to be kept as it is.
            if store is not None and isinstance(chunk, Finished):
                store.keep(recording.entry(chunk))


async def settled() -> None:
    """Wait until what this loop is keeping is kept."""
    loop = asyncio.get_running_loop()
    await asyncio.gather(*(task for task in _keeping if task.get_loop() is loop), return_exceptions=True)


class _Store:
    """The caches as one call meets them."""

    def __init__(self, rules: CacheRules, plan: Plan, admission: Admission, gate: Gate, prompt: Prompt) -> None:
        self._rules = rules
        self._admission, self._gate = admission, gate
        self._side = _embedding_of(rules, plan)
        self._plan = plan
        self._tenant_id = admission.tenant_id
        self._owner_id = key.owner_of(rules.scope, admission.user_id)
        self._exact = key.exact_key(self._tenant_id, self._owner_id, plan, prompt) if rules.exact else None
        self._place = self._meant(prompt) if rules.semantic else None
        self._vector: Sequence[float] | None = None

    def _meant(self, prompt: Prompt) -> Place | None:
        """Where a question of the same meaning would stand."""
        question, embedder = key.last_question(prompt), self._rules.embedder
        if embedder != minilm.FINGERPRINT and self._side is None:
            return None
        signature = guards.signature(question)
        if signature is None or "\x00" in question:
            return None
        context = key.context_key(
            self._tenant_id, self._owner_id, self._plan, prompt, embedder=embedder, signature=signature
        )
        if context is None:
            return None
        return Place(self._tenant_id, self._owner_id, context, embedder, question)

    async def find(self) -> tuple[Entry, Candidate, CacheHit] | None:
        """The answer to serve, who gave it, and what kind of hit it is."""
        if self._exact is not None:
            entry = await exact.look_up(self._tenant_id, self._exact)
            if served := self._served(entry, CacheKind.EXACT):
                return served
        if self._place is None:
            return None
        found = await self._find_meant(self._place)
        return self._served(None if found is None else found[0], CacheKind.SEMANTIC, found[1] if found else 0.0)

    async def _find_meant(self, place: Place) -> tuple[Entry, float] | None:
        try:
            self._vector = await self._read(place.question)
            if self._vector is None:
                return None
            async with asyncio.timeout(SEMANTIC_SECONDS):
                return await database_step(semantic.look_up, place, self._vector, self._rules)
        except (TimeoutError, NotInstalled, *_SIDE_FAILED, DatabaseError, *DATABASE_AWAY) as error:
            log.warning("cache.semantic_away", error=type(error).__name__)
            return None

    async def _read(self, question: str) -> Sequence[float] | None:
        """The question's vector: by the model in this process, or by a provider, who is paid through the gate."""
        if self._side is not None:
            return await side_calls.embed(
                self._side, self._admission, self._gate, question, timeout_seconds=PROVIDER_SECONDS
            )
        async with asyncio.timeout(SEMANTIC_SECONDS):
            return await embedding.embed(question)

    def keep(self, entry: Entry | None) -> None:
        """Store a finished answer, after it has been given: nobody waits for it."""
        if entry is None:
            return
        if self._exact is not None:
            _start(exact.keep(self._tenant_id, self._exact, entry, self._rules.exact_ttl_seconds))
        # Once the answer is given its gate is closed: without a vector from before, a provider is not asked for one.
        if self._place is not None and (self._vector is not None or self._side is None):
            _start(self._keep_meant(self._place, entry))

    async def _keep_meant(self, place: Place, entry: Entry) -> None:
        try:
            vector = self._vector or await embedding.embed(place.question)
            if vector is not None:
                await database_step(semantic.keep, place, vector, entry, self._rules)
        except (NotInstalled, DatabaseError, *DATABASE_AWAY) as error:
            log.warning("cache.not_kept", error=type(error).__name__)

    def _served(
        self, entry: Entry | None, kind: CacheKind, similarity: float = 1.0
    ) -> tuple[Entry, Candidate, CacheHit] | None:
        candidate = None if entry is None else entry.candidate(self._plan)
        if entry is None or candidate is None:
            metrics.cache_looked_up(kind.value, hit=False)
            return None
        hit = entry.hit(kind, candidate, similarity)
        metrics.cache_looked_up(kind.value, hit=True, saved_nanousd=hit.saved_nanousd)
        log.info("cache.hit", kind=kind.value, model=candidate.model, age_seconds=round(hit.age_seconds))
        return entry, candidate, hit


def _embedding_of(rules: CacheRules, plan: Plan) -> SideCall | None:
    """The provider's deployment that gives the vectors, where it is the very one that was measured."""
    return next(
        (one for one in plan.side if cache_rules.fingerprint_of_candidate(one.candidate) == rules.embedder), None
    )


def _chunks(entry: Entry, candidate: Candidate, hit: CacheHit) -> Iterator[Chunk]:
    """The stored answer as a stream of its own, with nothing used."""
    if entry.reasoning:
        yield ReasoningDelta(entry.reasoning)
    for start in range(0, len(entry.text), BLOCK):
        yield TextDelta(entry.text[start : start + BLOCK])
    yield Finished("stop", Usage(0, 0), entry.attempt_id, candidate, cache=hit)


async def _rules(tenant_id: UUID) -> CacheRules:
    """The tenant's rules; without a database there is no cache either."""
    try:
        return (await access.known(tenant_id, 0.0)).catalogue.cache
    except DATABASE_AWAY:
        return CacheRules()


def _start(work: Coroutine[Any, Any, None]) -> None:
    if len(_keeping) >= _MOST_KEEPING:
        work.close()
        return
    task = asyncio.create_task(work)
    _keeping.add(task)
    task.add_done_callback(_kept)


def _kept(task: "asyncio.Task[None]") -> None:
    _keeping.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("cache.failed", exc_info=error)
