"""Stateless calls of one event loop, from admission to the ledger. On their way nothing touches PostgreSQL.

What a call settled is kept in memory until the ledger has it, so that a lost Redis loses nothing while this process
lives; and what Redis holds of a call tells the ledger about it if this process dies. One of both always knows.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID
from weakref import WeakKeyDictionary

import structlog
from django.conf import settings

from apps.billing import clients, settlement, snapshots
from apps.billing.contracts import Admission, Allowance, CallCost, LedgerLine
from apps.billing.counters import STALE_TRIES, open_lease_seconds
from apps.billing.errors import AdmissionUnavailable, SnapshotStale
from apps.billing.ledger import charged_nanousd, used_tokens
from apps.billing.reading import Reading
from apps.billing.refusals import is_refused, refusal, tightest
from apps.billing.remembered_calls import Held, Settling, TenantCalls
from apps.billing.snapshots import TenantLimits
from apps.limits.async_client import AsyncLimits
from apps.limits.contracts import (
    MAX_COUNT,
    MAX_NANOUSD,
    Admitted,
    Call,
    Cold,
    Decision,
    Refused,
    ScopeLimits,
    Stale,
)
from apps.limits.errors import LimitsError, LimitsUnavailable, Rebuilding
from apps.observability import metrics
from apps.tenants.contracts import Principal

LEASE_SECONDS = 20.0
RENEW_SECONDS = 5.0
_TICK_SECONDS = 0.5
# A tenant is named to the drainers this often while it has calls here; they forget it after a minute of silence.
_BUSY_SECONDS = 5.0
_CLOSE_TRIES = 2
_MINUTE_SECONDS = 60.0
_COLD_TRIES = 5
# Copies for the case that Redis is lost. Beyond this the stream alone holds them.
_MOST_COPIES = 50_000

# Which of a tenant's limits a person's call, perhaps with a key, is asked about.
LimitsOf = Callable[[TenantLimits, UUID, UUID | None], Sequence[ScopeLimits]]

log = structlog.get_logger(__name__)


class OpenCalls:
    """One object per event loop; see `services.open_call` and `services.close_call`."""

    def __init__(self, limits: AsyncLimits) -> None:
        self._limits = limits
        self._tenants: dict[UUID, TenantCalls] = {}
        self._copies = 0
        self._tending: asyncio.Task[None] | None = None
        self._repairs: set[asyncio.Task[None]] = set()
        self._seen: tuple[str, int] | None = None
        self._reading = Reading(limits, lease_seconds=open_lease_seconds())

    async def take_request(self, principal: Principal, call_id: UUID) -> tuple[Allowance, ...]:
        """See `services.take_request`. Of a call that holds nothing, only the request is left when it is given back."""
        (admission,) = await self.open(principal, [CallCost(call_id, 0)], None, TenantLimits.of_requests)
        await self.close(admission, [], "counted")
        return admission.allowances

    async def open(
        self,
        principal: Principal,
        calls: Sequence[CallCost],
        epoch: int | None,
        limits_of: LimitsOf = TenantLimits.of,
        enough_nanousd: int | None = None,
    ) -> tuple[Admission, ...]:
        now = datetime.now(UTC)
        asked = [
            Call(str(one.call_id), one.amount_nanousd, one.tokens, settlement.note(principal, one, now))
            for one in calls
        ]
        tenant = self._tenant(principal.tenant_id)
        tenant.asking += 1
        try:
            decision, snapshot = await self._decide(principal, asked, epoch, tenant, limits_of, enough_nanousd)
            scopes = snapshot.scopes(principal.user_id, principal.api_key_id)
            for call in asked:
                tenant.open[call.call_id] = Held(call, scopes)
        finally:
            tenant.asking -= 1
        if decision.dirty:
            self._repair(principal.tenant_id, tenant)
        left = tightest(decision.left)
        return tuple(
            Admission(
                call_id=one.call_id,
                tenant_id=principal.tenant_id,
                user_id=principal.user_id,
                api_key_id=principal.api_key_id,
                amount_nanousd=one.amount_nanousd,
                admitted_at=now,
                tokens=one.tokens,
                allowances=left,
            )
            for one in calls
        )

    async def _decide(
        self,
        principal: Principal,
        asked: Sequence[Call],
        epoch: int | None,
        tenant: TenantCalls,
        limits_of: LimitsOf,
        enough_nanousd: int | None,
    ) -> tuple[Admitted, TenantLimits]:
        tenant_id = principal.tenant_id
        snapshot = await self._reading.snapshot(tenant_id)
        for _ in range(STALE_TRIES):
            seen = snapshot.epoch if epoch is None else min(epoch, snapshot.epoch)
            limits = limits_of(snapshot, principal.user_id, principal.api_key_id)
            decision = await self._ask(principal.tenant_id, limits, asked, seen, tenant, enough_nanousd)
            if isinstance(decision, Stale):
                metrics.admission("stale")
                snapshot = await self._reading.reload(tenant_id, decision.epoch)
                if snapshots.somebody_is_told():
                    raise SnapshotStale("Keys or limits have just changed. Try again.", retry_after_seconds=1)
                epoch = None
            elif isinstance(decision, Refused):
                if is_refused(decision, enough_nanousd):
                    metrics.admission_refused(decision.kind)
                raise refusal(decision)
            elif isinstance(decision, Admitted):
                metrics.admission("admitted")
                return decision, snapshot
        raise AdmissionUnavailable("Limits are changing right now. Try again in a moment.", retry_after_seconds=1)

    async def _ask(
        self,
        tenant_id: UUID,
        limits: Sequence[ScopeLimits],
        asked: Sequence[Call],
        epoch: int,
        tenant: TenantCalls,
        enough_nanousd: int | None,
    ) -> Decision:
        try:
            if time.monotonic() - tenant.said_busy_at > _BUSY_SECONDS:
                # Before the call exists, so that whoever finds it open finds its tenant named.
                await self._say_busy([tenant_id])
            for _ in range(_COLD_TRIES):
                decision = await self._limits.admit(
                    tenant_id,
                    limits,
                    asked,
                    lease_seconds=LEASE_SECONDS,
                    epoch=epoch,
                    enough_nanousd=enough_nanousd,
                )
                if not isinstance(decision, Cold):
                    return decision
                await self._reading.rebuild(tenant_id, decision.missing)
            raise Rebuilding("the limits of this tenant were lost again and again")
        except LimitsError as error:
            if isinstance(error, LimitsUnavailable):
                tenant.unwanted.update(call.call_id for call in asked)  # it may have been admitted all the same
                self._doubt()
            metrics.admission("unavailable")
            raise AdmissionUnavailable(
                "Limits cannot be checked right now. Try again in a moment.", retry_after_seconds=1
            ) from error
        except asyncio.CancelledError:
            tenant.unwanted.update(call.call_id for call in asked)
            raise

    async def close(self, admission: Admission, lines: Sequence[LedgerLine], state: str) -> None:
        tenant = self._tenant(admission.tenant_id)
        call_id = str(admission.call_id)
        held = tenant.open.pop(call_id, None)
        if held is None:
            return
        if not lines:
            try:
                await self._limits.release(admission.tenant_id, [call_id])
            except BaseException as error:
                tenant.unwanted.add(call_id)
                if not isinstance(error, LimitsError):
                    raise
            return
        now = datetime.now(UTC)
        known = snapshots.known(admission.tenant_id)
        settling = Settling(
            call_id=call_id,
            tenant_id=admission.tenant_id,
            # Those of now: a quota that was set meanwhile counts this call too.
            scopes=held.scopes if known is None else known.scopes(admission.user_id, admission.api_key_id),
            amount_nanousd=min(charged_nanousd(lines), MAX_NANOUSD),
            tokens=min(used_tokens(lines), MAX_COUNT),
            record=settlement.record(admission, tuple(lines), state, now),
            at=now,
        )
        tenant.untold[call_id] = settling
        for _ in range(_CLOSE_TRIES):
            if await self._tell(tenant, settling):
                return

    async def _tell(self, tenant: TenantCalls, one: Settling) -> bool:
        try:
            told = await self._limits.settle(
                one.tenant_id,
                one.scopes,
                one.call_id,
                one.amount_nanousd,
                at=one.at,
                tokens=one.tokens,
                records=(one.record,),
            )
        except LimitsError:
            self._doubt()
            return False
        tenant.untold.pop(one.call_id, None)
        one.stream_id = _position(told.stream_id)
        if one.call_id not in tenant.undrained:
            if self._copies < _MOST_COPIES:
                tenant.undrained[one.call_id] = one
                self._copies += 1
            else:
                log.warning("settlement.not_copied", call_id=one.call_id)
        if told.dirty:
            self._repair(one.tenant_id, tenant)
        return True

    async def tend(self) -> None:
        """Say and ask what is due: leases, settlements that were not taken, and whether the rest is in the ledger."""
        now = time.monotonic()
        await self._notice_losses()
        busy = [
            tenant_id
            for tenant_id, tenant in self._tenants.items()
            if not tenant.idle and now - tenant.said_busy_at > _BUSY_SECONDS
        ]
        if busy:
            await self._say_busy(busy)
        for tenant_id, tenant in list(self._tenants.items()):
            try:
                await self._tend_one(tenant_id, tenant)
            except LimitsError:
                raise
            except Exception:  # the others must be tended all the same
                log.exception("calls.untended", tenant_id=str(tenant_id))
            if tenant.idle and now - tenant.said_busy_at > _BUSY_SECONDS and self._tenants.get(tenant_id) is tenant:
                del self._tenants[tenant_id]

    async def _tend_one(self, tenant_id: UUID, tenant: TenantCalls) -> None:
        if tenant.unwanted:
            unwanted = set(tenant.unwanted)
            await self._limits.release(tenant_id, unwanted)
            tenant.unwanted -= unwanted
        if tenant.untold:
            await asyncio.gather(*(self._tell(tenant, one) for one in list(tenant.untold.values())))
        if time.monotonic() - tenant.tended_at > RENEW_SECONDS:
            await self._renew(tenant_id, tenant)

    async def _notice_losses(self) -> None:
        """Another connection, or a Redis that remembers from another moment on: ask about everything at once."""
        if not self._tenants:
            return
        memory = await self._limits.remembers()
        clients.seen(memory)
        seen, self._seen = self._seen, (memory.since, self._limits.connections)
        if seen is not None and seen != self._seen:
            self._doubt()

    async def _renew(self, tenant_id: UUID, tenant: TenantCalls) -> None:
        held = [*tenant.open, *tenant.untold]
        kept = list(tenant.undrained)
        tended = await self._limits.tend(tenant_id, held, kept, lease_seconds=LEASE_SECONDS)
        tenant.tended_at = time.monotonic()
        forgotten = set(tended.forgotten)
        up_to = _position(tended.drained_id)
        for call_id in kept:
            one = tenant.undrained.get(call_id)
            if one is not None and call_id not in forgotten and one.stream_id <= up_to:
                del tenant.undrained[call_id]
                self._copies -= 1
        lost = [tenant.open[call_id].again() for call_id in tended.lost if call_id in tenant.open]
        if lost:
            log.warning("calls.registered_again", tenant_id=str(tenant_id), count=len(lost))
            known = [replace(call, fresh=_seconds_old(call.call_id) < _MINUTE_SECONDS) for call in lost]
            await self._limits.register(tenant_id, known, lease_seconds=LEASE_SECONDS)
        again = [tenant.undrained[call_id] for call_id in tended.forgotten if call_id in tenant.undrained]
        if again:
            log.warning("settlements.told_again", tenant_id=str(tenant_id), count=len(again))
            await asyncio.gather(*(self._tell(tenant, one) for one in again))

    async def stop(self, seconds: float) -> None:
        """Tell what was not told, for so long at most, and close."""
        tending, self._tending = self._tending, None
        ending = [*self._repairs, *([] if tending is None else [tending])]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        until = time.monotonic() + seconds
        while any(tenant.untold or tenant.unwanted for tenant in self._tenants.values()):
            try:
                await asyncio.wait_for(self.tend(), max(0.01, until - time.monotonic()))
            except (LimitsError, TimeoutError):
                await asyncio.sleep(0.05)
            if time.monotonic() > until:
                log.error("settlements.left", count=sum(len(one.untold) for one in self._tenants.values()))
                break
        await self._reading.stop()
        await self._limits.aclose()

    async def _tend_forever(self) -> None:
        while True:
            try:
                await self.tend()
            except LimitsError:
                self._doubt()
            except Exception:
                log.exception("calls.untended")
            await asyncio.sleep(_TICK_SECONDS)

    def _doubt(self) -> None:
        """Redis was away: whatever it holds may be lost, so ask about all of it as soon as it is back."""
        for tenant in self._tenants.values():
            tenant.tended_at = -1e9
            tenant.said_busy_at = -1e9

    async def _say_busy(self, tenant_ids: list[UUID]) -> None:
        await self._limits.mark_busy(tenant_ids)
        for tenant_id in tenant_ids:
            if (tenant := self._tenants.get(tenant_id)) is not None:
                tenant.said_busy_at = time.monotonic()

    def _tenant(self, tenant_id: UUID) -> TenantCalls:
        if self._tending is None:
            self._tending = asyncio.create_task(self._tend_forever())
        tenant = self._tenants.get(tenant_id)
        if tenant is None:
            tenant = self._tenants[tenant_id] = TenantCalls()
        return tenant

    def _repair(self, tenant_id: UUID, tenant: TenantCalls) -> None:
        """Recount what is in doubt, beside the calls."""

        async def repair() -> None:
            try:
                await self._reading.rebuild(tenant_id, ())
            except (LimitsError, AdmissionUnavailable):
                pass  # the next admission finds them in doubt again
            finally:
                tenant.repairing = False

        if not tenant.repairing:
            tenant.repairing = True
            task = asyncio.create_task(repair())
            self._repairs.add(task)
            task.add_done_callback(self._repairs.discard)


_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, OpenCalls] = WeakKeyDictionary()


def here() -> OpenCalls:
    """The calls of the running event loop."""
    loop = asyncio.get_running_loop()
    calls = _by_loop.get(loop)
    if calls is None:
        calls = _by_loop[loop] = OpenCalls(AsyncLimits(settings.REDIS_URL, prefix=settings.REDIS_PREFIX))
    return calls


def _seconds_old(call_id: str) -> float:
    """Ids of calls are UUIDs of version 7, which begin with the time at which this process made them."""
    return time.time() - (UUID(call_id).int >> 80) / 1000


def _position(stream_id: str) -> tuple[int, int]:
    ms, _, sequence = stream_id.partition("-")
    return int(ms), int(sequence)
