"""Whatever stands in a header that could be a credential: 401 where it is none, and never a fault of ours."""

from itertools import product

import pytest
from django.test import AsyncClient, Client

from apps.tenants import services
from apps.tenants.contracts import Principal
from apps.tenants.edge import tokens
from apps.tenants.scope import database_step

HOSTILE = [
    "",
    " ",
    "'",
    "' OR '1'='1",
    "'; DROP TABLE tenants_apikey; --",
    "sk-sb-' OR 1=1 --",
    "sk-sb-aaaaaaaaaa-' OR 1=1 --aaaaaaaaaaaaaaaaaaaa",
    "sk-sb-%s%s%s%s%s-aaaaaaaaaaaaaaaaaaaaaaaa",
    "sk-sb-aaaaaaaaaa-\0aaaaaaaaaaaaaaaaaaaaaaa",
    "\0",
    "a\0b.c\0d.e\0f",
    "é" * 30,
    "sk-sb-äöüäöüäöüä-aaaaaaaaaaaaaaaaaaaaaaaaa",
    "\udcff\udcfe",
    "☃" * 30,
    "x" * 100_000,
    "sk-sb-" + "a" * 100_000,
    "..",
    "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.",
    "eyJhbGciOiJIUzI1NiIsImtpZCI6eyJhIjoxfX0.e30.e30",
    "eyJhbGciOiJIUzI1NiIsImtpZCI6bnVsbH0.e30.e30",
    "[]",
    "{}",
    "null",
    "undefined",
]
SENT = [
    ("HTTP_AUTHORIZATION", "Bearer {}"),
    ("HTTP_AUTHORIZATION", "bearer  {}"),
    ("HTTP_X_API_KEY", "{}"),
]
DOORS = ["/api/v1/accounts/me/", "/v1/probe", "/api/v1/api-keys/"]


@pytest.mark.parametrize(("header", "form"), SENT)
def test_no_header_is_more_than_refused(header: str, form: str) -> None:
    client = Client(raise_request_exception=False)
    for value, door in product(HOSTILE, DOORS):
        response = client.get(door, **{header: form.format(value)})
        if door != "/v1/probe":  # tells who calls, to anybody
            assert (response.status_code, response.json()["code"]) == (401, "invalid_credentials"), (value[:40], door)
        else:
            assert response.json()["principal"] is None


@pytest.mark.parametrize("value", [*HOSTILE, "a" * 32 + "\0", "' OR session_key IS NOT NULL --"])
def test_no_cookie_is_more_than_nobody(value: str) -> None:
    arrives = value.encode("utf-8", "surrogatepass").decode("latin-1")  # as servers hand headers over
    for name in ("sessionid", "csrftoken", "messages"):
        client = Client(raise_request_exception=False)
        response = client.get(DOORS[0], HTTP_COOKIE=f"{name}={arrives}")
        assert response.status_code == 401, name


@pytest.mark.parametrize("value", HOSTILE)
def test_no_tenants_name_is_more_than_a_mismatch(alice: Principal, value: str) -> None:
    pair = tokens.issue(alice)
    sent = {"HTTP_AUTHORIZATION": f"Bearer {pair.access}", "HTTP_X_SWITCHBOARD_TENANT": value}
    assert Client(raise_request_exception=False).get(DOORS[0], **sent).status_code == 409


async def test_async_doors_refuse_alike() -> None:
    client = AsyncClient(raise_request_exception=False)
    for value in HOSTILE:
        if value.isascii() and "\0" not in value and len(value) < 8000:
            response = await client.get("/v1/probe", headers={"Authorization": f"Bearer {value}"})
            assert (response.status_code, response.json()["principal"]) == (200, None)


async def test_a_restricted_key_is_refused_alike_by_every_header(alice: Principal) -> None:
    chat = (await database_step(services.create_api_key, alice, "chat", {"chat"})).secret
    manage = (await database_step(services.create_api_key, alice, "manage", {"manage"})).secret
    client = AsyncClient()
    for key, closed, opened in ((chat, "/api/v1/probe/", "/v1/probe"), (manage, "/v1/probe", "/api/v1/probe/")):
        for headers in (
            {"Authorization": f"Bearer {key}"},
            {"Authorization": f"bearer {key}"},
            {"Authorization": f"BEARER   {key}  "},
            {"X-Api-Key": key},
            {"x-api-key": key, "Authorization": "Basic dXNlcjpwYXNz"},
            {"Authorization": f"Bearer {key}", "X-Api-Key": chat},
            {"Authorization": f"Bearer {key}", "X-Api-Key": manage},
        ):
            refused = await client.get(closed, headers=headers)
            told = refused.json()
            assert told.get("code") == "insufficient_scope" or told.get("principal", "") is None, headers
            assert (await client.get(opened, headers=headers)).json()["principal"] == str(alice.user_id)
