"""Make an API key from the command line."""

import json
from argparse import ArgumentParser
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from apps.accounts import selectors as people
from apps.problems import Problem
from apps.tenants import selectors, services
from apps.tenants.audit import Actor
from apps.tenants.contracts import Principal, Scope
from apps.tenants.management.telling import reason


class Command(BaseCommand):
    help = "Make an API key for a member of a tenant. The secret is printed this once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, help="the tenant's slug")
        parser.add_argument("--email", required=True, help="whom the key speaks for")
        parser.add_argument("--name", required=True, help="what lists call the key")
        parser.add_argument("--expires-days", type=int, help="the key ends after so many days; without it, never")
        parser.add_argument("--scope", action="append", default=[], choices=[scope.value for scope in Scope])
        parser.add_argument(
            "--model", action="append", metavar="SLUG", help="it reaches this model or policy; repeat it for more"
        )
        parser.add_argument("--team", help="a team of that member, by name, whose limits apply to it")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant_id = selectors.tenant_id_by_slug(options["tenant"])
        user_id = people.id_by_email(options["email"])
        principal = selectors.principal_for(user_id, tenant_id) if user_id and tenant_id else None
        if principal is None:
            raise CommandError(f"{options['email']} is not an active member of an active tenant {options['tenant']}.")
        days = options["expires_days"]
        if days is not None and not 1 <= days <= 36_500:
            raise CommandError("--expires-days is a number from 1 to 36500.")
        expires_at = datetime.now(UTC) + timedelta(days=days) if days is not None else None
        try:
            key = services.create_api_key(
                principal,
                options["name"],
                options["scope"],
                expires_at,
                models=options["model"],
                team_id=_team(principal, options["team"]),
                actor=Actor.command("create_api_key"),
            )
        except Problem as problem:
            raise CommandError(reason(problem)) from problem
        told = {"id": str(key.id), "prefix": key.prefix, "secret": key.secret}
        self.stdout.write(json.dumps(told) if options["json"] else key.secret)


def _team(principal: Principal, name: str | None) -> UUID | None:
    if name is None:
        return None
    found = next((id for id, known in selectors.own_teams(principal) if known.lower() == name.lower()), None)
    if found is None:
        raise CommandError(f"{principal.user_email} is in no team “{name}”.")
    return found
