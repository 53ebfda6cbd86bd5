"""Run as a script in a Stack's environment: what the benchmarks need in the database. Prints facts as JSON."""

from __future__ import annotations

import argparse
import json
import os
from uuid import UUID

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatproject.settings")

EMAIL = "bench@example.com"
MANY = 10_000_000
TOKENS_PER_MINUTE = 2 * 10**9
MUCH = 10**15  # nano-dollars, or tokens


def main() -> None:
    """Offer a provider's models (slug=upstream model), and open a tenant whose limits nobody meets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("simulator")
    parser.add_argument("offers", nargs="+", metavar="SLUG=UPSTREAM")
    parser.add_argument("--adapter", default="openai_compatible")
    parser.add_argument(
        "--limits", action="store_true", help="every kind of limit, for tenant, user and key, each too high to be met"
    )
    given = parser.parse_args()
    django.setup()
    from apps.accounts import selectors as accounts
    from apps.billing import services as billing
    from apps.routing import services as routing
    from apps.routing.contracts import NewPrice
    from apps.tenants import selectors as tenants_selectors
    from apps.tenants import services as tenants

    provider_id = routing.add_provider(
        name="Bench", base_url=f"{given.simulator}/v1", key="simulated", simulated=True, adapter=given.adapter
    )
    for offer in given.offers:
        slug, _, upstream = offer.partition("=")
        price = NewPrice(input_nanousd_per_mtok=100_000_000, output_nanousd_per_mtok=400_000_000)
        routing.register_model(provider_id=provider_id, upstream_model=upstream, price=price, slug=slug)
    if accounts.id_by_email(EMAIL) is None:
        tenants.sign_up("Bench", EMAIL, os.urandom(12).hex(), "Bench")
    user_id = accounts.id_by_email(EMAIL)
    principal = tenants_selectors.principal_for(user_id) if user_id is not None else None
    if principal is None:
        raise SystemExit("the benchmark's own person cannot sign in")
    key = tenants.create_api_key(principal, "Bench")
    if given.limits:
        _limit(principal.tenant_id)
        _limit(principal.tenant_id, user_id=principal.user_id)
        _limit(principal.tenant_id, api_key_id=key.id)
    else:
        billing.set_quota(tenant_id=principal.tenant_id, parallel_calls=MANY, requests_per_minute=MANY)
    print(json.dumps({"key": key.secret, "tenant_id": str(principal.tenant_id), "user_id": str(principal.user_id)}))


def _limit(tenant_id: UUID, *, user_id: UUID | None = None, api_key_id: UUID | None = None) -> None:
    """Set every kind of limit there is on one level, each too high to be met."""
    from apps.billing import services as billing

    billing.set_quota(
        tenant_id=tenant_id,
        user_id=user_id,
        api_key_id=api_key_id,
        parallel_calls=MANY,
        requests_per_minute=MANY,
        budget_day_nanousd=MUCH,
        budget_month_nanousd=MUCH,
        tokens_per_minute=TOKENS_PER_MINUTE,
        tokens_per_day=MUCH,
        tokens_per_month=MUCH,
    )


if __name__ == "__main__":
    main()
