"""The client for event loops: the methods of `client.Limits`, awaited. One object per loop."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from apps.limits import protocol
from apps.limits import rebuild as rebuilding
from apps.limits.contracts import (
    Call,
    Cold,
    Collected,
    Counter,
    Decision,
    Memory,
    OpenCall,
    Overview,
    Projection,
    Scope,
    ScopeLimits,
    Settled,
    Tended,
    Wanted,
    word,
)
from apps.limits.errors import Rebuilding
from apps.limits.pipeline import Pipeline

Loader = Callable[[Wanted], Awaitable[Projection]]


class AsyncLimits:
    """Admission over one Redis server.

    Commands of calls that run at the same time travel together, over one connection. Each script runs at most once per
    method call. Repeating a method is safe all the same, since admission and settlement remember the call id.
    """

    def __init__(self, url: str, *, prefix: str = "", timeout_seconds: float = 1.0) -> None:
        self._pipeline = Pipeline(url, timeout_seconds=timeout_seconds)
        self._prefix = prefix

    async def aclose(self) -> None:
        await self._pipeline.aclose()

    @property
    def connections(self) -> int:
        """How many connections there have been. Another one than before: something may be lost."""
        return self._pipeline.connections

    async def admit(
        self,
        tenant_id: str | UUID,
        limits: Sequence[ScopeLimits],
        calls: Sequence[Call],
        *,
        lease_seconds: float,
        epoch: int | None = None,
        enough_nanousd: int | None = None,
    ) -> Decision:
        """Admit all `calls` over all `limits`, or none. `epoch` None: the limits were read just now.

        Where a budget says no and leaves `enough_nanousd`, the caller will ask for less at once: that is no refusal
        yet, and none is counted.

        Calls that are open already are admitted without consuming again. Raises `AlreadySettled`, `OutOfRange`,
        `LimitsUnavailable`.
        """
        command = protocol.admit(
            self._prefix,
            tenant_id,
            limits,
            calls,
            lease_seconds=lease_seconds,
            epoch=epoch,
            enough_nanousd=enough_nanousd,
        )
        return protocol.parse_decision(await self._pipeline.run(command), limits)

    async def admit_warm(
        self,
        tenant_id: str | UUID,
        limits: Sequence[ScopeLimits],
        calls: Sequence[Call],
        *,
        lease_seconds: float,
        load: Loader,
        epoch: int | None = None,
        enough_nanousd: int | None = None,
        open_lease_seconds: float | None = None,
    ) -> Decision:
        """`admit`, rebuilding with `load` while the answer is `Cold`. Raises also `Rebuilding`.

        `open_lease_seconds`: of the calls that `load` finds open, where that is another lease than these calls'.
        """
        for _ in range(rebuilding.ATTEMPTS):
            decision = await self.admit(
                tenant_id, limits, calls, lease_seconds=lease_seconds, epoch=epoch, enough_nanousd=enough_nanousd
            )
            if not isinstance(decision, Cold):
                return decision
            lease = open_lease_seconds or lease_seconds
            await self.rebuild(tenant_id, load, missing=decision.missing, lease_seconds=lease)
        raise Rebuilding("the limits of this tenant were lost again and again")

    async def rebuild(
        self,
        tenant_id: str | UUID,
        load: Loader,
        *,
        missing: Sequence[Counter] = (),
        lease_seconds: float = 60.0,
    ) -> None:
        """Restore what is missing or dirty. Exactly one process calls its `load`; others wait up to 500 ms.

        Open calls get a lease of `lease_seconds`. Raises `Rebuilding`, `LimitsUnavailable`, and what `load` raises.
        """
        steps = rebuilding.steps(self._prefix, tenant_id, missing, lease_seconds)
        step = next(steps)
        while True:
            try:
                reply = await self._take(step, load)
            except BaseException as error:
                step = steps.throw(error)  # raises it again, after giving the lock back where it is held
                continue
            try:
                step = steps.send(reply)
            except StopIteration:
                return

    async def _take(self, step: rebuilding.Step, load: Loader) -> Any:
        if isinstance(step, rebuilding.Run):
            return await self._pipeline.run(step.command)
        if isinstance(step, rebuilding.Load):
            return await load(step.wanted)
        await asyncio.sleep(step.seconds)
        return None

    async def renew(
        self, tenant_id: str | UUID, call_ids: Iterable[str | UUID], *, lease_seconds: float
    ) -> tuple[str, ...]:
        """Lengthen the leases; returns the calls that hold nothing any more (`register` those still running)."""
        return (await self.tend(tenant_id, call_ids, (), lease_seconds=lease_seconds)).lost

    async def tend(
        self,
        tenant_id: str | UUID,
        call_ids: Iterable[str | UUID],
        settled_ids: Iterable[str | UUID],
        *,
        lease_seconds: float,
    ) -> Tended:
        """`renew`, and ask about calls that were settled with records, until these are drained."""
        command = protocol.renew(self._prefix, tenant_id, call_ids, lease_seconds, settled_ids)
        return protocol.parse_tended(await self._pipeline.run(command))

    async def register(
        self, tenant_id: str | UUID, calls: Iterable[OpenCall], *, lease_seconds: float
    ) -> tuple[str, ...]:
        """Hold calls that were admitted before a loss, whatever the limits say; returns those that were not held.

        Those that are `fresh` are debited to the buckets of the minute again, unless only their lease has run out.
        """
        return protocol.parse_call_ids(
            await self._pipeline.run(protocol.register(self._prefix, tenant_id, calls, lease_seconds))
        )

    async def release(self, tenant_id: str | UUID, call_ids: Iterable[str | UUID]) -> tuple[str, ...]:
        """Give back what calls hold that will never cost anything; returns those that held something."""
        return protocol.parse_call_ids(await self._pipeline.run(protocol.release(self._prefix, tenant_id, call_ids)))

    async def abandon(self, tenant_id: str | UUID, call_ids: Iterable[str | UUID]) -> tuple[str, ...]:
        """Give up calls whose end will never be told; their notes go into the stream. Returns those that were open."""
        command = protocol.release(self._prefix, tenant_id, call_ids, abandoned=True)
        return protocol.parse_call_ids(await self._pipeline.run(command))

    async def settle(
        self,
        tenant_id: str | UUID,
        scopes: Sequence[Scope],
        call_id: str | UUID,
        amount_nanousd: int,
        *,
        at: datetime | None = None,
        tokens: int = 0,
        records: Sequence[str] = (),
    ) -> Settled:
        """The call is over and has cost `amount_nanousd`, counted in the day and month of `at` (None: now).

        Without `records`, its cost must be in what `load` reads before; repeating within an hour adds nothing. With
        them, they go into the tenant's settlement stream, for `settlements`; repeating adds nothing for two minutes
        after the last `tend` that named the call.
        """
        command = protocol.settle(self._prefix, tenant_id, scopes, call_id, amount_nanousd, at, tokens, records)
        return protocol.parse_settled(await self._pipeline.run(command))

    async def settlements(
        self, tenant_id: str | UUID, *, grace_seconds: float, after: str = "0-0", count: int = 500
    ) -> Collected:
        """The tenant's settlements after that id, oldest first.

        Calls whose lease ended `grace_seconds` ago or earlier are abandoned first: nobody will tell how they ended.
        """
        command = protocol.collect(self._prefix, tenant_id, grace_seconds, after, count)
        return protocol.parse_collected(await self._pipeline.run(command))

    async def drained(self, tenant_id: str | UUID, up_to_id: str) -> None:
        """All settlements up to this id are written down where `load` reads: forget them."""
        await self._pipeline.run(protocol.drained(self._prefix, tenant_id, up_to_id))

    async def mark_busy(self, tenant_ids: Iterable[str | UUID]) -> None:
        """Say that these tenants' streams have to be read: before a noted call of theirs, and while one is open."""
        parts: list[str] = []
        for tenant_id in tenant_ids:
            parts += [str(int(time.time())), word(tenant_id)]
        if parts:
            await self._pipeline.send("ZADD", protocol.busy_key(self._prefix), *parts)

    async def remembers(self) -> Memory:
        """Since when the server remembers."""
        return protocol.parse_memory(await self._pipeline.run(protocol.remembers(self._prefix)))

    async def peek(self, tenant_id: str | UUID, limits: Sequence[ScopeLimits]) -> Overview | Cold:
        """What is left of each limit."""
        return protocol.parse_overview(await self._pipeline.run(protocol.peek(self._prefix, tenant_id, limits)), limits)

    async def bump_epoch(self, tenant_id: str | UUID) -> int:
        """From now on, callers with an older view of keys and limits are told `Stale`. Call after the commit."""
        return protocol.parse_epoch(await self._pipeline.run(protocol.bump_epoch(self._prefix, tenant_id)))
