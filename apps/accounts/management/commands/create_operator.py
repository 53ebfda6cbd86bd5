"""Make an account that may open the administration."""

import json
import secrets
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.accounts import services
from apps.accounts.errors import InvalidAccount


class Command(BaseCommand):
    help = "Make an account that may open the administration. Operators cross tenants: there should be few."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--name", required=True)
        password = parser.add_mutually_exclusive_group(required=True)
        password.add_argument("--password-stdin", action="store_true", help="read the password from stdin")
        password.add_argument("--generate-password", action="store_true", help="make one and print it once")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        generated = secrets.token_urlsafe(18) if options["generate_password"] else None
        password = generated or sys.stdin.readline().rstrip("\r\n")
        try:
            user_id = services.create_operator(options["email"], options["name"], password)
        except InvalidAccount as problem:
            found = " ".join(f"{name}: {' '.join(told)}" for name, told in (problem.fields or {}).items())
            raise CommandError(f"{problem.detail} {found}") from problem
        told = {"user_id": str(user_id), "email": options["email"].strip().lower()}
        if generated is not None:
            told["password"] = generated
        self.stdout.write(json.dumps(told) if options["json"] else "\n".join(f"{k}: {v}" for k, v in told.items()))
