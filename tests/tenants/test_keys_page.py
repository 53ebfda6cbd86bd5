"""The page on which people make and revoke their API keys."""

from collections.abc import Callable, Iterator

import pytest
from django.test import Client, override_settings

from apps.tenants import selectors, services
from apps.tenants.contracts import Principal


@pytest.fixture
def page(client_of: Callable[[Principal], Client], bob: Principal) -> Client:
    """Bob's browser, in the whole product: the page has the product's frame."""
    return client_of(bob)


@pytest.fixture(autouse=True)
def whole_product(doors: None) -> Iterator[None]:
    with override_settings(ROOT_URLCONF="chatproject.urls"):
        yield


def test_a_new_keys_secret_is_on_the_answering_page_and_never_again(page: Client, bob: Principal) -> None:
    assert "No keys yet" in page.get("/settings/keys/").content.decode()
    response = page.post("/settings/keys/", {"name": "deploy", "expires_days": "30", "scopes": ["chat"]})
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    secret = response.context["new_key"].secret
    assert secret in response.content.decode()
    principal = selectors.principal_for_api_key(secret)
    assert principal is not None
    assert (principal.user_id, principal.scopes) == (bob.user_id, frozenset({"chat"}))
    (key,) = selectors.api_keys(bob)
    assert key.expires_at is not None
    assert (key.expires_at - key.created_at).days in (29, 30)
    again = page.get("/settings/keys/").content.decode()
    assert key.prefix in again
    assert secret not in again


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"name": ""}, "This field is required."),
        ({"name": "x", "expires_days": "0"}, "greater than or equal to 1"),
        ({"name": "x", "expires_days": "99999"}, "less than or equal to 3650"),
        ({"name": "x", "scopes": ["root"]}, "root is not one of the available choices."),
    ],
)
def test_what_is_wrong_is_told_and_makes_nothing(
    page: Client, bob: Principal, fields: dict[str, object], told: str
) -> None:
    response = page.post("/settings/keys/", fields)
    assert response.status_code == 400
    assert told in response.content.decode()
    assert selectors.api_keys(bob) == []


def test_a_key_is_revoked_from_the_page_by_its_own_person(page: Client, bob: Principal, mallory: Principal) -> None:
    own, other = services.create_api_key(bob, "own"), services.create_api_key(mallory, "other")
    assert page.get(f"/settings/keys/{own.id}/revoke/").status_code == 405
    response = page.post(f"/settings/keys/{own.id}/revoke/", follow=True)
    assert "The key is revoked." in response.content.decode()
    assert selectors.principal_for_api_key(own.secret) is None
    assert page.post(f"/settings/keys/{other.id}/revoke/").status_code == 404
    assert selectors.principal_for_api_key(other.secret) is not None


def test_programs_are_sent_to_the_api(alice: Principal, api_key_of: Callable[[Principal], str]) -> None:
    headers = {"Authorization": f"Bearer {api_key_of(alice)}"}
    assert Client().get("/settings/keys/", headers=headers).status_code == 403
