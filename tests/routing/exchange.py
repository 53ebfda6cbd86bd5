"""One call through routing against a provider: what was offered, what came, what the gate was told, what was billed."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import aiohttp
from uuid6 import uuid7

from apps.billing.contracts import Admission
from apps.problems import Problem
from apps.routing import selectors, services
from apps.routing.contracts import (
    AttemptEnd,
    Call,
    Candidate,
    Chunk,
    Deadlines,
    Finished,
    NewPrice,
    Plan,
    Prompt,
    ReasoningDelta,
    Restarted,
    TextDelta,
)
from apps.tenants.contracts import Principal
from apps.tenants.scope import database_step

PRICE = NewPrice(150_000_000, 600_000_000, cached_input_nanousd_per_mtok=75_000_000)
PATIENT = Deadlines(connect_seconds=2, first_token_seconds=5, gap_seconds=5, total_seconds=20)
QUESTION = "How does a bicycle stay upright?"


class RecordingGate:
    """Lets everything pass, or nothing from attempt `closed_from` on, and remembers."""

    def __init__(self, *, closed_from: int = 99) -> None:
        self.begun: list[tuple[UUID, Candidate, int]] = []
        self.ends: list[AttemptEnd] = []
        self._closed_from = closed_from

    async def begin(self, candidate: Candidate) -> UUID:
        number = len(self.begun) + 1
        if number >= self._closed_from:
            raise GateClosed
        attempt_id = uuid7()
        self.begun.append((attempt_id, candidate, number))
        return attempt_id

    def ended(self, end: AttemptEnd) -> None:
        self.ends.append(end)


class GateClosed(Exception):
    """No further call may begin."""


@dataclass(slots=True)
class Exchange:
    """What one call gave. `error` is the problem it ended with, if it did not finish."""

    gate: RecordingGate
    chunks: list[Chunk] = field(default_factory=list)
    error: Problem | GateClosed | None = None
    seconds: float = 0.0

    @property
    def kept(self) -> list[Chunk]:
        """What is still valid: everything after the last restart."""
        restarts = [place for place, chunk in enumerate(self.chunks) if isinstance(chunk, Restarted)]
        return self.chunks[restarts[-1] + 1 :] if restarts else self.chunks

    @property
    def text(self) -> str:
        return "".join(chunk.text for chunk in self.kept if isinstance(chunk, TextDelta))

    @property
    def reasoning(self) -> str:
        return "".join(chunk.text for chunk in self.kept if isinstance(chunk, ReasoningDelta))

    @property
    def restarts(self) -> list[str]:
        return [chunk.reason for chunk in self.chunks if isinstance(chunk, Restarted)]

    @property
    def finished(self) -> Finished:
        last = self.chunks[-1]
        assert isinstance(last, Finished), f"ended with {last} and {self.error!r}"
        return last

    @property
    def story(self) -> list[tuple[str, str, str | None]]:
        """(upstream model, state, error code) of each attempt, in the order they ended."""
        assert [end.attempt_id for end in self.gate.ends] == [begun[0] for begun in self.gate.begun]
        assert [end.number for end in self.gate.ends] == list(range(1, len(self.gate.ends) + 1))
        return [(end.candidate.upstream_model, end.state.value, end.error_code) for end in self.gate.ends]


def offer_now(
    principal: Principal,
    base_url: str,
    upstream_models: Sequence[str],
    *,
    key: str = "sk-test",
    slug: str = "m",
    adapter: str = "openai_compatible",
) -> Plan:
    """Offer one model, served under these upstream names in this order of priority, and plan a call to it."""
    provider_id = services.add_provider(
        name="Sim", base_url=base_url, key=key, tenant_id=principal.tenant_id, adapter=adapter
    )
    for place, upstream_model in enumerate(upstream_models):
        services.register_model(
            provider_id=provider_id,
            upstream_model=upstream_model,
            slug=slug,
            price=PRICE,
            max_output_tokens=4_096,
            priority=place + 1,
        )
    return services.plan(Call(principal.tenant_id, slug, 200), selectors.catalogue(principal.tenant_id))


async def offer(
    principal: Principal,
    base_url: str,
    upstream_models: Sequence[str],
    *,
    key: str = "sk-test",
    slug: str = "m",
    adapter: str = "openai_compatible",
) -> Plan:
    """`offer_now` from an event loop."""
    return await database_step(offer_now, principal, base_url, upstream_models, key=key, slug=slug, adapter=adapter)


def admission(principal: Principal, plan: Plan) -> Admission:
    return Admission(
        call_id=uuid7(),
        tenant_id=principal.tenant_id,
        user_id=principal.user_id,
        api_key_id=None,
        amount_nanousd=plan.amount_bound_nanousd,
        admitted_at=datetime.now(UTC),
    )


async def converse(
    principal: Principal,
    plan: Plan,
    *,
    deadlines: Deadlines = PATIENT,
    gate: RecordingGate | None = None,
    parameters: dict[str, Any] | None = None,
    rescue: services.Rescue = services.Rescue.RESTART,
) -> Exchange:
    """Stream the plan's answer to `QUESTION` to its end, good or bad."""
    exchange = Exchange(gate or RecordingGate())
    prompt = Prompt([{"role": "user", "content": QUESTION}], parameters or {})
    began = time.monotonic()
    try:
        async with aclosing(
            services.stream(plan, admission(principal, plan), exchange.gate, prompt, deadlines, rescue)
        ) as chunks:
            async for chunk in chunks:
                exchange.chunks.append(chunk)
    except (Problem, GateClosed) as error:
        exchange.error = error
    exchange.seconds = time.monotonic() - began
    return exchange


async def billed(simulator_url: str, attempt_id: UUID) -> dict[str, Any]:
    """The simulator's own line for an attempt, once that call has ended."""
    async with aiohttp.ClientSession() as session:
        for _ in range(100):
            async with session.get(f"{simulator_url}/control/bill", params={"attempt_id": str(attempt_id)}) as response:
                lines = (await response.json())["calls"]
            if lines and lines[0]["ended_at"] is not None:
                assert len(lines) == 1, "an attempt is one call"
                line: dict[str, Any] = lines[0]
                return line
            await asyncio.sleep(0.01)
    raise AssertionError(f"no ended call of attempt {attempt_id}: {lines}")
