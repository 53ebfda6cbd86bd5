"""`manage.py measure_cache [--store]`: how often would the semantic cache be right with the model that is installed?"""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.routing import cache_evidence
from apps.routing.caches import measure, minilm


class Command(BaseCommand):
    help = (
        "Measures the semantic cache on the pairs that come with the product: half of them ask the same in other "
        "words, half look alike and ask something else. With --store, a result at or above the target becomes the "
        "evidence without which no workspace can switch the semantic cache on; one below it takes the evidence away."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--store", action="store_true", help="keep the result")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = measure.report(cache_evidence.local_similarity(), minilm.FINGERPRINT)
        except minilm.NotInstalled as error:
            raise CommandError(str(error)) from error
        self.stdout.write(cache_evidence.table(found))
        if not options["store"]:
            return
        cache_evidence.store(minilm.NAME, found)
        if not found["passes"]:
            raise CommandError("Below the target: the semantic cache stays off.")
        self.stdout.write("Stored: workspaces can switch the semantic cache on.")
