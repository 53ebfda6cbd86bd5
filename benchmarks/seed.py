"""Run as a script in a Stack's environment: what the benchmarks need in the database. Prints facts as JSON."""

from __future__ import annotations

import argparse
import json
import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatproject.settings")

EMAIL = "bench@example.com"
MANY = 10_000_000
MUCH = 10**15  # nano-dollars


def main() -> None:
    """Offer a provider's models (slug=upstream model), and open a tenant without limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("simulator")
    parser.add_argument("offers", nargs="+", metavar="SLUG=UPSTREAM")
    parser.add_argument("--adapter", default="openai_compatible")
    parser.add_argument("--limits", action="store_true", help="set every kind of limit, each too high to be met")
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
    money = {"budget_day_nanousd": MUCH, "budget_month_nanousd": MUCH} if given.limits else {}
    for user_id in (None, principal.user_id) if given.limits else (None,):
        billing.set_quota(
            tenant_id=principal.tenant_id,
            user_id=user_id,
            parallel_calls=MANY,
            requests_per_minute=MANY,
            **money,
        )
    key = tenants.create_api_key(principal, "Bench").secret
    print(json.dumps({"key": key, "tenant_id": str(principal.tenant_id), "user_id": str(principal.user_id)}))


if __name__ == "__main__":
    main()
