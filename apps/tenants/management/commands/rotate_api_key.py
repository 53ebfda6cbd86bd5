"""Give an API key a new secret from the command line."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.problems import Problem
from apps.tenants import selectors, services
from apps.tenants.audit import Actor
from apps.tenants.management.telling import reason


class Command(BaseCommand):
    help = "Give an API key a new secret, which is printed this once. It stays the same key in everything else."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, help="the tenant's slug")
        parser.add_argument("--key", required=True, help="the prefix that lists show, or the key's id")
        parser.add_argument(
            "--overlap-seconds",
            type=int,
            default=0,
            help="how long the secret it has works on; 0 by default",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant_id = selectors.tenant_id_by_slug(options["tenant"])
        key_id, user_id = (tenant_id and selectors.key_named(tenant_id, options["key"])) or (None, None)
        principal = selectors.principal_for(user_id, tenant_id) if user_id else None
        if key_id is None or principal is None:
            raise CommandError(f"An active tenant {options['tenant']} has no key {options['key']} of an active member.")
        try:
            key = services.rotate_api_key(
                principal, key_id, options["overlap_seconds"], actor=Actor.command("rotate_api_key")
            )
        except Problem as problem:
            raise CommandError(reason(problem)) from problem
        told = {"id": str(key.id), "prefix": key.prefix, "secret": key.secret}
        self.stdout.write(json.dumps(told) if options["json"] else key.secret)
