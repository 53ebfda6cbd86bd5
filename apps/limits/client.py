"""The blocking client, for threads. One object per process; its pool is shared by all threads."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from redis import BlockingConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, OutOfMemoryError, ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from apps.limits import protocol
from apps.limits import rebuild as rebuilding
from apps.limits.contracts import (
    Call,
    Cold,
    Collected,
    Counter,
    Decision,
    Level,
    LimitKind,
    Memory,
    OpenCall,
    Overview,
    Projection,
    Scope,
    ScopeLimits,
    Settled,
    Tended,
    Wanted,
)
from apps.limits.errors import LimitsUnavailable, Rebuilding

Loader = Callable[[Wanted], Projection]


class Limits:
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

    def close(self) -> None:
        self._redis.close()

    def _run(self, command: protocol.Command) -> Any:
        count, arguments = len(command.keys), (*command.keys, *command.args)
        try:
            try:
                return self._redis.evalsha(command.script.sha, count, *arguments)
            except NoScriptError:
                return self._redis.eval(command.script.text, count, *arguments)
        except (RedisConnectionError, RedisTimeoutError, OutOfMemoryError, ReadOnlyError) as error:
            raise LimitsUnavailable("the limits cannot be checked: Redis does not answer") from error

    def admit(
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
        return protocol.parse_decision(self._run(command), limits)

    def admit_warm(
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
            decision = self.admit(
                tenant_id, limits, calls, lease_seconds=lease_seconds, epoch=epoch, enough_nanousd=enough_nanousd
            )
            if not isinstance(decision, Cold):
                return decision
            lease = open_lease_seconds or lease_seconds
            self.rebuild(tenant_id, load, missing=decision.missing, lease_seconds=lease)
        raise Rebuilding("the limits of this tenant were lost again and again")

    def rebuild(
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
                reply = self._take(step, load)
            except BaseException as error:
                step = steps.throw(error)  # raises it again, after giving the lock back where it is held
                continue
            try:
                step = steps.send(reply)
            except StopIteration:
                return

    def _take(self, step: rebuilding.Step, load: Loader) -> Any:
        if isinstance(step, rebuilding.Run):
            return self._run(step.command)
        if isinstance(step, rebuilding.Load):
            return load(step.wanted)
        time.sleep(step.seconds)
        return None

    def renew(self, tenant_id: str | UUID, call_ids: Iterable[str | UUID], *, lease_seconds: float) -> tuple[str, ...]:
        """Lengthen the leases; returns the calls that hold nothing any more (`register` those still running)."""
        return self.tend(tenant_id, call_ids, (), lease_seconds=lease_seconds).lost

    def tend(
        self,
        tenant_id: str | UUID,
        call_ids: Iterable[str | UUID],
        settled_ids: Iterable[str | UUID],
        *,
        lease_seconds: float,
    ) -> Tended:
        """`renew`, and ask about calls that were settled with records, until these are drained."""
        command = protocol.renew(self._prefix, tenant_id, call_ids, lease_seconds, settled_ids)
        return protocol.parse_tended(self._run(command))

    def register(self, tenant_id: str | UUID, calls: Iterable[OpenCall], *, lease_seconds: float) -> tuple[str, ...]:
        """Hold calls that were admitted before a loss, whatever the limits say; returns those that were not held.

        Those that are `fresh` are debited to the buckets of the minute again, unless only their lease has run out.
        """
        return protocol.parse_call_ids(self._run(protocol.register(self._prefix, tenant_id, calls, lease_seconds)))

    def release(self, tenant_id: str | UUID, call_ids: Iterable[str | UUID]) -> tuple[str, ...]:
        """Give back what calls hold that will never cost anything; returns those that held something."""
        return protocol.parse_call_ids(self._run(protocol.release(self._prefix, tenant_id, call_ids)))

    def abandon(self, tenant_id: str | UUID, call_ids: Iterable[str | UUID]) -> tuple[str, ...]:
        """Give up calls whose end will never be told; their notes go into the stream. Returns those that were open."""
        command = protocol.release(self._prefix, tenant_id, call_ids, abandoned=True)
        return protocol.parse_call_ids(self._run(command))

    def settle(
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
        return protocol.parse_settled(self._run(command))

    def settlements(
        self, tenant_id: str | UUID, *, grace_seconds: float, after: str = "0-0", count: int = 500
    ) -> Collected:
        """The tenant's settlements after that id, oldest first.

        Calls whose lease ended `grace_seconds` ago or earlier are abandoned first: nobody will tell how they ended.
        """
        command = protocol.collect(self._prefix, tenant_id, grace_seconds, after, count)
        return protocol.parse_collected(self._run(command))

    def drained(self, tenant_id: str | UUID, up_to_id: str) -> None:
        """All settlements up to this id are written down where `load` reads: forget them."""
        self._run(protocol.drained(self._prefix, tenant_id, up_to_id))

    def busy(self) -> Mapping[str, str]:
        """Tenants that may have settlements or noted calls, with a mark for `mark_idle`: when it was said last, in
        seconds since 1970."""
        try:
            rows = self._redis.zrange(protocol.busy_key(self._prefix), 0, -1, withscores=True)
        except (RedisConnectionError, RedisTimeoutError) as error:
            raise LimitsUnavailable("the settlements cannot be read: Redis does not answer") from error
        return {tenant.decode(): f"{score:.0f}" for tenant, score in cast(list[tuple[bytes, float]], rows)}

    def mark_idle(self, tenant_id: str, seen: str) -> None:
        """Nothing of this tenant is left to read, unless somebody marked it as busy since it was `seen`."""
        self._run(protocol.mark_idle(self._prefix, tenant_id, seen))

    def remembers(self) -> Memory:
        """Since when the server remembers."""
        return protocol.parse_memory(self._run(protocol.remembers(self._prefix)))

    def peek(self, tenant_id: str | UUID, limits: Sequence[ScopeLimits]) -> Overview | Cold:
        """What is left of each limit."""
        return protocol.parse_overview(self._run(protocol.peek(self._prefix, tenant_id, limits)), limits)

    def refusals(self, tenant_id: str | UUID, minutes: int) -> Mapping[tuple[LimitKind, Level], int]:
        """How many calls were refused in the last minutes, by limit and by whose it was."""
        return protocol.parse_refusals(self._run(protocol.refusals(self._prefix, tenant_id)), minutes)

    def bump_epoch(self, tenant_id: str | UUID) -> int:
        """From now on, callers with an older view of keys and limits are told `Stale`. Call after the commit."""
        return protocol.parse_epoch(self._run(protocol.bump_epoch(self._prefix, tenant_id)))
