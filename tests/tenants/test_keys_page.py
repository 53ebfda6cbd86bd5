"""The page on which people make and revoke their API keys."""

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from django.test import Client, override_settings

from apps.tenants import membership, offered, selectors, services, teams
from apps.tenants.contracts import OfferedName, Principal


@pytest.fixture
def page(client_of: Callable[[Principal], Client], bob: Principal) -> Client:
    """Bob's browser, in the whole product: the page has the product's frame."""
    return client_of(bob)


@pytest.fixture(autouse=True)
def whole_product(doors: None) -> Iterator[None]:
    with override_settings(ROOT_URLCONF="chatproject.urls"):
        yield


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    on_offer = [OfferedName("page-one", "One"), OfferedName("page-best", "Best", answers=False)]
    monkeypatch.setattr(offered, "_handlers", [lambda principal: on_offer])


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


def test_a_key_for_some_models_of_a_team(page: Client, bob: Principal, alice: Principal, models: None) -> None:
    team_id = teams.create_team(alice, "Search")
    (place,) = [one.id for one in membership.members(alice) if one.user_id == bob.user_id]
    assert 'name="team"' not in page.get("/settings/keys/").content.decode(), "Bob is in no team yet"
    teams.add_member(alice, team_id, place)
    shown = page.get("/settings/keys/").content.decode()
    assert 'value="page-one"' in shown and str(team_id) in shown
    fields = {"name": "narrow", "scopes": ["completions"], "models": ["page-one"], "team": str(team_id)}
    made = page.post("/settings/keys/", fields).content.decode()
    assert "completions only · team Search" in made and "Models: page-one" in made
    (key,) = selectors.api_keys(bob)
    assert (key.models, key.team_id, key.scopes) == (("page-one",), team_id, ("completions",))
    for field, value in (("models", ["page-best"]), ("models", ["page-none"]), ("team", str(uuid4()))):
        refused = page.post("/settings/keys/", {**fields, field: value})
        assert refused.status_code == 400 and refused.context["form"].errors[field], field
    assert len(selectors.api_keys(bob)) == 1


def test_a_key_is_rotated_from_the_page_by_its_own_person(
    page: Client, client_of: Callable[[Principal], Client], alice: Principal, bob: Principal
) -> None:
    old = services.create_api_key(bob, "own")
    answer = page.post(f"/settings/keys/{old.id}/rotate/", {"overlap_seconds": "3600"})
    new = answer.context["new_key"]
    assert "no-store" in answer["Cache-Control"]
    assert new.secret in answer.content.decode() and "has a new secret" in answer.content.decode()
    again = page.get("/settings/keys/").content.decode()
    assert old.prefix in again and new.prefix in again and new.secret not in again
    assert selectors.principal_for_api_key(old.secret) == selectors.principal_for_api_key(new.secret)
    told = page.post(f"/settings/keys/{old.id}/secrets/{old.prefix}/end/", follow=True).content.decode()
    assert "The earlier secret has ended." in told and old.prefix not in told
    assert selectors.principal_for_api_key(old.secret) is None
    page.post(f"/settings/keys/{old.id}/rotate/", {"overlap_seconds": "5"}, follow=True)
    assert selectors.principal_for_api_key(new.secret) is not None, "only what the page offers is taken"
    # An administrator sees the key, is not offered its secret, and is refused it.
    desk = client_of(alice)
    shown = desk.get("/settings/keys/").content.decode()
    assert new.prefix in shown and f"/settings/keys/{old.id}/rotate/" not in shown
    assert desk.post(f"/settings/keys/{old.id}/rotate/", {"overlap_seconds": "0"}).status_code == 404


def test_programs_are_sent_to_the_api(alice: Principal, api_key_of: Callable[[Principal], str]) -> None:
    headers = {"Authorization": f"Bearer {api_key_of(alice)}"}
    assert Client().get("/settings/keys/", headers=headers).status_code == 403
