"""The client for event loops: the methods of `client.Limits`, awaited. One object per loop."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, OutOfMemoryError, ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError

from apps.limits import protocol
from apps.limits import rebuild as rebuilding
from apps.limits.contracts import (
    Call,
    Cold,
    Counter,
    Decision,
    OpenCall,
    Overview,
    Projection,
    Scope,
    ScopeLimits,
    Settled,
    Wanted,
)
from apps.limits.errors import LimitsUnavailable, Rebuilding

Loader = Callable[[Wanted], Awaitable[Projection]]


class AsyncLimits:
    """Admission over one Redis server.

    The client library's own retries are off: each script runs at most once per method call. Repeating a method is
    safe all the same, since admission and settlement remember the call id.
    """

    def __init__(self, url: str, *, prefix: str = "", timeout_seconds: float = 2.0, max_connections: int = 32) -> None:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=max_connections,
            timeout=timeout_seconds,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
        )
        self._redis = Redis.from_pool(pool)
        self._prefix = prefix

    async def aclose(self) -> None:
        await self._redis.aclose()

    async def _run(self, command: protocol.Command) -> Any:
        count, arguments = len(command.keys), (*command.keys, *command.args)
        try:
            try:
                return await self._redis.evalsha(command.script.sha, count, *arguments)
            except NoScriptError:
                return await self._redis.eval(command.script.text, count, *arguments)
        except (RedisConnectionError, RedisTimeoutError, OutOfMemoryError, ReadOnlyError) as error:
            raise LimitsUnavailable("the limits cannot be checked: Redis does not answer") from error

    async def admit(
        self,
        tenant_id: str | UUID,
        limits: Sequence[ScopeLimits],
        calls: Sequence[Call],
        *,
        lease_seconds: float,
        epoch: int | None = None,
    ) -> Decision:
        """Admit all `calls` over all `limits`, or none. `epoch` None: the limits were read just now.

        Calls that are open already are admitted without consuming again. Raises `AlreadySettled`, `OutOfRange`,
        `LimitsUnavailable`.
        """
        command = protocol.admit(self._prefix, tenant_id, limits, calls, lease_seconds=lease_seconds, epoch=epoch)
        return protocol.parse_decision(await self._run(command))

    async def admit_warm(
        self,
        tenant_id: str | UUID,
        limits: Sequence[ScopeLimits],
        calls: Sequence[Call],
        *,
        lease_seconds: float,
        load: Loader,
        epoch: int | None = None,
    ) -> Decision:
        """`admit`, rebuilding with `load` while the answer is `Cold`. Raises also `Rebuilding`."""
        for _ in range(rebuilding.ATTEMPTS):
            decision = await self.admit(tenant_id, limits, calls, lease_seconds=lease_seconds, epoch=epoch)
            if not isinstance(decision, Cold):
                return decision
            await self.rebuild(tenant_id, load, missing=decision.missing, lease_seconds=lease_seconds)
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
            return await self._run(step.command)
        if isinstance(step, rebuilding.Load):
            return await load(step.wanted)
        await asyncio.sleep(step.seconds)
        return None

    async def renew(
        self, tenant_id: str | UUID, call_ids: Iterable[str | UUID], *, lease_seconds: float
    ) -> tuple[str, ...]:
        """Lengthen the leases; returns the calls that hold nothing any more (`register` those still running)."""
        return protocol.parse_call_ids(
            await self._run(protocol.renew(self._prefix, tenant_id, call_ids, lease_seconds))
        )

    async def register(
        self, tenant_id: str | UUID, calls: Iterable[OpenCall], *, lease_seconds: float
    ) -> tuple[str, ...]:
        """Hold calls that were admitted before a loss, whatever the limits say; returns those that were not held."""
        return protocol.parse_call_ids(
            await self._run(protocol.register(self._prefix, tenant_id, calls, lease_seconds))
        )

    async def release(self, tenant_id: str | UUID, call_ids: Iterable[str | UUID]) -> tuple[str, ...]:
        """Give back what calls hold that will never cost anything; returns those that held something."""
        return protocol.parse_call_ids(await self._run(protocol.release(self._prefix, tenant_id, call_ids)))

    async def settle(
        self,
        tenant_id: str | UUID,
        scopes: Sequence[Scope],
        call_id: str | UUID,
        amount_nanousd: int,
        *,
        at: datetime | None = None,
    ) -> Settled:
        """The call is over and has cost `amount_nanousd`, counted in the day and month of `at` (None: now).

        Its cost must be in the records that `load` reads before. Repeating within an hour adds nothing.
        """
        command = protocol.settle(self._prefix, tenant_id, scopes, call_id, amount_nanousd, at)
        return protocol.parse_settled(await self._run(command))

    async def peek(self, tenant_id: str | UUID, limits: Sequence[ScopeLimits]) -> Overview | Cold:
        """What is left of each limit."""
        return protocol.parse_overview(await self._run(protocol.peek(self._prefix, tenant_id, limits)))

    async def bump_epoch(self, tenant_id: str | UUID) -> int:
        """From now on, callers with an older view of keys and limits are told `Stale`. Call after the commit."""
        return protocol.parse_epoch(await self._run(protocol.bump_epoch(self._prefix, tenant_id)))
