"""`manage.py create_tenant` and `create_api_key`."""

import io
import json
from uuid import UUID, uuid4

import pytest
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command

from apps.accounts import selectors as accounts
from apps.tenants import membership, offered, selectors, teams
from apps.tenants.contracts import OfferedName, Principal
from apps.tenants.models import ApiKey, Tenant
from tests.people import PASSWORD


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def owner() -> list[str]:
    return ["--owner-email", f"owner-{uuid4().hex}@example.org", "--owner-name", "Olive"]


def test_a_new_owner_gets_a_generated_password() -> None:
    arguments = owner()
    told = json.loads(run("create_tenant", "Acme", *arguments, "--generate-password", "--plan", "team", "--json"))
    assert authenticate(username=arguments[1], password=told["password"]) is not None
    principal = selectors.principal_for(UUID(told["owner_id"]), UUID(told["tenant_id"]))
    assert principal is not None
    assert (principal.role, principal.user_name, principal.tenant_name) == ("owner", "Olive", "Acme")
    assert Tenant.objects.using("engine").get(slug=told["slug"]).plan == "team"


def test_a_new_owners_password_is_read_and_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = owner()
    monkeypatch.setattr("sys.stdin", io.StringIO("a long enough secret\n"))
    assert "a long enough secret" not in run("create_tenant", "Acme", *arguments, "--password-stdin")
    assert authenticate(username=arguments[1], password="a long enough secret") is not None


def test_an_existing_account_owns_it_with_its_own_password(alice: Principal) -> None:
    arguments = ["--owner-email", alice.user_email.upper(), "--owner-name", "ignored"]
    told = json.loads(run("create_tenant", "Second", *arguments, "--json"))
    assert told["owner_id"] == str(alice.user_id)
    assert "password" not in told
    assert authenticate(username=alice.user_email, password=PASSWORD) is not None
    with pytest.raises(CommandError, match="keeps its password"):
        run("create_tenant", "Third", *arguments, "--generate-password")


def test_what_is_missing_or_wrong_makes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = owner()
    with pytest.raises(CommandError, match="add --password-stdin or --generate-password"):
        run("create_tenant", "Acme", *arguments)
    monkeypatch.setattr("sys.stdin", io.StringIO("weak\n"))
    with pytest.raises(CommandError, match="at least 12 characters"):
        run("create_tenant", "Acme", *arguments, "--password-stdin")
    with pytest.raises(CommandError, match="tenant_name"):
        run("create_tenant", " ", *arguments, "--generate-password")
    assert accounts.id_by_email(arguments[1]) is None


def test_a_key_is_printed_once_and_works(alice: Principal) -> None:
    slug = Tenant.objects.using("engine").get(id=alice.tenant_id).slug
    arguments = ["create_api_key", "--tenant", slug, "--email", alice.user_email, "--name", "ci"]
    principal = selectors.principal_for_api_key(run(*arguments).strip())
    assert principal is not None
    assert (principal.user_id, principal.tenant_id) == (alice.user_id, alice.tenant_id)
    told = json.loads(run(*arguments, "--expires-days", "3", "--scope", "chat", "--json"))
    key = ApiKey.objects.using("engine").get(id=told["id"])
    assert key.expires_at is not None
    assert (key.expires_at - key.created_at).days in (2, 3)
    assert key.scopes == ["chat"]


def test_a_key_is_for_members_alone(alice: Principal, mallory: Principal) -> None:
    slug = Tenant.objects.using("engine").get(id=alice.tenant_id).slug
    for tenant, email in ((slug, mallory.user_email), ("nowhere", alice.user_email), (slug, "nobody@example.org")):
        with pytest.raises(CommandError, match="is not an active member"):
            run("create_api_key", "--tenant", tenant, "--email", email, "--name", "ci")


def test_a_key_for_some_models_of_a_team_and_what_is_wrong_with_one(
    alice: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offered, "_handlers", [lambda principal: [OfferedName("cmd-one", "One")]])
    team_id = teams.create_team(alice, "Search")
    (place,) = [one.id for one in membership.members(alice) if one.user_id == alice.user_id]
    teams.add_member(alice, team_id, place)
    slug = Tenant.objects.using("engine").get(id=alice.tenant_id).slug
    wanted = ("create_api_key", "--tenant", slug, "--email", alice.user_email, "--name", "ci")
    secret = run(*wanted, "--scope", "completions", "--model", "cmd-one", "--team", "search").strip()
    key = selectors.principal_for_api_key(secret)
    assert key is not None and (key.models, key.scopes) == ({"cmd-one"}, {"completions"})
    assert ApiKey.objects.using("engine").get(id=key.api_key_id).team_id == team_id
    for more, told in ((("--model", "cmd-two"), "Not on offer"), (("--team", "Sales"), "in no team")):
        with pytest.raises(CommandError, match=told):
            run(*wanted, *more)
