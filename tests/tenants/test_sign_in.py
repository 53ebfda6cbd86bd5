"""The sign-in page, and leaving again."""

from collections.abc import Callable

import pytest
from django.conf import settings
from django.test import Client, override_settings

from apps.accounts.models import User
from apps.tenants.contracts import Principal
from apps.tenants.models import Membership, Tenant
from tests.people import PASSWORD, new_address, new_person


@pytest.fixture
def guest() -> Client:
    return Client(REMOTE_ADDR=new_address())


def sign_in(client: Client, principal: Principal, password: str = PASSWORD, path: str = "/login/") -> tuple[int, str]:
    response = client.post(path, {"email": principal.user_email.upper(), "password": password})
    return response.status_code, response.headers.get("Location", response.content.decode())


def test_a_person_enters_their_tenant(guest: Client, alice: Principal) -> None:
    assert sign_in(guest, alice) == (302, "/chat/")
    assert guest.get("/anybody/").json() == {
        "principal": str(alice.user_id),
        "tenant": str(alice.tenant_id),
        "via": "session",
    }
    assert guest.get("/login/?next=/settings/keys/")["Location"] == "/settings/keys/"


def test_a_wrong_password_says_nothing_of_who_exists(guest: Client, alice: Principal) -> None:
    status, page = sign_in(guest, alice, "wrong password")
    assert status == 400
    told = "E-mail address and password do not belong together. Check both."
    assert told in page
    response = guest.post("/login/", {"email": "nobody@example.org", "password": PASSWORD})
    assert (response.status_code, told in response.content.decode()) == (400, True)
    assert guest.get("/anybody/").json() == {"principal": None}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/settings/keys/", "/settings/keys/"),
        ("https://evil.example/", "/chat/"),
        ("//evil.example/", "/chat/"),
        ("javascript:alert(1)", "/chat/"),
        ("\\\\evil.example", "/chat/"),
    ],
)
def test_next_stays_in_the_house(guest: Client, alice: Principal, target: str, expected: str) -> None:
    response = guest.post("/login/", {"email": alice.user_email, "password": PASSWORD, "next": target})
    assert (response.status_code, response["Location"]) == (302, expected)


def test_pages_send_strangers_to_sign_in_and_back(guest: Client, alice: Principal) -> None:
    location = guest.get("/settings/keys/?page=2")["Location"]
    assert location == "/login/?next=/settings/keys/%3Fpage%3D2"
    assert sign_in(guest, alice, path=location) == (302, "/settings/keys/?page=2")


def test_leaving_needs_a_post_and_ends_the_session(guest: Client, alice: Principal) -> None:
    sign_in(guest, alice)
    key = guest.cookies[settings.SESSION_COOKIE_NAME].value
    assert guest.get("/logout/").status_code == 405
    assert guest.post("/logout/")["Location"] == "/login/"
    guest.cookies[settings.SESSION_COOKIE_NAME] = key
    assert guest.get("/anybody/").json() == {"principal": None}


def test_forms_need_their_token(visitor: Client, alice: Principal) -> None:
    assert sign_in(visitor, alice)[0] == 403
    visitor.get("/login/")
    token = visitor.cookies["csrftoken"].value
    fields = {"email": alice.user_email, "password": PASSWORD, "csrfmiddlewaretoken": token}
    assert visitor.post("/login/", fields).status_code == 302


def test_a_person_without_a_tenant_stays_outside(guest: Client) -> None:
    _, email = new_person("Ada")
    response = guest.post("/login/", {"email": email, "password": PASSWORD})
    assert response.status_code == 403
    assert "You are not a member of an active workspace." in response.content.decode()


def test_losing_the_membership_ends_what_the_session_opens(
    client_of: Callable[[Principal], Client], bob: Principal
) -> None:
    client = client_of(bob)
    assert client.get("/chat/").status_code == 200
    Membership.objects.using("engine").filter(user_id=bob.user_id).delete()
    assert client.get("/chat/")["Location"] == "/login/?next=/chat/"
    assert client.get("/api/v1/accounts/me/").status_code == 401
    assert client.get("/login/").status_code == 200


def test_a_suspended_tenant_is_closed(client_of: Callable[[Principal], Client], alice: Principal) -> None:
    client = client_of(alice)
    Tenant.objects.using("engine").filter(id=alice.tenant_id).update(status="suspended")
    assert client.get("/chat/").status_code == 302
    assert sign_in(Client(REMOTE_ADDR=new_address()), alice)[0] == 403


def test_an_inactive_person_is_out_at_once(client_of: Callable[[Principal], Client], alice: Principal) -> None:
    client = client_of(alice)
    User.objects.filter(id=alice.user_id).update(is_active=False)
    assert client.get("/anybody/").json() == {"principal": None}
    assert sign_in(Client(REMOTE_ADDR=new_address()), alice)[0] == 400


@pytest.mark.usefixtures("one_window")
def test_too_many_tries_from_one_address_wait_whomever_they_name(guest: Client) -> None:
    fields = {"password": "wrong"}
    statuses = [guest.post("/login/", fields | {"email": f"n{n}@example.org"}).status_code for n in range(31)]
    assert statuses == [400] * 30 + [429]


def test_a_cache_that_is_down_stops_no_password_check(guest: Client, alice: Principal) -> None:
    unreachable = settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:1/0"}
    with override_settings(CACHES={"default": unreachable}):
        assert sign_in(guest, alice, "wrong")[0] == 400
        body = {"email": alice.user_email, "password": PASSWORD}
        token = guest.post("/api/v1/accounts/token/", body, content_type="application/json")
        assert token.status_code == 200
