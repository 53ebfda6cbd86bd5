"""Leaving a workspace oneself: by the page and over REST, told in the audit log, and never by the last owner."""

from collections.abc import Callable

import pytest
from django.test import Client

from apps.tenants import selectors, services
from apps.tenants.contracts import Principal
from apps.tenants.models import AuditEntry, Membership
from tests.people import new_member

PAGE = "/settings/workspace/leave/"
REST = "/api/v1/members/leave/"


@pytest.fixture(autouse=True)
def doors() -> None:
    """The real ones: these pages lead to others."""


def told(principal: Principal) -> list[str]:
    rows = AuditEntry.objects.using("engine").filter(tenant_id=principal.tenant_id, actor_id=principal.user_id)
    return list(rows.order_by("seq").values_list("action", flat=True))


def test_a_member_leaves_by_the_page(
    alice: Principal, bob: Principal, client_of: Callable[[Principal], Client]
) -> None:
    browser, key = client_of(bob), services.create_api_key(bob, "program")
    assert "Leave Northwind" in browser.get("/settings/workspace/general/").content.decode()
    wrong = browser.post(PAGE, {"confirmation": "northwind"})
    assert wrong.status_code == 400
    assert 'id="leave-confirmation-hint">Type the name' in wrong.content.decode()
    assert browser.post(PAGE).status_code == 400
    assert selectors.principal_for(bob.user_id, bob.tenant_id) is not None
    gone = browser.post(PAGE, {"confirmation": "Northwind"})
    assert gone.status_code == 200
    assert "You have left Northwind" in gone.content.decode()
    assert selectors.principal_for(bob.user_id, bob.tenant_id) is None
    assert selectors.principal_for_api_key(key.secret) is None
    assert browser.get("/api/v1/accounts/me/").status_code == 401
    assert told(bob)[-1] == "member.left"


def test_the_last_owner_stays(alice: Principal, client_of: Callable[[Principal], Client]) -> None:
    browser = client_of(alice)
    assert "only owner" in browser.get("/settings/workspace/general/").content.decode()
    assert browser.post(PAGE, {"confirmation": "Northwind"}).status_code == 409
    refused = browser.post(REST, {"confirmation": "Northwind"}, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (409, "last_owner")
    assert selectors.principal_for(alice.user_id, alice.tenant_id) is not None
    assert "member.left" not in told(alice)


def test_an_owner_leaves_while_there_is_another(alice: Principal, client_of: Callable[[Principal], Client]) -> None:
    second = new_member(alice, "Olga", "owner")
    browser = client_of(second)
    for body in ({}, {"confirmation": "Other"}):
        assert browser.post(REST, body, content_type="application/json").status_code == 400
    assert browser.post(REST, {"confirmation": "Northwind"}, content_type="application/json").status_code == 204
    assert browser.get("/api/v1/accounts/me/").status_code == 401
    assert selectors.principal_for(second.user_id, alice.tenant_id) is None
    assert told(second)[-1] == "member.left"


def test_other_workspaces_are_not_left(
    alice: Principal, bob: Principal, mallory: Principal, api_key_of: Callable[[Principal], str]
) -> None:
    Membership.objects.using("engine").create(tenant_id=mallory.tenant_id, user_id=bob.user_id, role="member")
    headers = {"Authorization": f"Bearer {api_key_of(bob)}"}
    answer = Client().post(REST, {"confirmation": "Northwind"}, content_type="application/json", headers=headers)
    assert answer.status_code == 204
    assert selectors.principal_for(bob.user_id, alice.tenant_id) is None
    assert selectors.principal_for(bob.user_id, mallory.tenant_id) is not None
