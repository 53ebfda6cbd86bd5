"""`manage.py quota`: show and set what a tenant, or a team, person or API key in it, may use."""

from argparse import ArgumentParser
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from apps.billing import services
from apps.billing.models import Quota
from apps.billing.usage import WINDOWS, By
from apps.limits.errors import LimitsError
from apps.tenants import selectors
from apps.tenants.admin_changes import note_saved, state
from apps.tenants.audit import Actor
from apps.tenants.models import Membership, Team

_COUNTS = (
    "parallel_calls",
    "requests_per_minute",
    "tokens_per_minute",
    "tokens_per_day",
    "tokens_per_month",
    "max_input_tokens",
    "max_output_tokens",
)
_BUDGETS = {"budget_day_usd": "budget_day_nanousd", "budget_month_usd": "budget_month_nanousd"}
_NONE = "none"
# Of the most expensive teams, people, keys and models.
_SHOWN = 10
_NANO = 1_000_000_000
_MOST = 2_000_000_000


class Command(BaseCommand):
    help = "Shows the quotas of a tenant; sets those that are given, of the tenant or of one team, person or key in it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tenant", help="the tenant's slug")
        whose = parser.add_mutually_exclusive_group()
        whose.add_argument("--team", help="of this team, by its name")
        whose.add_argument("--user", help="of this member, by e-mail")
        whose.add_argument("--key", help="of this API key, by the prefix that lists show, or its id")
        parser.add_argument("--used", action="store_true", help="show also what the tenant used, and was refused")
        for name in (*_COUNTS, *_BUDGETS):
            metavar = "DOLLARS" if name in _BUDGETS else "COUNT"
            parser.add_argument(f"--{name.replace('_', '-')}", metavar=metavar, help=f"a number, or “{_NONE}”")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant_id = selectors.tenant_id_by_slug(options["tenant"])
        if tenant_id is None:
            raise CommandError(f"There is no tenant “{options['tenant']}”.")
        whose = _whose(tenant_id, options)
        limits: dict[str, int | None] = {
            name: _count(name, options[name]) for name in _COUNTS if options[name] is not None
        }
        limits |= {_BUDGETS[name]: _nanousd(name, options[name]) for name in _BUDGETS if options[name] is not None}
        if limits:
            _set(tenant_id, whose, limits)
        rows = Quota.objects.using("engine").filter(tenant_id=tenant_id).select_related("team", "user", "api_key")
        if any(whose.values()):
            rows = rows.filter(**whose)
        for row in rows.order_by("id"):
            self.stdout.write(f"{_name(row)}: {_told(row)}")
        if not rows:
            self.stdout.write("There is no quota; the installation's own limits hold.")
        if options["used"]:
            self._show_used(tenant_id)

    def _show_used(self, tenant_id: UUID) -> None:
        for name, window in WINDOWS.items():
            used = services.used(tenant_id, window)
            self.stdout.write(
                f"last {name}: {used.calls} calls, {used.input_tokens} tokens in ({used.cached_tokens} cached), "
                f"{used.output_tokens} out ({used.reasoning_tokens} reasoning), {services.usd(used.amount_nanousd)} USD"
            )
            for by in By:
                shares = services.used_by(tenant_id, window, by)[:_SHOWN]
                if shares:
                    told = (f"{one.name} {one.used.calls} ({services.usd(one.used.amount_nanousd)})" for one in shares)
                    self.stdout.write(f"  by {by}: {', '.join(told)}")
            try:
                refused = services.refused(tenant_id, window)
            except LimitsError as error:
                raise CommandError("Redis does not answer, which knows what was refused.") from error
            if refused:
                told = (f"{kind} {sum(levels.values())}" for kind, levels in refused.items())
                self.stdout.write(f"  refused: {', '.join(told)}")


def _whose(tenant_id: UUID, options: dict[str, Any]) -> dict[str, UUID | None]:
    found: dict[str, UUID | None] = {"team_id": None, "user_id": None, "api_key_id": None}
    if options["team"]:
        teams = Team.objects.using("engine").filter(tenant_id=tenant_id, name__iexact=options["team"])
        found["team_id"] = teams.values_list("id", flat=True).first()
    elif options["user"]:
        members = Membership.objects.using("engine").filter(tenant_id=tenant_id, user__email__iexact=options["user"])
        found["user_id"] = members.values_list("user_id", flat=True).first()
    elif options["key"]:
        found["api_key_id"] = next(iter(selectors.key_named(tenant_id, options["key"]) or ()), None)
    else:
        return found
    if not any(found.values()):
        raise CommandError("There is no such team, member or key in this tenant.")
    return found


def _set(tenant_id: UUID, whose: dict[str, UUID | None], limits: dict[str, int | None]) -> None:
    with transaction.atomic(using="engine"):
        row = Quota.objects.using("engine").select_for_update(of=("self",)).filter(tenant_id=tenant_id, **whose).first()
        before = None if row is None else state(row)
        row = row or Quota(tenant_id=tenant_id, **whose)
        for name, limit in limits.items():
            setattr(row, name, limit)
        row.save(using="engine")
        note_saved(Actor.command("quota"), row, before)
    try:
        services.limits_changed(tenant_id)
    except LimitsError as error:
        raise CommandError("It is written down. Redis does not answer: processes follow within 30 s.") from error


def _count(name: str, text: str) -> int | None:
    if text == _NONE:
        return None
    if not text.isascii() or not text.isdigit() or int(text) > _MOST:
        raise CommandError(f"--{name.replace('_', '-')} is a number from 0 to {_MOST}, or “{_NONE}”.")
    return int(text)


def _nanousd(name: str, text: str) -> int | None:
    if text == _NONE:
        return None
    try:
        amount = Decimal(text) * _NANO
        if amount.is_finite() and 0 <= amount <= 9_000_000 * _NANO and amount == int(amount):
            return int(amount)
    except InvalidOperation:
        pass
    raise CommandError(f"--{name.replace('_', '-')} is an amount in dollars, or “{_NONE}”.")


def _name(row: Quota) -> str:
    if row.team is not None:
        return f"team {row.team.name}"
    if row.user is not None:
        return row.user.email
    return f"key {row.api_key}" if row.api_key is not None else "tenant"


def _told(row: Quota) -> str:
    told = [f"{name} {getattr(row, name)}" for name in _COUNTS if getattr(row, name) is not None]
    for name, column in _BUDGETS.items():
        amount = getattr(row, column)
        if amount is not None:
            told.append(f"{name} {services.usd(amount)}")
    return ", ".join(told) or "no limit"
