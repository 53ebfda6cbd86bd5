import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand


class Command(BaseCommand):
    """The whole product on this machine, restarted when its files change."""

    help = "Run everything on this machine, with auto-reload. Settings: see .env.example."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", help="port of the web server (default: PORT, else 8000)")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["port"]:
            os.environ["PORT"] = options["port"]
        os.execv(sys.executable, [sys.executable, "-m", "onebox", "dev"])  # noqa: S606 - our own program
