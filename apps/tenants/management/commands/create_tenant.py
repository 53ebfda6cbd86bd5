"""Open a tenant from the command line."""

import json
import secrets
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.accounts import selectors as people
from apps.problems import Problem
from apps.tenants import services
from apps.tenants.audit import Actor
from apps.tenants.contracts import NewTenant
from apps.tenants.management.telling import reason
from apps.tenants.models import Tenant


class Command(BaseCommand):
    help = "Open a tenant. Its owner is the account with that e-mail address, which is made if there is none."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="what the tenant is called")
        parser.add_argument("--owner-email", required=True)
        parser.add_argument("--owner-name", required=True)
        password = parser.add_mutually_exclusive_group()
        password.add_argument("--password-stdin", action="store_true", help="read a new owner's password from stdin")
        password.add_argument("--generate-password", action="store_true", help="make one and print it once")
        parser.add_argument("--plan", choices=Tenant.Plan.values, default=Tenant.Plan.FREE.value)
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            tenant, generated = self._open(options)
        except Problem as problem:
            raise CommandError(reason(problem)) from problem
        told = {
            "tenant_id": str(tenant.id),
            "slug": tenant.slug,
            "owner_id": str(tenant.owner_id),
            "owner_email": options["owner_email"].strip().lower(),
        }
        if generated is not None:
            told["password"] = generated
        self.stdout.write(json.dumps(told) if options["json"] else "\n".join(f"{k}: {v}" for k, v in told.items()))

    def _open(self, options: dict[str, Any]) -> tuple[NewTenant, str | None]:
        """The tenant, and the password if one was generated."""
        name, email, actor = options["name"], options["owner_email"], Actor.command("create_tenant")
        owner_id = people.id_by_email(email)
        if owner_id is not None:
            if options["password_stdin"] or options["generate_password"]:
                raise CommandError(f"{email} has an account already, and it keeps its password. Leave the option out.")
            return services.open_tenant(name, owner_id, plan=options["plan"], actor=actor), None
        if options["generate_password"]:
            password = secrets.token_urlsafe(18)
        elif options["password_stdin"]:
            password = sys.stdin.readline().rstrip("\r\n")
        else:
            raise CommandError(f"{email} has no account yet: add --password-stdin or --generate-password.")
        tenant = services.sign_up(options["owner_name"], email, password, name, plan=options["plan"], actor=actor)
        return tenant, password if options["generate_password"] else None
