"""Run beside an installation, in its environment: offers the journeys' models, makes people, prints them as JSON.

Each person owns a workspace and is signed in twice already, as on two devices: signing in by the page is slowed down
for an address that does it often, and is a journey of its own.
"""

import json
import os
import sys

import django
from django.conf import settings
from django.test import Client

from tests.journeys.models import MODELS

PASSWORD = "a long walk by the river"
DEVICES = 2


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "chatproject.settings"
    django.setup()
    settings.PASSWORD_HASHERS = ["tests.hashers.QuickPBKDF2", *settings.PASSWORD_HASHERS]
    offer_models()
    first, count = int(sys.argv[1]), int(sys.argv[2])
    json.dump([person(number) for number in range(first, first + count)], sys.stdout)


def offer_models() -> None:
    from apps.routing import services
    from apps.routing.contracts import NewPrice

    provider_id = services.add_provider(
        name="Journeys", base_url=os.environ["SIMULATOR_URL"] + "/v1", key="simulated", simulated=True
    )
    for position, (slug, model) in enumerate(MODELS.items(), start=101):
        services.register_model(
            provider_id=provider_id,
            upstream_model=model.upstream,
            slug=slug,
            name=model.name,
            position=position,
            price=NewPrice(1_000_000_000, 2_000_000_000),
        )


def person(number: int) -> dict[str, object]:
    from apps.accounts.models import User
    from apps.tenants import services

    email = f"person-{number}@example.org"
    tenant = services.sign_up(f"Nora Reader {number}", email, PASSWORD, f"Reading Room {number}")
    user = User.objects.get(id=tenant.owner_id)
    return {
        "email": email,
        "password": PASSWORD,
        "user_id": str(tenant.owner_id),
        "sessions": [session(user, str(tenant.id)) for _ in range(DEVICES)],
    }


def session(user: object, tenant_id: str) -> str:
    client = Client()
    client.force_login(user)  # type: ignore[arg-type]
    kept = client.session
    kept["tenant_id"] = tenant_id
    kept.save()
    return client.cookies[settings.SESSION_COOKIE_NAME].value


if __name__ == "__main__":
    main()
