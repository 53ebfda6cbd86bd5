"""Run as `python -m chaos.seed PATH` in a cluster's environment: two tenants, their keys, high quotas, the offers."""

import json
import os
import sys
from pathlib import Path

import django

TENANTS = ("Northwind Drill", "Harbour Drill")
PARALLEL_CALLS = 5_000
REQUESTS_PER_MINUTE = 100_000


def main() -> None:
    """Seed, and write who may call to the file named on the command line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatproject.settings")
    django.setup()
    _offer()
    target = Path(sys.argv[1])
    target.write_text(json.dumps([_caller(number, name) for number, name in enumerate(TENANTS, start=1)]))


def _caller(number: int, name: str) -> dict[str, str]:
    from apps.billing import services as billing
    from apps.tenants import selectors, services

    opened = services.sign_up(f"Drill {number}", f"drill{number}@example.com", "a long drill password", name)
    principal = selectors.principal_for(opened.owner_id, opened.id)
    if principal is None:
        raise RuntimeError("the owner of a new tenant is not its member")
    billing.set_quota(tenant_id=opened.id, parallel_calls=PARALLEL_CALLS, requests_per_minute=REQUESTS_PER_MINUTE)
    key = services.create_api_key(principal, "Drills")
    return {"tenant_id": str(opened.id), "user_id": str(opened.owner_id), "api_key": key.secret}


def _offer() -> None:
    from apps.routing import services as routing
    from apps.routing.contracts import NewPrice
    from chaos.offers import OFFERS

    provider_id = routing.add_provider(
        name="Simulator", base_url=f"{os.environ['SIMULATOR_URL']}/v1", key="simulated", simulated=True
    )
    for offer in OFFERS:
        price = NewPrice(offer.price.input_nanousd_per_mtok, offer.price.output_nanousd_per_mtok)
        for priority, upstream_model in enumerate(offer.deployments, start=1):
            routing.register_model(
                provider_id=provider_id,
                upstream_model=upstream_model,
                price=price,
                slug=offer.slug,
                name=offer.slug.title(),
                max_output_tokens=offer.max_output_tokens,
                priority=priority,
            )


if __name__ == "__main__":
    main()
