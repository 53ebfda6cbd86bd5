"""Who a request is, at every kind of door: synchronous and asynchronous views, REST framework, pages."""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
from django.db import OperationalError, connections
from django.test import AsyncClient, Client

from apps.tenants import services
from apps.tenants.contracts import Principal
from apps.tenants.edge import tokens

DOORS = ["/v1/probe", "/v1/probe-sync", "/api/v1/probe/", "/anybody/"]


def bearer(credential: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}"}


def x_api_key(credential: str) -> dict[str, str]:
    return {"X-Api-Key": credential}


async def get_async(path: str, headers: dict[str, str]) -> Any:
    return await AsyncClient().get(path, headers=headers)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("header", [bearer, x_api_key])
async def test_a_key_opens_every_door(
    door: str, header: Callable[[str], dict[str, str]], alice: Principal, api_key_of: Callable[[Principal], str]
) -> None:
    secret = await in_thread(api_key_of, alice)
    response = await get_async(door, header(secret))
    assert response.json()["principal"] == str(alice.user_id)
    assert response.json()["via"] == "api_key"


@pytest.mark.parametrize("door", DOORS)
def test_every_credential_works_without_a_loop_too(
    door: str,
    alice: Principal,
    api_key_of: Callable[[Principal], str],
    client_of: Callable[[Principal], Client],
) -> None:
    access = tokens.issue(alice).access
    assert Client().get(door, headers=bearer(access)).json()["via"] == "jwt"
    assert Client().get(door, headers=bearer(api_key_of(alice))).json()["via"] == "api_key"
    assert client_of(alice).get(door).json()["via"] == "session"


async def test_a_session_works_at_an_asynchronous_door(
    alice: Principal, client_of: Callable[[Principal], Client]
) -> None:
    cookies = (await in_thread(client_of, alice)).cookies
    client = AsyncClient()
    client.cookies = cookies
    assert (await client.get("/v1/probe")).json() == {
        "principal": str(alice.user_id),
        "tenant": str(alice.tenant_id),
        "via": "session",
        "user": alice.user_email,
    }


async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    from apps.tenants.scope import database_step

    return await database_step(function, *arguments)


@pytest.mark.parametrize(
    "headers",
    [
        bearer("nonsense"),
        bearer(f"sk-sb-{'a' * 10}-{'b' * 43}"),
        bearer("sk-sb-"),
        bearer(""),
        x_api_key("nonsense"),
        x_api_key(f"sk-sb-{'a' * 10}-{'b' * 43}"),
    ],
)
def test_a_bad_credential_makes_nobody_even_beside_a_good_session(
    headers: dict[str, str], alice: Principal, client_of: Callable[[Principal], Client]
) -> None:
    client = client_of(alice)
    assert client.get("/anybody/", headers=headers).json() == {"principal": None}
    response = client.get("/api/v1/probe/", headers=headers)
    assert (response.status_code, response.json()["code"]) == (401, "invalid_credentials")
    assert client.get("/chat/", headers=headers).status_code == 401
    assert client.get("/anybody/").json()["principal"] == str(alice.user_id)


def test_a_proxys_basic_credentials_are_left_alone(alice: Principal, client_of: Callable[[Principal], Client]) -> None:
    headers = {"Authorization": "Basic dXNlcjpwYXNz"}
    assert client_of(alice).get("/anybody/", headers=headers).json()["principal"] == str(alice.user_id)
    assert Client().get("/api/v1/probe/", headers=headers).status_code == 401


def test_a_restricted_key_opens_its_own_doors_alone(alice: Principal) -> None:
    chat = services.create_api_key(alice, "chat", {"chat"}).secret
    manage = services.create_api_key(alice, "manage", {"manage"}).secret
    both = services.create_api_key(alice, "both", {"chat", "manage"}).secret
    opened = {
        secret: [Client().get(door, headers=bearer(secret)).json().get("principal") is not None for door in DOORS]
        for secret in (chat, manage, both)
    }
    assert opened == {
        chat: [True, True, False, False],
        manage: [False, False, True, False],
        both: [True, True, True, False],
    }
    refused = Client().get("/api/v1/probe/", headers=bearer(chat))
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")


def test_a_page_of_another_tenant_is_told_to_reload(
    alice: Principal, mallory: Principal, client_of: Callable[[Principal], Client]
) -> None:
    client = client_of(alice)
    own = {"X-Switchboard-Tenant": str(alice.tenant_id).upper()}
    assert client.get("/anybody/", headers=own).status_code == 200
    for other in (str(mallory.tenant_id), str(uuid4()), "nonsense"):
        headers = {"X-Switchboard-Tenant": other}
        for path in ("/v1/probe", "/api/v1/probe/"):
            response = client.get(path, headers=headers)
            assert (response.status_code, response.json()["code"]) == (409, "tenant_mismatch")
            assert response["Content-Type"] == "application/problem+json"
        told = client.get("/chat/", headers=headers | {"Accept": "application/json"})
        assert (told.status_code, told["Content-Type"]) == (409, "application/problem+json")
        page = client.get("/chat/", headers=headers | {"Accept": "text/html"})
        assert (page.status_code, page["Content-Type"]) == (409, "text/html; charset=utf-8")


def test_changes_by_session_need_the_pages_token_and_by_header_do_not(
    visitor: Client, alice: Principal, client_of: Callable[[Principal], Client], api_key_of: Callable[[Principal], str]
) -> None:
    secret = api_key_of(alice)
    for door in ("/v1/probe", "/anybody/", "/api/v1/probe/"):
        assert visitor.post(door, {}, content_type="application/json", headers=bearer(secret)).status_code == 200
    visitor.cookies = client_of(alice).cookies
    for door in ("/v1/probe", "/api/v1/probe/"):
        response = visitor.post(door, {}, content_type="application/json")
        assert (response.status_code, response.json()["code"]) == (403, "csrf_failed")
    visitor.get("/login/")
    visitor.cookies["csrftoken"] = "a" * 32
    token = {"X-CSRFToken": "a" * 32}
    for door in ("/v1/probe", "/api/v1/probe/"):
        assert visitor.post(door, {}, content_type="application/json", headers=token).status_code == 200


def test_a_bad_credential_does_not_open_the_sessions_doors_for_changes(
    visitor: Client, alice: Principal, client_of: Callable[[Principal], Client]
) -> None:
    visitor.cookies = client_of(alice).cookies
    for headers in (bearer("nonsense"), x_api_key("nonsense")):
        response = visitor.post("/v1/probe", {}, content_type="application/json", headers=headers)
        assert (response.status_code, response.json()["code"]) == (401, "invalid_credentials")


def test_a_program_without_credentials_is_told_so_and_not_of_csrf(visitor: Client) -> None:
    for door in ("/v1/probe", "/api/v1/probe/"):
        response = visitor.post(door, {}, content_type="application/json")
        assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")


async def test_a_database_that_is_down_is_503_and_never_401(alice: Principal) -> None:
    access = await in_thread(lambda: tokens.issue(alice).access)
    lost = OperationalError("the connection is lost")
    with patch.object(connections["default"].__class__, "ensure_connection", side_effect=lost):
        for door in ("/v1/probe", "/api/v1/probe/"):
            response = await get_async(door, bearer(access))
            assert response.status_code == 503
            assert response["Retry-After"] == "2"
            assert response.json()["retryable"] is True
            assert "connection is lost" not in response.content.decode()
        sync = await in_thread(lambda: Client().get("/api/v1/probe/", headers=bearer(access)).status_code)
        assert sync == 503


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [("database", 503, "unavailable"), ("missing", 404, "not_found"), ("defect", 500, "internal_error")],
)
@pytest.mark.parametrize("path", ["/v1/fail/", "/v1/fail-async/"])
def test_what_views_raise_is_told_as_a_problem(path: str, how: str, status: int, code: str) -> None:
    client = Client(raise_request_exception=False)
    response = client.get(f"{path}{how}")
    assert (response.status_code, response["Content-Type"]) == (status, "application/problem+json")
    assert response.json()["code"] == code
    assert "a defect" not in response.content.decode()


@pytest.mark.parametrize(
    ("how", "status", "words"),
    [
        ("database", 503, "The server could not finish the page."),
        ("missing", 404, "Nothing is plugged in here"),
        ("defect", 500, "This one is our fault"),
    ],
)
def test_people_see_a_page_instead(how: str, status: int, words: str) -> None:
    response = Client(raise_request_exception=False).get(f"/fail/{how}/")
    assert (response.status_code, response["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert words in response.content.decode()


def test_unknown_paths_and_methods_are_told_in_the_callers_form(alice: Principal) -> None:
    assert Client().get("/api/v1/nothing/").json()["code"] == "not_found"
    assert Client().get("/v1/nothing").json()["code"] == "not_found"
    assert "Nothing is plugged in here" in Client().get("/nothing/").content.decode()
    headers = bearer(tokens.issue(alice).access)
    response = Client().delete("/api/v1/accounts/me/", headers=headers)
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert "GET" in response["Allow"]
    response = Client().post("/api/v1/probe/", "a=b", content_type="text/plain", headers=headers)
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("door", ["/v1/probe", "/v1/probe-sync", "/nothing/"])
async def test_requests_carry_an_id(door: str) -> None:
    given = (await AsyncClient().get(door, headers={"X-Request-Id": "abc-12345678"}))["X-Request-Id"]
    assert given == "abc-12345678"
    made = {(await AsyncClient().get(door, headers={"X-Request-Id": bad}))["X-Request-Id"] for bad in ("x", "a b" * 9)}
    assert len(made) == 2
    assert all(len(request_id) == 36 for request_id in made)
