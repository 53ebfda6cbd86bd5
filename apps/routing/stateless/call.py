"""One stateless call from its plan to its settlement. Read `open_call`, then `OpenCall`.

Nothing of it is written down before it ends: what it holds in Redis is a lease that its process renews, and its ledger
lines travel with the settlement. Whoever leaves early ends the call upstream; what was received is settled.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import cache
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from django.conf import settings

from apps.billing import services as billing
from apps.billing.contracts import Admission, CallCost, LedgerLine
from apps.billing.errors import AdmissionUnavailable, OverBudget, SnapshotStale
from apps.routing import queues, services
from apps.routing.access import known
from apps.routing.attempt_log import milliseconds
from apps.routing.contracts import (
    CacheUse,
    Call,
    Candidate,
    Catalogue,
    Chunk,
    Deadlines,
    Difficulty,
    Excluded,
    Finished,
    Plan,
    Prompt,
)
from apps.routing.errors import NoCandidates
from apps.routing.providers import litellm
from apps.routing.rescue import Rescue
from apps.routing.stateless import load
from apps.routing.stateless.gate import CallGate
from apps.routing.stateless.ids import new_id
from apps.routing.wire.asked import Asked
from apps.tenants import selectors as callers
from apps.tenants.contracts import Principal
from apps.tenants.policy import Action, require

# What this process has no adapter for is answered by workers.
ELSEWHERE = "adapter"
# How long the catalogue of a tenant that is new to this process is waited for.
SNAPSHOT_SECONDS = 2.0
STALE_TRIES = 4
_OFFERED_CHUNKS = 64
_LAST_SECONDS = 3.0

# Who is calling, and of which generation of keys that was known.
Find = Callable[[], Awaitable[tuple[Principal, int]]]


async def open_call(find: Find, asked: Asked, cache: CacheUse = CacheUse.USE) -> "OpenCall":
    """Plan the call and admit its `asked.n` answers, all or none.

    Raises as `admitted`, and the refusals of `services.plan`.
    """

    def plan_of(caller: Principal, offered: Catalogue) -> Plan:
        return _answered_here(services.plan(_call(caller, asked, offered, cache), offered))

    return OpenCall(asked, await admitted(find, plan_of, asked.n))


@dataclass(frozen=True, slots=True)
class Admitted:
    """Calls that may be made, of one plan."""

    caller: Principal
    plan: Plan
    admissions: tuple[Admission, ...]


async def admitted(find: Find, plan_of: Callable[[Principal, Catalogue], Plan], n: int = 1) -> Admitted:
    """Admit `n` calls of one plan. `find` says who is calling, and is asked again where what was known is out of date.

    Raises what `find` and `plan_of` raise, `Overloaded`, `Forbidden`, and the refusals of `billing.open_call`.
    """
    found = await find()
    tenant_id = found[0].tenant_id
    load.here().enter(tenant_id, n)
    try:
        return await _admitted(found, find, plan_of, n)
    except BaseException:
        load.here().leave(tenant_id, n)
        raise


async def _admitted(
    found: tuple[Principal, int], find: Find, plan_of: Callable[[Principal, Catalogue], Plan], n: int
) -> Admitted:
    for tries in range(STALE_TRIES):
        caller, generation = found if not tries else await find()
        require(caller, Action.CHAT_ASK)
        snapshot = await known(caller.tenant_id, time.monotonic() + SNAPSHOT_SECONDS)
        plan = plan_of(caller, snapshot.catalogue_for(caller))
        try:
            plan, admissions = await _within_budget(caller, plan, n)
        except SnapshotStale:
            continue
        if callers.generation() == generation:
            return Admitted(caller, plan, admissions)
        # Something was forgotten since the caller was found: the admission may rest on a newer epoch than the key.
        for admission in admissions:
            _close(admission, [], "cancelled")
    raise AdmissionUnavailable("Limits are changing right now. Try again in a moment.", retry_after_seconds=1)


def _call(caller: Principal, asked: Asked, offered: Catalogue, cache: CacheUse) -> Call:
    return Call(
        tenant_id=caller.tenant_id,
        model=asked.model,
        prompt_bytes=asked.prompt_bytes,
        max_output_tokens=asked.max_output_tokens,
        needs=asked.needs,
        difficulty=_difficulty(asked) if asked.model in offered.policies else None,
        # Who asks for several answers wants them to differ.
        cache=CacheUse.BYPASS if asked.n > 1 and cache is CacheUse.USE else cache,
    )


def _difficulty(asked: Asked) -> Difficulty:
    """How hard the last question looks."""
    questions = [message.get("content") for message in asked.prompt.messages if message.get("role") == "user"]
    last = questions[-1] if questions else ""
    if not isinstance(last, str):
        last = "\n".join(part["text"] for part in last or () if part.get("type") == "text")
    return services.difficulty(last, turns_before=max(0, len(questions) - 1), tools=asked.needs.tools)


async def _within_budget(caller: Principal, plan: Plan, n: int) -> tuple[Plan, tuple[Admission, ...]]:
    """Where the budget does not cover the dearest candidates, what it does cover is admitted."""
    ids = [new_id() for _ in range(n)]
    enough_nanousd = n * services.least_nanousd(plan) if len(plan.candidates) > 1 else None
    try:
        return plan, await billing.open_call(caller, _costs(plan, ids), enough_nanousd=enough_nanousd)
    except OverBudget as refused:
        affordable_nanousd = refused.left_nanousd // n
        if affordable_nanousd < services.least_nanousd(plan):
            raise
        plan = services.within(plan, affordable_nanousd)
        return plan, await billing.open_call(caller, _costs(plan, ids))


def _costs(plan: Plan, ids: Sequence[UUID]) -> list[CallCost]:
    return [CallCost(one, plan.amount_bound_nanousd, plan.tokens_bound, plan.model) for one in ids]


def _answered_here(plan: Plan) -> Plan:
    """The plan without what only litellm can ask, where this process holds no litellm. Raises `NoCandidates` where
    nothing is left."""
    if litellm.loaded():
        return plan
    elsewhere = [one for one in plan.candidates if one.adapter == queues.LITELLM]
    if not elsewhere:
        return plan
    kept = tuple(one for one in plan.candidates if one.adapter != queues.LITELLM)
    if all(one.after is not None for one in kept):
        raise NoCandidates(f"{plan.model_name} is not answered here. Ask it through POST /v1/chat/messages.")
    excluded = (Excluded(one.provider_name, one.upstream_model, ELSEWHERE, one.model) for one in elsewhere)
    return replace(plan, candidates=kept, excluded=(*plan.excluded, *excluded))


@dataclass(slots=True)
class Lane:
    """One of the answers. `finished` is None until it ended well."""

    admission: Admission
    gate: CallGate = field(default_factory=CallGate)
    finished: Finished | None = None


class OpenCall:
    """A call that was admitted. Leaving its context settles it, in the background: no caller waits for that.

    `facts` is what the log says of it; all of it is there once the context was left.
    """

    def __init__(self, asked: Asked, leave: Admitted) -> None:
        self.plan = leave.plan
        self.lanes = [Lane(admission) for admission in leave.admissions]
        self.facts: dict[str, Any] = _whose(leave)
        self._prompt = Prompt(asked.prompt.messages, asked.prompt.parameters, whole=not asked.stream)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A caller that hung up cancels the task, or closes the generator that serves it.
        hung_up = isinstance(error, asyncio.CancelledError | GeneratorExit)
        for lane in self.lanes:
            if error is not None and not hung_up:
                # Its caller gets an error and none of the answers, also of those that another lane had finished.
                lane.finished = None
            _settle(lane, hung_up=hung_up)
        self.facts |= self._outcome(hung_up=hung_up)

    @property
    def answering(self) -> Candidate:
        """Who answers the first lane; who is asked first, as long as nobody was."""
        lane = self.lanes[0]
        if lane.finished is not None:
            return lane.finished.candidate
        return lane.gate.asked or self.plan.candidates[0]

    def chunks(self) -> AsyncGenerator[tuple[int, Chunk], None]:
        """What comes, each with the number of its answer. Raises what `services.stream` raises."""
        return self._answer(0) if len(self.lanes) == 1 else self._answers()

    async def _answers(self) -> AsyncGenerator[tuple[int, Chunk], None]:
        offered: _Offered = asyncio.Queue(_OFFERED_CHUNKS)
        tasks = [asyncio.create_task(self._offer(number, offered)) for number in range(len(self.lanes))]
        try:
            open_lanes = len(tasks)
            while open_lanes:
                found = await offered.get()
                if isinstance(found, Exception):
                    raise found
                if found is None:
                    open_lanes -= 1
                else:
                    yield found
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _offer(self, number: int, offered: "_Offered") -> None:
        """Put an answer into the queue, and then how it ended: None, or what went wrong."""
        try:
            async with aclosing(self._answer(number)) as chunks:
                async for chunk in chunks:
                    await offered.put(chunk)
        except Exception as error:
            await offered.put(error)
        else:
            await offered.put(None)

    async def _answer(self, number: int) -> AsyncGenerator[tuple[int, Chunk], None]:
        lane = self.lanes[number]
        answer = services.stream(self.plan, lane.admission, lane.gate, self._prompt, _deadlines(), Rescue.CONTINUE)
        async with aclosing(answer) as chunks:
            async for chunk in chunks:
                if isinstance(chunk, Finished):
                    lane.finished = chunk
                yield number, chunk

    def _outcome(self, *, hung_up: bool) -> dict[str, Any]:
        by, ended = self.answering, [lane.finished for lane in self.lanes if lane.finished is not None]
        first = self.lanes[0].gate.first_token_seconds
        return {
            "state": "cancelled" if hung_up else "completed" if len(ended) == len(self.lanes) else "failed",
            "model": by.model,
            "provider": by.provider,
            "upstream_model": by.upstream_model,
            "attempts": sum(len(lane.gate.ends) for lane in self.lanes),
            "first_token_ms": milliseconds(first),
            "input_tokens": sum(one.usage.input_tokens for one in ended),
            "output_tokens": sum(one.usage.output_tokens for one in ended),
        }


_Offered = asyncio.Queue[tuple[int, Chunk] | Exception | None]


def _whose(leave: Admitted) -> dict[str, Any]:
    caller, first = leave.caller, leave.admissions[0]
    return {
        "call_id": first.call_id.hex,
        "tenant_id": str(caller.tenant_id),
        "user_id": str(caller.user_id),
        "api_key_id": None if caller.api_key_id is None else str(caller.api_key_id),
        "asked": leave.plan.model,
        "answers": len(leave.admissions),
    }


@cache
def _deadlines() -> Deadlines:
    return Deadlines(
        connect_seconds=settings.CONNECT_TIMEOUT_SECONDS,
        first_token_seconds=settings.FIRST_TOKEN_TIMEOUT_SECONDS,
        gap_seconds=settings.GAP_TIMEOUT_SECONDS,
        total_seconds=settings.GENERATION_DEADLINE_SECONDS,
    )


_settling: set["asyncio.Task[None]"] = set()


def _settle(lane: Lane, *, hung_up: bool) -> None:
    state = "completed" if lane.finished is not None else "cancelled" if hung_up else "failed"
    settle(lane.admission, lane.gate.lines(lane.finished, hung_up=hung_up), state)


def settle(admission: Admission, lines: Sequence[LedgerLine], state: str) -> None:
    """Close a call that was admitted, in the background."""
    load.here().leave(admission.tenant_id, 1)
    _close(admission, lines, state)


def _close(admission: Admission, lines: Sequence[LedgerLine], state: str) -> None:
    task = asyncio.get_running_loop().create_task(billing.close_call(admission, lines, state))
    _settling.add(task)
    task.add_done_callback(_settling.discard)


async def settle_all() -> None:
    """Before this loop ends: wait, for seconds at most, until every call that has ended is settled."""
    if tasks := {task for task in _settling if task.get_loop() is asyncio.get_running_loop()}:
        await asyncio.wait(tasks, timeout=_LAST_SECONDS)
    await billing.stop_calls(_LAST_SECONDS)
