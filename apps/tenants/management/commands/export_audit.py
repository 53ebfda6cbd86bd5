"""`manage.py export_audit`: a tenant's whole audit chain as a file. The export is an entry of that chain."""

import os
from argparse import ArgumentParser
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from apps.tenants import audit, audit_log
from apps.tenants.models import Tenant


class Command(BaseCommand):
    help = "Write a tenant's audit entries to a file, the earliest first."

    def add_arguments(self, parser: ArgumentParser) -> None:
        whose = parser.add_mutually_exclusive_group(required=True)
        whose.add_argument("--tenant", metavar="SLUG")
        whose.add_argument("--installation", action="store_true", help="what concerns no tenant")
        parser.add_argument("--out", required=True, type=Path, metavar="FILE")
        parser.add_argument(
            "--format", choices=audit_log.FORMATS, default="jsonl", help="jsonl can be proven; csv reads"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        tenant_id = None if options["installation"] else _tenant(options["tenant"])
        with transaction.atomic(using="engine"):
            audit.record(
                tenant_id,
                audit.Actor.command("export_audit"),
                "audit.exported",
                target=("tenant", tenant_id) if tenant_id else ("installation", ""),
                data={"format": options["format"]},
                using="engine",
            )
        try:
            written = _write(options["out"], tenant_id, options["format"])
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}.") from error
        self.stdout.write(f"{written} entries written to {options['out']}.")


def _tenant(slug: str) -> UUID:
    tenant_id = Tenant.objects.using("engine").filter(slug=slug).values_list("id", flat=True).first()
    if tenant_id is None:
        raise CommandError(f"There is no tenant “{slug}”.", returncode=2)
    return tenant_id


def _write(path: Path, tenant_id: UUID | None, form: str) -> int:
    """Whole or not at all, and for its owner's eyes alone. Returns how many entries."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    count = 0
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(audit_log.head_of(form))
            for entry in audit_log.every_entry(tenant_id):
                file.write(audit_log.line_of(entry, form))
                count += 1
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()
    return count
