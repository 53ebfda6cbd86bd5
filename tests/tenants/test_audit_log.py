"""Reading the audit log: who may, what it shows, and that reading it is an entry itself."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import AsyncClient, Client, override_settings

from apps.problems import Forbidden
from apps.tenants import audit, audit_log, selectors, services
from apps.tenants.audit_chain import walk
from apps.tenants.audit_log import Wanted
from apps.tenants.contracts import Principal
from apps.tenants.models import AuditEntry, Tenant
from apps.tenants.scope import database_step, tenant_scope
from tests.people import new_member


@pytest.fixture(autouse=True)
def whole_product(doors: None) -> Iterator[None]:
    with override_settings(ROOT_URLCONF="chatproject.urls"):
        yield


def write(principal: Principal, action: str, count: int = 1, **entry: Any) -> None:
    with tenant_scope(principal.tenant_id):
        for _ in range(count):
            audit.record(principal.tenant_id, audit.Actor.of(principal), action, **entry)


def told(principal: Principal) -> list[tuple[str, str]]:
    """(action, actor) of every entry, the earliest first."""
    rows = AuditEntry.objects.using("engine").filter(tenant_id=principal.tenant_id)
    return list(rows.order_by("seq").values_list("action", "actor"))


def found(principal: Principal, **filters: Any) -> list[str]:
    return [entry.action for entry in audit_log.page(principal, Wanted(**filters)).entries]


@pytest.mark.parametrize("role", ["member", "viewer", "billing_admin"])
def test_only_administrators_read_it(
    alice: Principal, role: str, api_key_of: Callable[[Principal], str], client_of: Callable[[Principal], Client]
) -> None:
    other = new_member(alice, "Otto", role)
    for read in (lambda: audit_log.page(other, Wanted()), lambda: audit_log.begin_export(other, Wanted(), "csv")):
        with pytest.raises(Forbidden):
            read()
    browser = client_of(other)
    assert browser.get("/settings/workspace/audit/").status_code == 403
    assert browser.post("/settings/workspace/audit/export/", {"file": "csv"}).status_code == 403
    assert browser.get("/api/v1/audit/").status_code == 403
    assert browser.get("/api/v1/audit/export/").status_code == 403
    assert client_of(new_member(alice, "Ada", "admin")).get("/api/v1/audit/").status_code == 200
    assert Client().get("/api/v1/audit/").status_code == 401


def test_nobody_reads_another_tenants(
    alice: Principal, mallory: Principal, client_of: Callable[[Principal], Client]
) -> None:
    mark = str(uuid4())
    write(alice, "canary.sung", target=("canary", mark))
    for path in ("/api/v1/audit/", "/settings/workspace/audit/", f"/api/v1/audit/?target=canary:{mark}"):
        assert mark in client_of(alice).get(path).content.decode()
        response = client_of(mallory).get(path)
        assert response.status_code == 200
        assert "canary.sung" not in response.content.decode()


def test_pages_go_back_to_the_first_entry(alice: Principal, client_of: Callable[[Principal], Client]) -> None:
    write(alice, "thing.done", 7)
    browser, seen, before = client_of(alice), [], ""
    for _ in range(10):
        body = browser.get(f"/api/v1/audit/?limit=3{before}").json()
        seen += [entry["seq"] for entry in body["items"]]
        if body["next"] is None:
            break
        before = f"&before={body['next']}"
    assert seen[-8:] == [8, 7, 6, 5, 4, 3, 2, 1]
    assert len(set(seen)) == len(seen)


def test_filters(alice: Principal, bob: Principal) -> None:
    write(alice, "member.added", target=("membership", "m1"))
    write(bob, "member.removed", target=("membership", "m2"))
    write(bob, "team.made", target=("team", "m1"))
    assert found(alice, action="member.removed") == ["member.removed"]
    assert found(alice, action="member.") == ["member.removed", "member.added"]
    assert found(alice, action="member") == []
    assert found(alice, actor="BOB-") == ["team.made", "member.removed"]
    assert found(alice, actor=str(bob.user_id)) == ["team.made", "member.removed"]
    assert found(alice, target_kind="membership") == ["member.removed", "member.added"]
    assert found(alice, target_kind="membership", target_id="m1") == ["member.added"]
    now = datetime.now(UTC)
    assert found(alice, until=now - timedelta(minutes=5)) == []
    assert "member.added" in found(alice, since=now - timedelta(minutes=5), until=now + timedelta(minutes=5))


@pytest.mark.parametrize(
    "query",
    [
        "since=yesterday",
        "before=0",
        "before=99999999999999999999",
        "limit=1000",
        "target=a b",
        "action=%00",
        f"actor={'x' * 300}",
        "file=xml",
    ],
)
def test_filters_that_are_refused(alice: Principal, client_of: Callable[[Principal], Client], query: str) -> None:
    response = client_of(alice).get(f"/api/v1/audit/?{query}")
    assert response.status_code == 400
    assert response.json()["errors"].keys() == {query.partition("=")[0]}


def test_reading_is_noted_once_in_a_while(alice: Principal, client_of: Callable[[Principal], Client]) -> None:
    browser = client_of(alice)
    for _ in range(3):
        assert browser.get("/api/v1/audit/").status_code == 200
    assert [entry for entry in told(alice) if entry[0] == "audit.read"] == [("audit.read", alice.user_email)]
    other = new_member(alice, "Ada", "admin")
    client_of(other).get("/api/v1/audit/")
    assert told(alice)[-1] == ("audit.read", other.user_email)
    assert walk(alice.tenant_id).broken is None


def test_looking_at_others_keys_is_noted_and_at_ones_own_is_not(alice: Principal, bob: Principal) -> None:
    services.create_api_key(alice, "own")
    selectors.api_keys(alice)
    assert "api_key.listed" not in dict(told(alice))
    services.create_api_key(bob, "his")
    selectors.api_keys(bob)
    assert "api_key.listed" not in dict(told(alice))
    for _ in range(2):
        selectors.api_keys(alice)
    assert [entry for entry in told(alice) if entry[0] == "api_key.listed"] == [("api_key.listed", alice.user_email)]


def test_the_page_shows_entries_in_words(alice: Principal, client_of: Callable[[Principal], Client]) -> None:
    hostile = "<script>alert(1)</script>"
    write(alice, "member.role_changed", data={"role": {"from": "viewer", "to": "admin"}, "note": hostile})
    page = client_of(alice).get("/settings/workspace/audit/")
    text = page.content.decode()
    assert page.status_code == 200
    assert "no-store" in page["Cache-Control"]
    assert "Member role changed" in text
    assert "viewer → admin" in text
    assert hostile not in text
    filtered = client_of(alice).get("/settings/workspace/audit/?action=nothing.").content.decode()
    assert "Nothing found" in filtered
    assert client_of(alice).get("/settings/workspace/audit/?since=never").status_code == 400


def test_the_page_leads_to_older_entries(alice: Principal, client_of: Callable[[Principal], Client]) -> None:
    write(alice, "thing.done", 60)
    first = client_of(alice).get("/settings/workspace/audit/?action=thing.")
    assert first.content.decode().count("Thing done") == 50
    older = client_of(alice).get(f"/settings/workspace/audit/?{first.context['older']}")
    assert older.content.decode().count("Thing done") == 10
    assert "Older" not in older.content.decode()


async def _body(response: Any) -> bytes:
    return b"".join([part async for part in response.streaming_content])


@pytest.mark.parametrize("file", ["jsonl", "csv"])
async def test_an_export_is_streamed_and_noted(
    alice: Principal, api_key_of: Callable[[Principal], str], file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_log, "EXPORT_BATCH", 2)
    await database_step(write, alice, "thing.done", 5, data={"name": "=1+1", "ü": [1, 2]})
    key = await database_step(api_key_of, alice)
    response: Any = await AsyncClient().get(
        f"/api/v1/audit/export/?file={file}", headers={"Authorization": f"Bearer {key}"}
    )
    assert response.status_code == 200
    assert response["Content-Disposition"].endswith(f'.{file}"')
    body = (await _body(response)).decode()
    if file == "jsonl":
        lines = [json.loads(line) for line in body.splitlines()]
        assert [line["previous_hash"] for line in lines[1:]] == [line["hash"] for line in lines[:-1]]
        assert lines[1]["data"] == {"name": "=1+1", "ü": [1, 2]}
    else:
        lines = list(csv.DictReader(io.StringIO(body)))
    assert [int(line["seq"]) for line in lines] == list(range(1, 9))
    assert lines[-1]["action"] == "audit.exported"
    assert {line["action"] for line in lines} == {"tenant.opened", "thing.done", "api_key.made", "audit.exported"}


def test_a_spreadsheet_finds_no_formula() -> None:
    entry = audit_log.Entry(
        1, datetime.now(UTC), uuid4(), None, "=cmd()", "job", "@x", "+1", "-1", None, "", {}, "", "00"
    )
    (cells,) = csv.reader(io.StringIO(audit_log.line_of(entry, "csv").decode()))
    assert [cells[column] for column in (2, 5, 6, 7)] == ["'=cmd()", "'@x", "'+1", "'-1"]


def test_the_command_exports_a_whole_chain(alice: Principal, tmp_path: Path) -> None:
    write(alice, "thing.done", 3)
    slug = Tenant.objects.using("engine").get(id=alice.tenant_id).slug
    target = tmp_path / "audit.jsonl"
    call_command("export_audit", "--tenant", slug, "--out", str(target), stdout=io.StringIO())
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    assert [line["seq"] for line in lines] == [1, 2, 3, 4, 5]
    assert (lines[-1]["action"], lines[-1]["via"]) == ("audit.exported", "command")
    assert target.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [target]
    with pytest.raises(CommandError, match="No such file"):
        call_command("export_audit", "--tenant", slug, "--out", str(tmp_path / "no" / "x"), stdout=io.StringIO())
    with pytest.raises(CommandError, match="There is no tenant"):
        call_command("export_audit", "--tenant", "nobody", "--out", str(target), stdout=io.StringIO())


def test_what_is_done_by_command_is_noted_as_done_by_command(alice: Principal) -> None:
    slug = Tenant.objects.using("engine").get(id=alice.tenant_id).slug
    call_command(
        "create_api_key", "--tenant", slug, "--email", alice.user_email, "--name", "nightly", stdout=io.StringIO()
    )
    entry = AuditEntry.objects.using("engine").filter(tenant_id=alice.tenant_id).latest("seq")
    assert (entry.action, entry.via, entry.actor_id) == ("api_key.made", "command", None)
    assert entry.actor.startswith("manage.py create_api_key (")
    assert entry.data["speaks_for"] == str(alice.user_id)
    key = selectors.api_keys(alice)[0]
    services.revoke_api_key(alice, key.id)
    services.revoke_api_key(alice, key.id)
    assert [action for action, _ in told(alice)] == ["tenant.opened", "api_key.made", "api_key.revoked"]


def test_what_a_key_does_names_the_key(alice: Principal) -> None:
    key = services.create_api_key(alice, "nightly")
    caller = selectors.principal_for_api_key(key.secret)
    assert caller is not None
    audit_log.page(caller, Wanted())
    entry = AuditEntry.objects.using("engine").filter(tenant_id=alice.tenant_id).latest("seq")
    assert (entry.actor, entry.via) == (f"{alice.user_email} (key {key.id})", "api_key")
    assert "audit.read" in found(alice, actor=alice.user_email)


def test_operators_revoking_keys_are_noted_in_each_tenant(alice: Principal, mallory: Principal) -> None:
    keys = [services.create_api_key(person, "k").id for person in (alice, mallory)]
    assert services.revoke_api_keys_as_operator(keys, audit.Actor(None, "olga@example.org", "admin")) == 2
    for person in (alice, mallory):
        assert told(person)[-1] == ("api_key.revoked", "olga@example.org")


def test_the_installations_chain_is_nobodys_to_read(alice: Principal) -> None:
    mark = str(uuid4())
    with transaction.atomic(using="engine"):
        audit.record(None, audit.Actor.job("test"), "canary.sung", target=("canary", mark), using="engine")
    assert found(alice, target_id=mark) == []
