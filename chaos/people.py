"""Run as `python -m chaos.people join TENANT KEYS` or `... off-board TENANT ADMINISTRATOR MEMBERSHIP` in a cluster.

A member with every kind of credential, and their leaving, done by a process that serves nobody. Prints JSON.
"""

import json
import os
import sys
import time
from importlib import import_module
from uuid import UUID, uuid4

import django


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatproject.settings")
    django.setup()
    match sys.argv[1:]:
        case ["join", tenant, keys]:
            print(json.dumps(_join(UUID(tenant), int(keys))))
        case ["off-board", tenant, administrator, membership]:
            print(json.dumps(_off_board(UUID(tenant), UUID(administrator), UUID(membership))))
        case _:
            sys.exit(__doc__)


def _join(tenant_id: UUID, keys: int) -> dict[str, object]:
    """A new member: API keys, an access and a refresh token, and a browser's session."""
    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY

    from apps.accounts import services as accounts
    from apps.accounts.models import User
    from apps.tenants import selectors, services
    from apps.tenants.contracts import SESSION_TENANT
    from apps.tenants.edge import tokens
    from apps.tenants.models import Membership

    user_id = accounts.register(f"leaver-{uuid4().hex[:8]}@example.com", "Leaver", "a long drill password")
    membership = Membership.objects.using("engine").create(tenant_id=tenant_id, user_id=user_id)
    principal = selectors.principal_for(user_id, tenant_id)
    if principal is None:
        raise RuntimeError("a new member is none")
    made = [services.create_api_key(principal, f"Drill {number}") for number in range(keys)]
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY] = str(user_id)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = User.objects.get(id=user_id).get_session_auth_hash()
    session[SESSION_TENANT] = str(tenant_id)
    session.save()
    pair = tokens.issue(principal, "drill")
    return {
        "user_id": str(user_id),
        "membership_id": str(membership.id),
        "keys": [{"id": str(key.id), "secret": key.secret} for key in made],
        "access": pair.access,
        "refresh": pair.refresh,
        "cookie": f"{settings.SESSION_COOKIE_NAME}={session.session_key}",
    }


def _off_board(tenant_id: UUID, administrator_id: UUID, membership_id: UUID) -> dict[str, object]:
    from apps.tenants import selectors, services

    administrator = selectors.principal_for(administrator_id, tenant_id)
    if administrator is None:
        raise RuntimeError("the administrator is no member")
    began_at = time.time()
    ended = services.offboard(administrator, membership_id)
    return {"began_at": began_at, "at": time.time(), "keys": ended.keys, "answers": ended.answers}


if __name__ == "__main__":
    main()
