"""Reading a tenant's audit entries: pages of the newest, and exports of all."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from apps.tenants import audit, audit_content
from apps.tenants.audit import chain
from apps.tenants.contracts import Principal
from apps.tenants.models import AuditEntry
from apps.tenants.policy import Action, require
from apps.tenants.scope import tenant_scope

MAX_PAGE = 100
EXPORT_BATCH = 1_000
FORMATS = ("jsonl", "csv")
_CSV_COLUMNS = ("seq", "at", "actor", "actor_id", "via", "action", "target_kind", "target_id", "address", "request_id",
                "data", "hash")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries. Empty means all. `action` ending in a dot means all that begin so; `actor` is a name or an id."""

    action: str = ""
    actor: str = ""
    target_kind: str = ""
    target_id: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def told(self) -> dict[str, Any]:
        """The filters that are set, for the entry about the reading."""
        named = ("action", "actor", "target_kind", "target_id", "since", "until")
        return {name: value for name in named if (value := getattr(self, name))}


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as it is read. The hashes are hexadecimal."""

    seq: int
    at: datetime
    id: UUID
    actor_id: UUID | None
    actor: str
    via: str
    action: str
    target_kind: str
    target_id: str
    address: str | None
    request_id: str
    data: dict[str, Any]
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class Page:
    """Entries, the newest first. `next_before` is the number to ask for next; None at the end."""

    entries: tuple[Entry, ...]
    next_before: int | None


@dataclass(frozen=True, slots=True)
class Export:
    """An export that was noted in the chain: which entries, up to which number."""

    wanted: Wanted
    up_to: int


def page(principal: Principal, wanted: Wanted, *, before: int | None = None, limit: int = 50) -> Page:
    """The newest entries, or those before a number. Reading is noted in the chain. Raises `Forbidden`."""
    require(principal, Action.AUDIT_READ)
    limit = max(1, min(limit, MAX_PAGE))
    with tenant_scope(principal.tenant_id):
        rows = _chosen(AuditEntry.objects.filter(tenant_id=principal.tenant_id), wanted)
        if before is not None:
            rows = rows.filter(seq__lt=before)
        found = [_entry(row) for row in rows.order_by("-seq")[: limit + 1]]
        audit.record_read(principal, "audit.read", target=("tenant", principal.tenant_id), data=wanted.told())
    return Page(tuple(found[:limit]), found[limit - 1].seq if len(found) > limit else None)


def begin_export(principal: Principal, wanted: Wanted, form: str) -> Export:
    """Note that entries are taken away, and say which. The note itself is the last of them. Raises `Forbidden`."""
    require(principal, Action.AUDIT_READ)
    with tenant_scope(principal.tenant_id):
        audit.record(
            principal.tenant_id,
            audit.Actor.of(principal),
            "audit.exported",
            target=("tenant", principal.tenant_id),
            data={"format": form, **wanted.told()},
        )
        last = AuditEntry.objects.filter(tenant_id=principal.tenant_id).order_by("-seq").values_list("seq", flat=True)
        return Export(wanted, last[0])


def export_batch(principal: Principal, export: Export, after: int) -> list[Entry]:
    """The next entries of an export, the earliest first; empty at its end."""
    with tenant_scope(principal.tenant_id):
        rows = _chosen(AuditEntry.objects.filter(tenant_id=principal.tenant_id), export.wanted)
        return [_entry(row) for row in rows.filter(seq__gt=after, seq__lte=export.up_to).order_by("seq")[:EXPORT_BATCH]]


def every_entry(tenant_id: UUID | None) -> Iterator[Entry]:
    """A whole chain as `engine`, the earliest first, a page at a time."""
    rows = chain(tenant_id).order_by("seq")
    found = list(rows[:EXPORT_BATCH])
    while found:
        yield from map(_entry, found)
        found = list(rows.filter(seq__gt=found[-1].seq)[:EXPORT_BATCH])


def as_json(entry: Entry) -> dict[str, Any]:
    """What an export's line says: all that was hashed, and the hash."""
    return {
        "seq": entry.seq,
        "at": audit_content.moment(entry.at),
        "id": str(entry.id),
        "actor_id": str(entry.actor_id) if entry.actor_id else None,
        "actor": entry.actor,
        "via": entry.via,
        "action": entry.action,
        "target_kind": entry.target_kind,
        "target_id": entry.target_id,
        "address": entry.address,
        "request_id": entry.request_id,
        "data": entry.data,
        "previous_hash": entry.previous_hash,
        "hash": entry.hash,
    }


def head_of(form: str) -> bytes:
    """What comes before the first entry of an export."""
    return _csv_line(list(_CSV_COLUMNS)) if form == "csv" else b""


def line_of(entry: Entry, form: str) -> bytes:
    """One entry in an export's form."""
    told = as_json(entry)
    if form == "jsonl":
        return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    told["data"] = json.dumps(entry.data, ensure_ascii=False, sort_keys=True) if entry.data else ""
    return _csv_line([told[name] for name in _CSV_COLUMNS])


def _csv_line(values: list[Any]) -> bytes:
    """A cell that a spreadsheet would take for a formula is made text with an apostrophe."""
    cells = ["" if value is None else str(value) for value in values]
    out = io.StringIO()
    csv.writer(out).writerow(
        [f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell for cell in cells]
    )
    return out.getvalue().encode()


def _chosen(rows: QuerySet[AuditEntry], wanted: Wanted) -> QuerySet[AuditEntry]:
    if wanted.action.endswith("."):
        rows = rows.filter(action__startswith=wanted.action)
    elif wanted.action:
        rows = rows.filter(action=wanted.action)
    if wanted.actor:
        known = _uuid(wanted.actor)
        rows = rows.filter(Q(actor_id=known) if known else Q(actor__icontains=wanted.actor))
    for name in ("target_kind", "target_id"):
        if value := getattr(wanted, name):
            rows = rows.filter(**{name: value})
    if wanted.since is not None:
        rows = rows.filter(at__gte=wanted.since)
    if wanted.until is not None:
        rows = rows.filter(at__lt=wanted.until)
    return rows


def _uuid(value: str) -> UUID | None:
    try:
        return UUID(value)
    except ValueError:
        return None


def _entry(row: AuditEntry) -> Entry:
    return Entry(
        seq=row.seq,
        at=row.at,
        id=row.id,
        actor_id=row.actor_id,
        actor=row.actor,
        via=row.via,
        action=row.action,
        target_kind=row.target_kind,
        target_id=row.target_id,
        address=audit_content.address(row.address),
        request_id=row.request_id,
        data=row.data,
        previous_hash=bytes(row.previous_hash).hex(),
        hash=bytes(row.hash).hex(),
    )
