"""A chain of a hundred thousand entries: proven to the last one, in bounded memory, and exported line by line."""

import io
import json
import time
import tracemalloc
from pathlib import Path

from django.core.management import call_command
from uuid6 import uuid7

from apps.tenants.audit_chain import Fault, walk
from apps.tenants.audit_content import digest
from apps.tenants.contracts import Principal
from apps.tenants.models import AuditEntry, Tenant
from tests.tenants.tampering import entry_of, tamper

ENTRIES = 100_000
SECONDS = 60
MEGABYTES = 40
_BATCH = 5_000


def grow(principal: Principal) -> None:
    """Append entries without a transaction each."""
    last = entry_of(principal.tenant_id, 1)
    previous = bytes(last.hash)
    for first in range(2, ENTRIES + 1, _BATCH):
        batch = []
        for seq in range(first, min(first + _BATCH, ENTRIES + 1)):
            entry = AuditEntry(
                id=uuid7(),
                tenant_id=principal.tenant_id,
                seq=seq,
                at=last.at,
                actor_id=principal.user_id,
                actor=principal.user_email,
                via="session",
                action="member.role_changed",
                target_kind="membership",
                target_id=str(principal.user_id),
                address="192.0.2.7",
                request_id=str(seq),
                data={"role": {"from": "viewer", "to": "admin"}, "number": seq},
                previous_hash=previous,
            )
            previous = entry.hash = digest(entry)
            batch.append(entry)
        AuditEntry.objects.using("engine").bulk_create(batch)


def test_a_hundred_thousand_entries(alice: Principal, tmp_path: Path) -> None:
    grow(alice)
    tracemalloc.start()
    began = time.monotonic()
    found = walk(alice.tenant_id)
    seconds, (_, peak) = time.monotonic() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"{found.entries} entries proven in {seconds:.1f} s (traced), peak {peak / 1e6:.1f} MB")
    assert (found.entries, found.broken) == (ENTRIES, None)
    assert peak < MEGABYTES * 1e6
    began = time.monotonic()
    walk(alice.tenant_id)
    seconds = time.monotonic() - began
    print(f"{ENTRIES} entries proven in {seconds:.1f} s")
    assert seconds < SECONDS
    slug, target = Tenant.objects.using("engine").get(id=alice.tenant_id).slug, tmp_path / "audit.jsonl"
    began = time.monotonic()
    call_command("export_audit", "--tenant", slug, "--out", str(target), stdout=io.StringIO())
    print(f"{target.stat().st_size / 1e6:.0f} MB exported in {time.monotonic() - began:.1f} s")
    with target.open() as lines:
        assert [json.loads(line)["seq"] for line in lines] == list(range(1, ENTRIES + 2))
    tamper("UPDATE tenants_auditentry SET actor = 'x' WHERE tenant_id = %s AND seq = 99999", alice.tenant_id)
    broken = walk(alice.tenant_id).broken
    assert broken is not None
    assert (broken.seq, broken.fault) == (99_999, Fault.CHANGED)
    tamper("DELETE FROM tenants_auditentry WHERE tenant_id = %s AND seq = 54321", alice.tenant_id)
    broken = walk(alice.tenant_id).broken
    assert broken is not None
    assert (broken.seq, broken.fault) == (54_321, Fault.MISSING)
