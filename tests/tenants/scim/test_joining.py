"""Who a directory names enters by their own word, or by their company's sign-in; nobody else lets them in."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from allauth.account.models import EmailAddress
from django.db import IntegrityError
from django.test import Client

from apps.accounts.models import User
from apps.problems import Conflict
from apps.tenants import identity_providers, joining, membership, selectors, services
from apps.tenants.contracts import Principal
from apps.tenants.models import IdentityProvider, Membership
from apps.tenants.scope import tenant_scope
from tests.tenants.scim.conftest import Directory
from tests.tenants.scim.test_entra import membership_of


def prove(principal: Principal) -> None:
    EmailAddress.objects.update_or_create(
        user_id=principal.user_id, email=principal.user_email, defaults={"verified": True, "primary": True}
    )


def test_a_person_from_elsewhere_enters_by_their_own_word(
    directory: Directory, alice: Principal, mallory: Principal, client_of: Callable[[Principal], Client]
) -> None:
    """Mallory has a tenant of her own, and Alice's company hires her."""
    user = directory.user(mallory.user_email, roles="viewer")
    group = directory("POST", "/Groups", {"displayName": "Hired", "members": [{"value": user["id"]}]}).body
    EmailAddress.objects.filter(user_id=mallory.user_id).update(verified=False)
    page = client_of(mallory)
    assert "Northwind" in page.get("/join/").content.decode()
    assert "Northwind" in page.get("/settings/workspace/general/").content.decode(), "told where one looks"
    unproven = page.post(f"/join/{alice.tenant_id}/", follow=True).content.decode()
    assert "Confirm your e-mail address" in unproven
    assert selectors.principal_for(mallory.user_id, alice.tenant_id) is None
    prove(mallory)
    assert "You are a member now" in page.post(f"/join/{alice.tenant_id}/", follow=True).content.decode()
    principal = selectors.principal_for(mallory.user_id, alice.tenant_id)
    assert principal is not None
    assert principal.role == "viewer"
    assert [one["value"] for one in directory("GET", f"/Users/{user['id']}").body["groups"]] == [group["id"]]
    assert joining.waiting_for(mallory) == []
    assert "/join/" not in page.get("/settings/workspace/general/").content.decode()
    assert page.post(f"/join/{alice.tenant_id}/").status_code == 404
    assert directory.patch(f"/Users/{user['id']}", {"op": "replace", "value": {"active": False}}).status == 200
    assert selectors.principal_for(mallory.user_id, alice.tenant_id) is None
    assert selectors.principal_for(mallory.user_id, mallory.tenant_id) is not None
    assert page.post(f"/join/{alice.tenant_id}/").status_code == 404


def test_nobody_else_opens_what_waits_for_a_person(directory: Directory, alice: Principal, mallory: Principal) -> None:
    place = membership_of(alice.tenant_id, directory.user(mallory.user_email)["id"])
    for alias in ("default", "engine"):
        with pytest.raises(IntegrityError, match="tenants_membership_pending"), tenant_scope(alice.tenant_id):
            Membership.objects.using(alias).filter(id=place.id).update(suspended_at=None)
    assert membership_of(alice.tenant_id, directory("GET", "/Users").body["Resources"][0]["id"]).suspended_at


def test_a_directory_that_says_no_before_the_person_says_yes_is_heard(
    directory: Directory, alice: Principal, mallory: Principal
) -> None:
    path = f"/Users/{directory.user(mallory.user_email)['id']}"
    prove(mallory)
    directory.patch(path, {"op": "replace", "value": {"active": False}})
    assert joining.waiting_for(mallory) == []
    directory.patch(path, {"op": "replace", "value": {"active": True}})
    assert [one.tenant_id for one in joining.waiting_for(mallory)] == [alice.tenant_id]
    directory("DELETE", path)
    assert joining.waiting_for(mallory) == []
    assert not Membership.objects.using("engine").filter(tenant_id=alice.tenant_id, user_id=mallory.user_id).exists()


def test_the_companys_sign_in_finds_whom_its_directory_made(directory: Directory, alice: Principal) -> None:
    IdentityProvider.objects.using("engine").create(
        tenant_id=alice.tenant_id, slug=f"p{uuid4().hex[:10]}", name="P", issuer="https://idp.example", client_id="c"
    )
    provider = identity_providers.providers(alice)[0]
    name, external_id = f"{uuid4().hex}@example.org", uuid4().hex
    place = membership_of(alice.tenant_id, directory.user(name, externalId=external_id)["id"])
    stranger = identity_providers.Person(uuid4().hex, name, "S")
    with pytest.raises(identity_providers.AccountExists):  # the address alone proves nothing
        identity_providers.admit(provider, stranger)
    person = identity_providers.Person(external_id, name, "N")
    assert identity_providers.admit(provider, person) == place.user_id
    assert identity_providers.admit(provider, person) == place.user_id


def test_an_account_that_somebody_has_entered_is_not_found_so(directory: Directory, alice: Principal) -> None:
    IdentityProvider.objects.using("engine").create(
        tenant_id=alice.tenant_id, slug=f"p{uuid4().hex[:10]}", name="P", issuer="https://idp.example", client_id="c"
    )
    provider = identity_providers.providers(alice)[0]
    name, external_id = f"{uuid4().hex}@example.org", uuid4().hex
    place = membership_of(alice.tenant_id, directory.user(name, externalId=external_id)["id"])
    person = User.objects.get(id=place.user_id)
    assert not person.has_usable_password()
    person.set_password("correct horse battery staple")
    person.save(update_fields=["password"])
    with pytest.raises(identity_providers.AccountExists):
        identity_providers.admit(provider, identity_providers.Person(external_id, name, "N"))


def test_administrators_make_and_end_the_directorys_key(
    alice: Principal, bob: Principal, directory: Directory, client_of: Callable[[Principal], Client]
) -> None:
    page = client_of(alice)
    answer = page.post("/settings/workspace/directory/", {"name": "Okta"})
    secret = answer.context["new_key"].secret
    assert "no-store" in answer["Cache-Control"]
    assert Directory(directory.url, secret)("GET", "/Users").status == 200
    shown = page.get("/settings/workspace/directory/").content.decode()
    assert "/scim/v2" in shown and secret not in shown and "Okta" in shown
    other = services.create_api_key(alice, "other")
    assert page.post(f"/settings/workspace/directory/{other.id}/revoke/").status_code == 404
    key_id = answer.context["new_key"].id
    assert page.post(f"/settings/workspace/directory/{key_id}/revoke/").status_code == 302
    assert selectors.principal_for_api_key(secret) is None
    assert page.post("/settings/workspace/directory/", {"name": ""}).status_code == 400
    for method in ("get", "post"):
        assert getattr(client_of(bob), method)("/settings/workspace/directory/").status_code == 403


def test_members_do_not_tell_whether_an_account_was_there_before(
    directory: Directory, alice: Principal, mallory: Principal
) -> None:
    new = f"{uuid4().hex}@example.org"
    for address in (mallory.user_email, new):
        directory.user(address, displayName="Somebody")
    shown = {one.email: one for one in membership.members(alice)}
    there, made = shown[mallory.user_email], shown[new]
    for one in (there, made):
        assert (one.name, one.role, one.is_awaited, one.suspended_at) == ("Somebody", "member", True, None)
    with pytest.raises(Conflict):
        membership.reactivate(alice, there.id)
    prove(mallory)
    joining.agree(mallory, alice.tenant_id)
    after = {one.email: one for one in membership.members(alice)}[mallory.user_email]
    assert (after.name, after.is_awaited) == ("Mallory", False)


def test_an_invitation_that_is_accepted_is_a_persons_own_word(
    directory: Directory, alice: Principal, mallory: Principal
) -> None:
    user = directory.user(mallory.user_email)
    invitation = membership.invite(alice, mallory.user_email, "viewer")
    assert membership.accept(mallory.user_id, mallory.user_email, invitation.secret) == alice.tenant_id
    principal = selectors.principal_for(mallory.user_id, alice.tenant_id)
    assert principal is not None and principal.role == "viewer"
    assert directory("GET", f"/Users/{user['id']}").body["active"] is True


def test_whom_an_administrator_suspends_is_inactive_for_the_directory_too(
    directory: Directory, alice: Principal
) -> None:
    user = directory.user()
    place = membership_of(alice.tenant_id, user["id"])
    path = f"/Users/{user['id']}"
    membership.suspend(alice, place.id)
    assert directory("GET", path).body["active"] is False
    assert directory.patch(path, {"op": "add", "path": "title", "value": "T"}).body["active"] is False
    membership.reactivate(alice, place.id)
    assert directory("GET", path).body["active"] is True
