"""`manage.py reconcile`: whether attempts, ledger, counters, and the simulator's bill agree."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import requests
from django.core.management.base import BaseCommand, CommandError
from django.db.models import Exists, OuterRef
from django.utils import timezone

from apps.billing import provider_bill
from apps.billing import services as billing
from apps.billing.models import LedgerEntry
from apps.conversations.models import Attempt
from apps.limits.errors import LimitsError
from apps.routing.models import Provider
from apps.tenants import selectors
from apps.tenants.models import Tenant

_SHOWN = 20
_BILL_SECONDS = 30


class Command(BaseCommand):
    help = "Compares calls to providers with the ledger, and the ledger with the counters; exit status 1 if any differ."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", help="only this tenant, by its slug")
        parser.add_argument("--days", type=int, default=31, help="calls that ended in the last days (31)")
        parser.add_argument("--simulator", metavar="URL", help="compare the ledger with this simulator's bill too")

    def handle(self, *args: Any, **options: Any) -> None:
        tenants = self._tenants(options["tenant"])
        if not 1 <= options["days"] <= 3660:
            raise CommandError("--days is a number from 1 to 3660.")
        since = timezone.now() - timedelta(days=options["days"])
        found = 0
        for tenant_id, slug in tenants:
            missing = _unwritten(tenant_id, since)
            for attempt_id in missing[:_SHOWN]:
                self.stdout.write(f"{slug}: attempt {attempt_id} has no line in the ledger")
            if len(missing) > _SHOWN:
                self.stdout.write(f"{slug}: and {len(missing) - _SHOWN} more")
            try:
                differing = billing.differences(tenant_id)
            except LimitsError as error:
                raise CommandError("The counters cannot be read: Redis does not answer.") from error
            for one in differing:
                self.stdout.write(
                    f"{slug}: {one.scope} {one.kind}: counted {one.counted}, the ledger says {one.written}"
                )
            found += len(missing) + len(differing)
        if options["simulator"]:
            found += self._compare_bill(options["simulator"], tenants[0][0] if options["tenant"] else None)
        if found:
            raise CommandError(f"Differences: {found}.")
        bill = ", and the simulator's bill," if options["simulator"] else ""
        self.stdout.write(f"Attempts, ledger and counters{bill} agree, in {len(tenants)} tenants.")

    def _compare_bill(self, url: str, tenant_id: UUID | None) -> int:
        """After the counters, whose comparison drains what was settled. Returns how many differences there are."""
        try:
            with requests.get(f"{url.rstrip('/')}/control/bill.jsonl", timeout=_BILL_SECONDS, stream=True) as response:
                response.raise_for_status()
                calls = provider_bill.read(orjson.loads(line) for line in response.iter_lines() if line)
        except (requests.RequestException, ValueError, KeyError, TypeError) as error:
            raise CommandError(f"There is no bill at {url}.") from error
        providers = Provider.objects.using("engine").filter(simulated=True).values_list("slug", flat=True)
        found = provider_bill.differences(calls, providers, tenant_id)
        for one in found[:_SHOWN]:
            self.stdout.write(one)
        if len(found) > _SHOWN:
            self.stdout.write(f"and {len(found) - _SHOWN} more")
        return len(found)

    def _tenants(self, slug: str | None) -> list[tuple[UUID, str]]:
        if slug is not None:
            tenant_id = selectors.tenant_id_by_slug(slug)
            if tenant_id is None:
                raise CommandError(f"There is no tenant “{slug}”.")
            return [(tenant_id, slug)]
        return list(Tenant.objects.using("engine").filter(deleted_at=None).order_by("id").values_list("id", "slug"))


def _unwritten(tenant_id: UUID, since: Any) -> list[UUID]:
    lines = LedgerEntry.objects.using("engine").filter(attempt_id=OuterRef("id"))
    ended = Attempt.objects.using("engine").filter(tenant_id=tenant_id, began_at__gte=since)
    ended = ended.exclude(state=Attempt.State.BEGUN).filter(~Exists(lines))
    return list(ended.order_by("id").values_list("id", flat=True))
