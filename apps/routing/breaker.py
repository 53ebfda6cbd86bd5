"""The door before a deployment: whether a call may go there now, and what became of it.

`enter` asks memory; only a call that is to be the probe of an open breaker asks Redis.
"""

import time
from collections.abc import Iterable
from uuid import UUID

from apps.routing.circuit import Asker, Verdict
from apps.routing.contracts import Candidate
from apps.routing.errors import ProviderFailed, ProviderRateLimited, ProviderRejected, StreamBroken, TotalTimeout
from apps.routing.fleet import Fleet, clock_ms

# A probe whose text has flowed for so long has passed, or a long answer would keep others away for minutes.
ENOUGH_SECONDS = 5.0
_PACE_MIN_TOKENS = 8
_PACE_MIN_SECONDS = 0.05


def verdict_on(error: ProviderFailed) -> Verdict:
    """What a failed attempt says about the deployment's health.

    A request that was called wrong was read and judged: a sign of life. A limit, and the end of the caller's own time,
    say nothing, and neither does an answer in other words than those that were sent. A refused key counts like any
    failure and does not open at once: some firewalls say 403 to one text.
    """
    if isinstance(error, ProviderRejected):
        return Verdict.OK
    if isinstance(error, ProviderRateLimited | TotalTimeout | StreamBroken):
        return Verdict.NONE
    return Verdict.FAILED


class Ticket:
    """One call's leave to go to a deployment. `ended` is told exactly once what became of it."""

    __slots__ = ("_deployment_id", "_ended", "_first_text_at", "_fleet", "_record", "_token")

    def __init__(self, fleet: Fleet, deployment_id: UUID, token: str) -> None:
        self._fleet = fleet
        self._deployment_id = deployment_id
        self._token = token
        self._record = fleet.record(deployment_id)
        self._record.in_flight += 1
        self._first_text_at = 0.0
        self._ended = False

    @property
    def probing(self) -> bool:
        return bool(self._token)

    def flowed(self) -> None:
        """Text of a probe came."""
        now = time.monotonic()
        if not self._first_text_at:
            self._first_text_at = now
        elif now - self._first_text_at >= ENOUGH_SECONDS:
            self._fleet.took(self._deployment_id, Verdict.OK, self._token)
            self._token = ""

    def won(self, first_token_seconds: float | None, output_tokens: int, seconds: float) -> None:
        """The answer is complete."""
        pace = None
        flowing_seconds = seconds - (first_token_seconds or 0.0)
        if output_tokens >= _PACE_MIN_TOKENS and flowing_seconds >= _PACE_MIN_SECONDS:
            pace = output_tokens / flowing_seconds
        self._fleet.measured(self._deployment_id, first_token_seconds, pace)
        self._end(Verdict.OK)

    def failed(self, error: ProviderFailed) -> None:
        verdict = verdict_on(error)
        if verdict is Verdict.FAILED:
            self._fleet.note_failure(self._deployment_id, error.code)
        self._end(verdict)

    def left(self) -> None:
        """The call was not made, or ended through no fault of the deployment. Harmless after another word."""
        if not self._ended:
            self._end(Verdict.NONE)

    def _end(self, verdict: Verdict) -> None:
        self._ended = True
        self._record.in_flight -= 1
        if verdict is not Verdict.NONE or self._token:
            self._fleet.took(self._deployment_id, verdict, self._token)


async def enter(fleet: Fleet, candidate: Candidate, tenant_id: UUID, *, lone: bool) -> Ticket | None:
    """Leave to call the candidate; None where its breaker is open and this call may not probe it.

    `lone`: there is no other place to go, so the call may probe before its time.
    """
    id = candidate.deployment_id
    record = fleet.record(id)
    record.tenant_id, record.adapter = tenant_id, candidate.adapter
    if not record.circuit.open:
        return Ticket(fleet, id, "")
    asker = Asker.LONE if lone else Asker.CALL
    if not record.circuit.admits(asker, clock_ms()):
        return None
    token = await fleet.ask(id, asker)
    return None if token is None else Ticket(fleet, id, token)


def resting(fleet: Fleet, candidates: Iterable[Candidate]) -> set[int]:
    """Places of the candidates that calls have to pass over now, from memory."""
    now_ms = clock_ms()
    known = fleet.records
    return {
        index
        for index, one in enumerate(candidates)
        if (record := known.get(one.deployment_id)) is not None and not record.circuit.admits(Asker.CALL, now_ms)
    }


def retry_after_seconds(fleet: Fleet, candidates: Iterable[Candidate]) -> float:
    """Seconds until the first of these breakers lets a probe through; at least one."""
    now_ms = clock_ms()
    waits = [fleet.record(one.deployment_id).circuit.retry_after_ms(now_ms) / 1000 for one in candidates]
    return max(1.0, min(waits, default=0.0))
