"""`manage.py create_oauth_client NAME --redirect-uri URI`: register a program that people may sign in to."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.problems import Problem
from apps.tenants import oauth_clients
from apps.tenants.audit import Actor


class Command(BaseCommand):
    help = "Register a program that may ask people to sign in here (OAuth 2, OpenID Connect). Prints its client id."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="what people read when they are asked")
        parser.add_argument(
            "--redirect-uri",
            action="append",
            required=True,
            help="where answers go: https://…, http://127.0.0.1/…, or com.example.app:/…; may be given several times",
        )
        parser.add_argument(
            "--scope",
            action="append",
            choices=oauth_clients.SCOPES,
            help="what it may ask for; may be given several times, all of them by default",
        )
        parser.add_argument("--confidential", action="store_true", help="it runs on a server and can keep a secret")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            made = oauth_clients.create(
                options["name"],
                options["redirect_uri"],
                options["scope"] or oauth_clients.SCOPES,
                Actor.command("create_oauth_client"),
                confidential=options["confidential"],
            )
        except Problem as problem:
            raise CommandError(problem.detail) from problem
        self.stdout.write(f"client_id     {made.id}")
        if made.secret:
            self.stdout.write(f"client_secret {made.secret}  (shown this once)")
