"""`manage.py load_catalogue`: bring providers, models, prices and policies to what a file says.

A second run changes nothing. Exit codes: 0 done, 1 refused, with the places in the file.
"""

import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.problems import Problem
from apps.routing import services
from apps.routing.catalogue_file import read
from apps.tenants.audit import Actor
from apps.tenants.selectors import tenant_id_by_slug


class Command(BaseCommand):
    help = "Load a catalogue of providers, models, prices and policies from a YAML file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", help="the catalogue; - reads standard input")
        parser.add_argument("--tenant", metavar="SLUG", help="offer it to this tenant alone")
        parser.add_argument("--dry-run", action="store_true", help="only say what would change")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant_id = None
        if options["tenant"] and (tenant_id := tenant_id_by_slug(options["tenant"])) is None:
            raise CommandError(f"There is no tenant “{options['tenant']}”.")
        try:
            text = sys.stdin.read() if options["file"] == "-" else Path(options["file"]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise CommandError(f"{options['file']} cannot be read: {reason}.") from error
        dry_run: bool = options["dry_run"]
        try:
            loaded = services.load_catalogue(
                read(text),
                environment=os.environ,
                tenant_id=tenant_id,
                dry_run=dry_run,
                actor=Actor.command("load_catalogue"),
            )
        except Problem as problem:
            raise CommandError(problem.detail) from problem
        for change in loaded.changes:
            told = f": {'; '.join(change.details)}" if change.details else ""
            self.stdout.write(f"{change.what:<9}{change.kind} {change.name}{told}")
        for sentence in loaded.waiting:
            self.stdout.write(self.style.WARNING(sentence))
        self.stdout.write(self.style.SUCCESS(_summary(len(loaded.changes), loaded.unchanged, dry_run)))


def _summary(changes: int, unchanged: int, dry_run: bool) -> str:
    if not changes:
        return f"Nothing to change: {unchanged} entries are as the file says."
    many = f"{changes} change{'s'[: changes != 1]}, {unchanged} entries as they were."
    return f"{many} This was a dry run: nothing was written." if dry_run else many
