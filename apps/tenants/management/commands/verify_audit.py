"""`manage.py verify_audit`: is every audit entry as it was written?

Exit codes: 0 everything is sound, 1 something is not, 2 wrong usage.
"""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from apps.tenants import audit_chain, audit_heads
from apps.tenants.audit_heads import INSTALLATION, KnownHeads
from apps.tenants.models import Tenant


class Command(BaseCommand):
    help = "Walk the audit chains and name the first broken entry of each; compare them with the heads written down."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", metavar="SLUG", help="this tenant's chain alone; otherwise every chain")
        parser.add_argument(
            "--head", action="append", default=[], type=Path, metavar="FILE", help="a file of heads, kept elsewhere"
        )
        parser.add_argument("--heads", action="store_true", help="the files of heads in AUDIT_HEADS_DIR")
        parser.add_argument(
            "--public-key", action="append", default=[], metavar="HEX", help="believe heads signed with this key too"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        heads = self._heads(options)
        wanted = _chains(options["tenant"], heads)
        walks = {chain: audit_chain.walk(tenant_id, heads.chains.get(chain)) for chain, tenant_id in wanted.items()}
        broken = {chain: found.broken for chain, found in walks.items() if found.broken is not None}
        if options["json"]:
            self.stdout.write(json.dumps(_report(walks, heads)))
        else:
            self._tell(walks, heads)
        if broken or heads.faults:
            told = [
                f"{len(broken)} of {len(walks)} chains broken" if broken else "",
                f"{len(heads.faults)} of {heads.lines} heads not sound" if heads.faults else "",
            ]
            raise CommandError(f"{', '.join(filter(None, told))}.")

    def _heads(self, options: dict[str, Any]) -> KnownHeads:
        paths = [*(audit_heads.files() if options["heads"] else ()), *options["head"]]
        if options["heads"] and not paths:
            raise CommandError(f"No heads were written to {audit_heads.folder()} yet: manage.py write_audit_heads.")
        try:
            return audit_heads.read_heads(paths, trusted=options["public_key"])
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}.", returncode=2) from error
        except ValueError as error:
            raise CommandError("--public-key is 64 hexadecimal digits.", returncode=2) from error

    def _tell(self, walks: dict[str, audit_chain.Walked], heads: KnownHeads) -> None:
        for chain, found in walks.items():
            if found.broken is not None:
                self.stdout.write(
                    self.style.ERROR(
                        f"{chain}: broken at {found.broken.seq} ({found.broken.fault}): {found.broken.told}"
                    )
                )
        for fault in heads.faults:
            self.stdout.write(self.style.ERROR(f"{fault.path}, line {fault.line}: {fault.told}"))
        entries = sum(found.entries for found in walks.values())
        compared = f", compared with {heads.lines} heads" if heads.lines else ""
        self.stdout.write(f"{entries} sound entries in {len(walks)} chains{compared}.")
        if len(walks) == 1:
            (found,) = walks.values()
            self.stdout.write(f"Head: {found.entries} {found.last_hash.hex()}")


def _chains(slug: str | None, heads: KnownHeads) -> dict[str, UUID | None]:
    """What to walk. Chains that only the heads know of are walked too: their tenants are gone, and their entries."""
    tenants = Tenant.objects.using("engine")
    if slug is not None:
        tenant_id = tenants.filter(slug=slug).values_list("id", flat=True).first()
        if tenant_id is None:
            raise CommandError(f"There is no tenant “{slug}”.", returncode=2)
        return {str(tenant_id): tenant_id}
    known = {str(tenant_id): tenant_id for tenant_id in tenants.order_by("id").values_list("id", flat=True)}
    gone = {chain: UUID(chain) for chain in heads.chains if chain != INSTALLATION and chain not in known}
    return {INSTALLATION: None, **known, **gone}


def _report(walks: dict[str, audit_chain.Walked], heads: KnownHeads) -> dict[str, Any]:
    return {
        "chains": {
            chain: {
                "entries": found.entries,
                "head": found.last_hash.hex(),
                "broken": None
                if found.broken is None
                else {"seq": found.broken.seq, "fault": found.broken.fault.value, "told": found.broken.told},
            }
            for chain, found in walks.items()
        },
        "heads": heads.lines,
        "unsound_heads": [{"path": str(fault.path), "line": fault.line, "told": fault.told} for fault in heads.faults],
    }
