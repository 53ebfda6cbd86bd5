"""Whether a provider's own bill says what the ledger says, call by call. The simulator has such a bill."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from apps.billing.models import LedgerEntry

# Clocks of two machines, and the time from an attempt's end to its line.
_APART = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class BilledCall:
    """One line of the bill. `told`: the provider has told what the call used; else the ledger holds an estimate."""

    attempt_id: UUID
    began_at: datetime
    input_tokens: int
    output_tokens: int
    told: bool


def read(lines: Iterable[Mapping[str, Any]]) -> list[BilledCall]:
    """The simulator's lines of calls that are over, and that carried an attempt's id. Raises `ValueError`,
    `KeyError` or `TypeError` where they are something else."""
    return [
        BilledCall(
            UUID(line["attempt_id"]),
            datetime.fromtimestamp(line["started_at"], UTC),
            line["prompt_tokens"],
            line["tokens_sent"],
            bool(line["completed"]) and line["status"] == 200,
        )
        for line in lines
        if line["attempt_id"] is not None and line["ended_at"] is not None
    ]


def differences(calls: Iterable[BilledCall], providers: Iterable[str], tenant_id: UUID | None) -> list[str]:
    """What the bill and the ledger say differently, in words; of all tenants, or of one.

    Every call has its line. What the provider told is what the line says, unless that is flagged as an estimate, which
    it is where a call was cut. A line of `providers` (their slugs) that says for certain that something was used has
    its call; lines from before the bill began say nothing.
    """
    billed = {call.attempt_id: call for call in calls}
    entries = LedgerEntry.objects.using("engine")
    if tenant_id is not None:
        entries = entries.filter(tenant_id=tenant_id)
    lines = {line.attempt_id: line for line in entries.filter(attempt_id__in=list(billed))}
    found = []
    for attempt_id, call in billed.items():
        line = lines.get(attempt_id)
        if line is None:
            if tenant_id is None:
                found.append(f"attempt {attempt_id} stands in the bill and not in the ledger")
        elif not line.estimated and call.told:
            written = line.input_tokens, line.output_tokens
            told = call.input_tokens, call.output_tokens
            if written != told:
                found.append(f"attempt {attempt_id}: billed are {told} tokens, the ledger says {written}")
    if billed:
        since = min(call.began_at for call in billed.values()) + _APART
        certain = entries.filter(
            created_at__gte=since, provider__in=list(providers), estimated=False, amount_nanousd__gt=0
        )
        unbilled = (
            certain.exclude(attempt_id__in=list(billed)).order_by("created_at").values_list("attempt_id", flat=True)
        )
        found += [f"attempt {attempt_id} stands in the ledger and not in the bill" for attempt_id in unbilled]
    return found
