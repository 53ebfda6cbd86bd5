"""Members: who may change whom, and what a change leads to."""

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from django.test import Client

from apps.problems import Forbidden, NotFound
from apps.tenants import membership, selectors
from apps.tenants.contracts import Principal
from apps.tenants.errors import InvalidTenant
from apps.tenants.models import AuditEntry, Membership
from apps.tenants.offboarding import LastOwner
from apps.tenants.scope import tenant_scope
from tests.people import new_member


@pytest.fixture(autouse=True)
def doors() -> None:
    """The real ones: these pages lead to others."""


def row_of(principal: Principal) -> Membership:
    with tenant_scope(principal.tenant_id):
        return Membership.objects.get(tenant_id=principal.tenant_id, user_id=principal.user_id)


def actions(principal: Principal) -> list[str]:
    with tenant_scope(principal.tenant_id):
        return list(AuditEntry.objects.order_by("seq").values_list("action", flat=True))


def test_a_role_is_changed_and_noted(alice: Principal, bob: Principal) -> None:
    membership.change_role(alice, row_of(bob).id, "viewer")
    assert row_of(bob).role == "viewer"
    assert "member.role_changed" in actions(alice)


def test_nobody_changes_their_own_role(alice: Principal) -> None:
    admin = new_member(alice, "Ada", "admin")
    for person in (alice, admin):
        with pytest.raises(Forbidden, match="This is you"):
            membership.change_role(person, row_of(person).id, "owner")
        with pytest.raises(Forbidden, match="This is you"):
            membership.suspend(person, row_of(person).id)


def test_an_administrator_neither_makes_nor_touches_owners(alice: Principal, bob: Principal) -> None:
    admin = new_member(alice, "Ada", "admin")
    with pytest.raises(Forbidden, match="above your own"):
        membership.change_role(admin, row_of(bob).id, "owner")
    for change in (membership.suspend, membership.reactivate):
        with pytest.raises(Forbidden, match="owners alone"):
            change(admin, row_of(alice).id)
    with pytest.raises(Forbidden, match="owners alone"):
        membership.change_role(admin, row_of(alice).id, "member")


@pytest.mark.parametrize("role", ["billing_admin", "member", "viewer"])
def test_others_manage_nobody(alice: Principal, bob: Principal, role: str) -> None:
    caller = new_member(alice, "Carl", role)
    for change in (membership.suspend, membership.reactivate):
        with pytest.raises(Forbidden):
            change(caller, row_of(bob).id)
    with pytest.raises(Forbidden):
        membership.change_role(caller, row_of(bob).id, "viewer")


def test_an_organisation_keeps_an_owner(alice: Principal) -> None:
    second = new_member(alice, "Olga", "owner")
    membership.change_role(alice, row_of(second).id, "member")
    with pytest.raises(LastOwner):
        membership.leave(alice, "Northwind")


def test_a_suspended_member_is_out_until_let_in_again(alice: Principal, bob: Principal) -> None:
    membership.suspend(alice, row_of(bob).id)
    assert selectors.principal_for(bob.user_id, bob.tenant_id) is None
    membership.reactivate(alice, row_of(bob).id)
    again = selectors.principal_for(bob.user_id, bob.tenant_id)
    assert again is not None
    assert again.role == "member"
    assert {"member.off_boarded", "member.reactivated"} <= set(actions(alice))


def test_a_workspace_is_handed_over_by_typing_its_name(alice: Principal, bob: Principal) -> None:
    with pytest.raises(InvalidTenant):
        membership.transfer(alice, row_of(bob).id, "northwind")
    membership.transfer(alice, row_of(bob).id, "Northwind")
    assert (row_of(bob).role, row_of(alice).role) == ("owner", "admin")
    with pytest.raises(Forbidden):
        membership.transfer(alice, row_of(bob).id, "Northwind")


def test_another_tenants_member_is_not_there(alice: Principal, mallory: Principal) -> None:
    foreign = row_of(alice).id
    for change in (membership.suspend, membership.reactivate):
        with pytest.raises(NotFound):
            change(mallory, foreign)
    with pytest.raises(NotFound):
        membership.change_role(mallory, foreign, "viewer")
    with pytest.raises(NotFound):
        membership.transfer(mallory, foreign, "Southwind")


def test_members_over_rest(alice: Principal, bob: Principal, client_of: Callable[[Principal], Client]) -> None:
    browser, theirs = client_of(alice), row_of(bob).id
    listed = {one["id"]: one for one in browser.get("/api/v1/members/").json()}
    assert (listed[str(theirs)]["role"], listed[str(theirs)]["is_you"]) == ("member", False)

    def change(membership_id: UUID, **body: object) -> int:
        path = f"/api/v1/members/{membership_id}/"
        return browser.patch(path, body, content_type="application/json").status_code

    assert change(theirs, role="viewer") == 204
    assert row_of(bob).role == "viewer"
    assert change(theirs, role="emperor") == 400
    assert change(row_of(alice).id, role="member") == 403
    assert change(uuid4(), role="member") == 404
    assert change(theirs, tenant_id=str(uuid4()), user_id=str(uuid4())) == 400, "nothing that can be changed"
    assert change(theirs) == 400
    assert row_of(bob).tenant_id == alice.tenant_id
    assert browser.delete(f"/api/v1/members/{theirs}/").status_code == 204
    assert row_of(bob).suspended_at is not None


def test_a_member_cannot_raise_themselves_over_rest(bob: Principal, client_of: Callable[[Principal], Client]) -> None:
    browser = client_of(bob)
    own = f"/api/v1/members/{row_of(bob).id}/"
    assert browser.patch(own, {"role": "owner"}, content_type="application/json").status_code == 403
    assert browser.patch("/api/v1/tenant/", {"name": "Mine"}, content_type="application/json").status_code == 403
    assert browser.patch("/api/v1/accounts/me/", {"role": "owner"}, content_type="application/json").status_code == 400
    assert row_of(bob).role == "member"


def test_the_page_shows_members_and_says_what_went_wrong(
    alice: Principal, bob: Principal, client_of: Callable[[Principal], Client]
) -> None:
    browser = client_of(alice)
    page = browser.get("/settings/workspace/").content.decode()
    assert "Bob" in page
    own = browser.post(f"/settings/workspace/members/{row_of(alice).id}/suspend/", follow=True)
    assert "This is you" in own.content.decode()
    done = browser.post(f"/settings/workspace/members/{row_of(bob).id}/role/", {"role": "admin"}, follow=True)
    assert "The role is changed." in done.content.decode()
    plain = client_of(new_member(alice, "Dora")).get("/settings/workspace/").content.decode()
    assert "Invite people" not in plain


def test_a_person_works_in_another_of_their_tenants(
    alice: Principal, mallory: Principal, client_of: Callable[[Principal], Client]
) -> None:
    Membership.objects.using("engine").create(tenant_id=mallory.tenant_id, user_id=alice.user_id, role="viewer")
    browser = client_of(alice)
    assert "Your workspaces" in browser.get("/settings/workspace/general/").content.decode()
    assert browser.post("/settings/workspace/switch/", {"tenant_id": str(mallory.tenant_id)}).status_code == 302
    me = browser.get("/api/v1/accounts/me/").json()
    assert (me["tenant_id"], me["role"]) == (str(mallory.tenant_id), "viewer")
    assert browser.post("/settings/workspace/switch/", {"tenant_id": str(uuid4())}).status_code == 404
    assert browser.post("/settings/workspace/switch/", {"tenant_id": "nonsense"}).status_code == 404
    assert "Your workspaces" not in client_of(mallory).get("/settings/workspace/general/").content.decode()
