"""`manage.py rotate_keys`: seal everything anew under the first key of VAULT_KEYS.

Exit codes: 0 nothing is left under an earlier key, 1 something is, or cannot be opened.
"""

import base64
import secrets
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from apps.tenants import audit, key_rotation
from apps.vault import Vault, VaultError


class Command(BaseCommand):
    help = "Seal stored secrets anew under the first key of VAULT_KEYS, after which the other keys may be removed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count what is sealed under which key")
        parser.add_argument("--generate", action="store_true", help="only print a new key, ready for VAULT_KEYS")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["generate"]:
            self.stdout.write(
                f"k{datetime.now(UTC):%Y%m%d}:{base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()}"
            )
            return
        if forgotten := key_rotation.unregistered():
            raise CommandError(f"Sealed columns that nobody registered: {', '.join(forgotten)}.")
        try:
            vault = Vault(settings.ENV.vault_keys.get_secret_value())
        except VaultError as error:
            raise CommandError(f"VAULT_KEYS: {error}.") from None
        resealed = 0 if options["dry_run"] else key_rotation.reseal(vault)
        holding = key_rotation.look(vault)
        if not options["dry_run"]:
            self.stdout.write(f"{resealed} texts sealed anew under {vault.current}.")
            _note(resealed, holding)
        self._tell(holding)
        if not holding.finished:
            raise CommandError(_unfinished(holding, dry_run=options["dry_run"]))
        self.stdout.write(self.style.SUCCESS(f"Everything is under {vault.current}; other keys may be removed."))

    def _tell(self, holding: key_rotation.Holding) -> None:
        for column in holding.columns:
            counts = ", ".join(f"{count} under {key}" for key, count in sorted(column.by_key.items())) or "nothing"
            self.stdout.write(f"  {column.column}: {counts}")
        for found in holding.unopened:
            self.stdout.write(self.style.ERROR(f"  {found.column} of {found.row}: {found.reason}"))


def _unfinished(holding: key_rotation.Holding, *, dry_run: bool) -> str:
    told = [f"{count} under {key}" for key, count in sorted(holding.under_old_keys.items())]
    if holding.unopened:
        told.append(f"{len(holding.unopened)} cannot be opened")
    advice = "Run it without --dry-run." if dry_run and not holding.unopened else "Keep every key that is named here."
    return f"Not everything is under {holding.current}: {', '.join(told)}. {advice}"


def _note(resealed: int, holding: key_rotation.Holding) -> None:
    told = {"current": holding.current, "sealed_anew": resealed, "left_under": dict(holding.under_old_keys)}
    with transaction.atomic(using="engine"):
        audit.record(
            None,
            audit.Actor.command("rotate_keys"),
            "vault_keys.rotated",
            target=("installation", ""),
            data={**told, "unopened": len(holding.unopened)},
            using="engine",
        )
