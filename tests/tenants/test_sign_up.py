"""Signing up: a person, a tenant and the membership, all or nothing."""

from uuid import uuid4

import pytest
from django.test import Client

from apps.accounts import selectors as accounts
from apps.accounts.errors import InvalidAccount
from apps.tenants import selectors, services
from apps.tenants.errors import InvalidTenant
from apps.tenants.models import Membership, Tenant
from tests.people import PASSWORD, new_address, new_person


def new_email() -> str:
    return f"new-{uuid4().hex}@example.org"


def tenants_named(name: str) -> int:
    return Tenant.objects.using("engine").filter(name=name).count()


def test_the_first_person_owns_the_tenant() -> None:
    email = new_email()
    tenant = services.sign_up("Ada Lovelace", email.upper(), PASSWORD, "Analytical Engines")
    principal = selectors.principal_for(tenant.owner_id)
    assert principal is not None
    assert (principal.user_email, principal.user_name, principal.role) == (email, "Ada Lovelace", "owner")
    assert (principal.tenant_id, principal.tenant_name) == (tenant.id, "Analytical Engines")
    assert [found.tenant_slug for found in selectors.memberships_of(tenant.owner_id)] == [tenant.slug]


def test_a_failure_half_way_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    email, name = new_email(), f"Half {uuid4().hex}"

    def fail(self: Membership, **kwargs: object) -> None:
        raise RuntimeError("the power went")

    monkeypatch.setattr(Membership, "save", fail)
    with pytest.raises(RuntimeError):
        services.sign_up("Ada", email, PASSWORD, name)
    assert accounts.id_by_email(email) is None
    assert tenants_named(name) == 0


def test_a_taken_address_opens_no_tenant() -> None:
    _, email = new_person("Ada")
    name = f"Second {uuid4().hex}"
    with pytest.raises(InvalidAccount):
        services.sign_up("Ada", email, PASSWORD, name)
    assert tenants_named(name) == 0


@pytest.mark.parametrize("name", ["", "  ", "x" * 121, "a\0b"])
def test_a_bad_tenant_name_makes_no_account(name: str) -> None:
    email = new_email()
    with pytest.raises(InvalidTenant) as refused:
        services.sign_up("Ada", email, PASSWORD, name)
    assert set(refused.value.fields or {}) == {"tenant_name"}
    assert accounts.id_by_email(email) is None


def test_equal_names_get_different_slugs_and_any_script_gets_one() -> None:
    owner_id, _ = new_person("Ada")
    name = f"Twin {uuid4().hex[:8]}"
    first, second = services.open_tenant(name, owner_id), services.open_tenant(name, owner_id)
    assert first.slug == name.lower().replace(" ", "-")
    assert second.slug.startswith(f"{first.slug}-")
    assert services.open_tenant("数据", owner_id).slug.startswith("workspace")
    assert len(services.open_tenant("x" * 120, owner_id).slug) <= 60


def sign_up(client: Client, **fields: str) -> tuple[int, str]:
    response = client.post("/signup/", fields)
    return response.status_code, response.content.decode()


@pytest.fixture
def newcomer() -> Client:
    return Client(REMOTE_ADDR=new_address())


def test_the_page_signs_in_who_signed_up(newcomer: Client) -> None:
    assert newcomer.get("/signup/").status_code == 200
    email = new_email()
    response = newcomer.post("/signup/", {"name": "Ada", "email": email, "password": PASSWORD})
    assert (response.status_code, response["Location"]) == (302, "/chat/")
    assert newcomer.get("/chat/").content == b"Hello Ada"
    user_id = accounts.id_by_email(email)
    assert user_id is not None
    assert [found.tenant_name for found in selectors.memberships_of(user_id)] == ["Ada's workspace"]
    assert newcomer.get("/signup/")["Location"] == "/chat/"


def test_the_page_names_the_field_at_fault(newcomer: Client) -> None:
    email = new_email()
    status, page = sign_up(newcomer, name="Ada", email=email, password="password123")
    assert status == 400
    assert "This password is among the first that are guessed." in page
    assert accounts.id_by_email(email) is None
    _, taken = new_person("Eve")
    status, page = sign_up(newcomer, name="Ada", email=taken, password=PASSWORD)
    assert status == 400
    assert "Sign in instead." in page
    status, page = sign_up(newcomer, name="A\0da", email=email, password=PASSWORD)
    assert status == 400
    assert "Null characters are not allowed." in page


@pytest.mark.usefixtures("one_window")
def test_too_many_sign_ups_for_one_address_wait(newcomer: Client) -> None:
    email = new_email()
    statuses = [sign_up(newcomer, name="Ada", email=email, password="weak")[0] for _ in range(11)]
    assert statuses == [400] * 10 + [429]
