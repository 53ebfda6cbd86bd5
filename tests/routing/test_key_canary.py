"""A provider's key goes in and is sent to the provider; it comes out nowhere else. A canary, looked for everywhere."""

import base64
import io
import logging
import secrets
import traceback
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
import redis
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import Client
from psycopg import sql

from apps.accounts.models import User
from apps.observability import logging as product_logging
from apps.problems import Problem
from apps.routing import provider_keys, services
from apps.routing.contracts import NewPrice, ProviderAccess
from apps.routing.models import Provider
from apps.routing.providers import refusals
from apps.tenants.contracts import Principal
from apps.tenants.models import Tenant
from apps.vault import VaultError
from tests.people import Operator, new_address, prove_second_factor
from tests.tenants.tampering import superuser

URL = "http://127.0.0.1:9/v1"


@pytest.fixture
def canary() -> str:
    """Looks like no credential, so that nothing blots it out by its looks."""
    return f"canary{secrets.token_hex(12)}"


@pytest.fixture
def told(capfd: pytest.CaptureFixture[str]) -> Iterator[list[str]]:
    """All that is said outside: add to it; what is logged at DEBUG is added at the end by `everything`."""
    product_logging.configure(level="DEBUG", format="json")
    logging.getLogger("django.template").setLevel("INFO")  # tells of every variable that a page does without
    yield []
    logging.getLogger("django.template").setLevel("NOTSET")
    product_logging.configure(level="WARNING", format="console")


@pytest.fixture
def desk(operator: Operator) -> Client:
    client = Client(REMOTE_ADDR=new_address())
    client.force_login(User.objects.get(id=operator.id))
    prove_second_factor(client, operator.id)
    return client


def spellings(key: str) -> list[str]:
    """The key, and the plainest disguises it could leave in."""
    return [key, base64.b64encode(key.encode()).decode().rstrip("=")[:-1], key.encode().hex(), key[::-1]]


def in_database(key: str) -> list[str]:
    """Tables with a row that holds the key in any column, bytes included."""
    found = []
    with superuser() as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'm') AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        assert len(tables) > 30
        for (table,) in tables:
            query = sql.SQL("SELECT 1 FROM {} AS t WHERE t::text LIKE ANY(%s) LIMIT 1").format(sql.Identifier(table))
            if connection.execute(query, [[f"%{one}%" for one in spellings(key)]]).fetchone():
                found.append(table)
    return found


def in_redis(key: str) -> list[bytes]:
    """Keys of both servers whose values hold it."""
    found = []
    for url in (settings.REDIS_URL, settings.REDIS_CACHE_URL):
        with redis.Redis.from_url(url) as server:
            for name in server.scan_iter(count=1000):
                if any(one.encode() in (server.dump(name) or b"") for one in spellings(key)):
                    found.append(name)
    return found


def put_in(desk: Client, alice: Principal, canary: str, monkeypatch: pytest.MonkeyPatch, told: list[str]) -> None:
    """The key through every door that takes one, and every way of being refused there."""
    slug = Tenant.objects.using("engine").get(id=alice.tenant_id).slug
    monkeypatch.setenv("CANARY", canary)
    for name, address in (("Command", URL), ("Command", "http://127.0.0.1:9/other"), ("Refused", "ftp://127.0.0.1")):
        out = io.StringIO()
        try:
            call_command(
                "add_provider", name, "--base-url", address, "--key-env", "CANARY", "--model", f"m-{uuid4()}", "--free",
                "--tenant", slug, stdout=out, stderr=out,
            )  # fmt: skip
        except CommandError as error:
            told.append(repr(error) + "".join(traceback.format_exception(error)))
        told.append(out.getvalue())
    form = {"tenant": str(alice.tenant_id), "slug": "desk", "name": "Desk", "adapter": "openai_compatible"}
    form |= {"address": URL, "enabled": "on"}
    for change in ({}, {"remove_key": "on"}, {"address": "ftp://x"}, {"name": ""}):
        page = desk.post("/admin/routing/provider/add/", {**form, **change, "key": canary}, follow=True)
        told.append(page.content.decode())
    for refused in (f"{canary} two words", f"{canary}ä"):
        with pytest.raises(Problem) as caught:
            services.add_provider(name="Bad", base_url=URL, key=refused, tenant_id=alice.tenant_id)
        told.append(repr(caught.value) + str(caught.value) + str(caught.value.body()))


def look_around(desk: Client, browser: Client, provider: Provider, told: list[str]) -> None:
    """Every page and answer that speaks of providers and models."""
    for path in (
        "/admin/routing/provider/",
        f"/admin/routing/provider/{provider.id}/change/",
        f"/admin/routing/provider/{provider.id}/history/",
    ):
        page = desk.get(path)
        assert page.status_code == 200, path
        told.append(page.content.decode())
    for path in ("/api/v1/models/", "/v1/models", "/api/v1/audit/", "/settings/workspace/audit/", "/chat/"):
        page = browser.get(path)
        assert page.status_code == 200, path
        told.append(page.content.decode())


def fail_with(access: ProviderAccess, provider: Provider, key: str, told: list[str]) -> None:
    """Errors whose makers hold the key in their hands: a provider that echoes it, a vault that does not open."""
    echo = f'{{"error": {{"message": "Incorrect API key provided: {key}", "code": "{key}"}}}}'.encode()
    for status in (400, 401, 403, 404, 422, 429, 500):
        failure = refusals.from_status(status, echo, {}, "Lab", access)
        told.append(f"{failure!r} {failure} {failure.body()}")
    for place, text in ((uuid4(), provider.sealed_key), (provider.id, provider.sealed_key[:-6] + "AAAAAA")):
        with pytest.raises(VaultError) as caught:
            provider_keys.open_key(place, text)
        below = caught.tb.tb_next  # this very frame holds the key, of course
        told += traceback.TracebackException(caught.type, caught.value, below, capture_locals=True).format()
    told.append(f"{access!r} {access} {provider!r} {provider} {vars(provider)}")
    logging.getLogger("test").warning("reached %s", access)


def test_a_canary_that_was_given_as_a_key_is_never_seen_again(
    desk: Client,
    alice: Principal,
    canary: str,
    told: list[str],
    monkeypatch: pytest.MonkeyPatch,
    client_of: Callable[[Principal], Client],
    capfd: pytest.CaptureFixture[str],
) -> None:
    put_in(desk, alice, canary, monkeypatch, told)
    rows = list(Provider.objects.using("engine").filter(tenant_id=alice.tenant_id))
    assert {row.slug for row in rows} == {"command", "desk"}
    for row in rows:
        assert provider_keys.open_key(row.id, row.sealed_key) == canary, "it was really stored"
        services.register_model(provider_id=row.id, upstream_model=f"up-{row.slug}", price=NewPrice(1, 2))
        look_around(desk, client_of(alice), row, told)
        fail_with(ProviderAccess(row.base_url, canary), row, canary, told)
    logged = capfd.readouterr()
    assert "request" in logged.err, "logs were looked at"
    told += [logged.out, logged.err]
    text = "\n".join(told)
    assert [one for one in spellings(canary) if one in text] == []
    assert in_database(canary) == []
    assert in_redis(canary) == []


def test_the_search_finds_what_is_there(alice: Principal, canary: str) -> None:
    """A canary in plain sight is found, so that finding none means something."""
    services.add_provider(name=canary, base_url=URL, tenant_id=alice.tenant_id)
    assert {"routing_provider", "tenants_auditentry"} <= set(in_database(canary))
    with redis.Redis.from_url(settings.REDIS_CACHE_URL) as server:
        server.set(f"{settings.REDIS_PREFIX}canary", canary, ex=5)
    assert any(b"canary" in name for name in in_redis(canary))


def test_a_changed_address_without_the_key_is_refused_by_the_database_itself(alice: Principal) -> None:
    provider_id = services.add_provider(name="Lab", base_url=URL, key="sk-lab", tenant_id=alice.tenant_id)
    rows: Any = Provider.objects.using("engine").filter(id=provider_id)
    before = rows.get()
    with pytest.raises(Exception, match="needs its key again"):
        rows.update(base_url="http://evil.example/v1")
    assert rows.get().base_url == URL
    assert rows.update(base_url="http://new.example/v1", sealed_key=provider_keys.seal(provider_id, "sk-lab")) == 1
    assert rows.update(base_url="http://open.example/v1", sealed_key="") == 1
    assert rows.update(base_url=URL) == 1, "without a key there is nothing to send elsewhere"
    assert before.sealed_key
