"""`manage.py write_audit_heads`: what the clock does every hour, now."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from apps.tenants import audit_heads


class Command(BaseCommand):
    help = "Append the signed heads of the audit chains to a file in AUDIT_HEADS_DIR."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--public-key", action="store_true", help="only print the key that checks the signatures")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["public_key"]:
            self.stdout.write(audit_heads.public_key())
            return
        written = audit_heads.write_heads()
        self.stdout.write(f"{written} heads written to {audit_heads.folder()}.")
