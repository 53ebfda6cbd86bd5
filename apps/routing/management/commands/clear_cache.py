"""`manage.py clear_cache`: forget stored answers."""

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from redis.exceptions import RedisError

from apps.routing import cache_clearing
from apps.tenants import selectors
from apps.tenants.audit import Actor

_HOUR_SECONDS = 3_600


class Command(BaseCommand):
    help = "Forgets answers that are kept to be served again, exact and semantic: all of them, or those named."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", help="only this tenant's, by its slug")
        parser.add_argument("--model", help="only those that this model gave, by its slug")
        parser.add_argument("--older-than", type=float, metavar="HOURS", help="only those kept longer ago")

        parser.add_argument(
            "--keyed",
            action="store_true",
            help="also all that is kept under idempotency keys: a request that is sent again is then a new call",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        tenant_id = None
        if options["tenant"] and (tenant_id := selectors.tenant_id_by_slug(options["tenant"])) is None:
            raise CommandError(f"There is no tenant “{options['tenant']}”.")
        hours = options["older_than"]
        if hours is not None and not 0 <= hours < 1_000_000:
            raise CommandError("--older-than is a number of hours, 0 or more.")
        before = None if hours is None else time.time() - hours * _HOUR_SECONDS
        try:
            cleared = cache_clearing.clear(
                tenant_id,
                model=options["model"],
                kept_before=before,
                actor=Actor.command("clear_cache"),
                keyed=options["keyed"],
            )
        except RedisError as error:
            raise CommandError(f"Redis does not answer: {type(error).__name__}.") from error
        keyed = f", {cleared.keyed} by key" if options["keyed"] else ""
        self.stdout.write(f"Forgotten: {cleared.exact} exact, {cleared.semantic} semantic{keyed}.")
