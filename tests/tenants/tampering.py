"""What only somebody with the database's own powers can do: change the audit log behind everybody's back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from django.conf import settings

from apps.tenants.audit_content import digest
from apps.tenants.models import AuditEntry
from tests import servers

TABLE: LiteralString = "tenants_auditentry"


@contextmanager
def superuser() -> Iterator[psycopg.Connection[Any]]:
    """A superuser's transaction in this process's database."""
    addresses = servers.shared()
    assert addresses is not None
    base, _, _ = addresses.admin.rpartition("/")
    with psycopg.connect(f"{base}/{settings.DATABASES['default']['NAME']}") as connection:
        yield connection


def tamper(statement: LiteralString, *values: Any) -> None:
    """One statement on the audit log, with its guard switched off for as long as it takes."""
    with superuser() as connection:
        connection.execute(f"ALTER TABLE {TABLE} DISABLE TRIGGER tenants_audit_append_only")
        connection.execute(statement, values)
        connection.execute(f"ALTER TABLE {TABLE} ENABLE ALWAYS TRIGGER tenants_audit_append_only")


def entry_of(tenant_id: UUID, seq: int) -> AuditEntry:
    return AuditEntry.objects.using("engine").get(tenant_id=tenant_id, seq=seq)


def rehash(tenant_id: UUID, seq: int) -> None:
    """Make an entry's hash fit what it says now."""
    entry = entry_of(tenant_id, seq)
    tamper("UPDATE tenants_auditentry SET hash = %s WHERE id = %s", digest(entry), entry.id)


def renumber(tenant_id: UUID, after: int, by: int) -> None:
    """Give every later entry another number, by way of numbers that nobody has."""
    far = 1_000_000
    tamper("UPDATE tenants_auditentry SET seq = seq + %s WHERE tenant_id = %s AND seq > %s", far + by, tenant_id, after)
    tamper("UPDATE tenants_auditentry SET seq = seq - %s WHERE tenant_id = %s AND seq > %s", far, tenant_id, far)
