"""At every door: asking with GET changes nothing that counts, and every answer carries its headers."""

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connections
from django.test import Client

from apps.tenants import policy
from tests import servers
from tests.house.test_policy_walk import OURS
from tests.people import new_address, new_owner, session_of

# What is noted about reading itself: who was where, when a key was used, what was looked at.
NOTES = {"django_session", "usersessions_usersession", "tenants_auditentry", "tenants_auditchain", "django_admin_log"}


@pytest.fixture
def superuser() -> Iterator[psycopg.Connection[Any]]:
    addresses = servers.shared()
    assert addresses is not None
    database = connections["default"].settings_dict["NAME"]
    with psycopg.connect(f"{addresses.admin.rpartition('/')[0]}/{database}", autocommit=True) as connection:
        yield connection


def contents(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    """Every table's number of rows and a sum over what they hold."""
    found = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
    ).fetchall()
    return {
        name: connection.execute(
            f'SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) FROM "{name}" t'
        ).fetchone()
        for (name,) in found
        if name not in NOTES
    }


def test_asking_changes_nothing(superuser: psycopg.Connection[Any]) -> None:
    owner = new_owner("Olive", "Reading")
    browser, before = session_of(owner), contents(superuser)
    asked = 0
    for path, view in OURS:
        if "GET" in (policy.declared(view) or {}):
            asked += 1
            assert browser.get(path).status_code < 500, path
            browser.head(path)
    assert asked > 25
    after = contents(superuser)
    assert {name for name in before if before[name] != after[name]} == set()
    browser.post("/api/v1/teams/", {"name": "A change"}, "application/json")
    assert contents(superuser)["tenants_team"] != before["tenants_team"], "a change is noticed"


# What is the same for everybody may be kept for a while.
KEPT = {"/.well-known/openid-configuration", "/.well-known/jwks.json"}


@pytest.mark.parametrize("who", ["owner", "nobody"])
def test_every_answer_carries_its_headers(who: str) -> None:
    browser = session_of(new_owner("Olive", "Headers")) if who == "owner" else Client(REMOTE_ADDR=new_address())
    wrong: list[tuple[str, str, str]] = []
    for path, view in OURS:
        for method in policy.declared(view) or {}:
            answered = browser.generic(method, path, "{}", content_type="application/json")
            told = {name.lower(): value for name, value in answered.headers.items()}
            rules = {
                "x-content-type-options": told.get("x-content-type-options") == "nosniff",
                "content-security-policy": "frame-ancestors 'none'" in told.get("content-security-policy", ""),
                "referrer-policy": told.get("referrer-policy") == "same-origin",
                "cache-control": path in KEPT or "no-store" in told.get("cache-control", ""),
                "access-control": path in KEPT or "access-control-allow-origin" not in told,
                "content-type": answered.status_code in (204, 302, 304)
                or bool(re.fullmatch(TYPES, told.get("content-type", ""))),
            }
            wrong += [(method, path, name) for name, holds in rules.items() if not holds]
    assert wrong == []


TYPES = (
    r"text/(html|plain|csv|event-stream); ?(version=[\d.]+; )?charset=utf-8"
    r"|application/((problem|scim)\+)?(json|x-ndjson|jsonl)(; charset=utf-8)?"
)


def test_a_new_installation_has_nobody_in_it() -> None:
    """No account, key or program comes with the product: the migrated template is empty of them."""
    addresses = servers.shared()
    assert addresses is not None
    with psycopg.connect(f"{addresses.admin.rpartition('/')[0]}/{addresses.template}", autocommit=True) as fresh:
        for table in (
            "accounts_user",
            "tenants_tenant",
            "tenants_apikey",
            "allauth_idp_oidc_client",
            "routing_provider",
        ):
            assert fresh.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
