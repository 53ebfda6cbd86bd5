"""Invitations: one link, one address, one use, one week."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core import mail
from django.test import Client
from django.test.utils import override_settings

from apps.problems import Forbidden, NotFound
from apps.tenants import membership, selectors
from apps.tenants.contracts import Principal
from apps.tenants.errors import InvalidInvitation
from apps.tenants.models import Invitation, Membership
from apps.tenants.scope import tenant_scope
from tests.people import PASSWORD, new_address, new_member, new_person


@pytest.fixture(autouse=True)
def doors() -> None:
    """The real ones: these pages lead to others."""


def address() -> str:
    return f"guest-{uuid4().hex[:12]}@example.org"


def test_a_newcomer_makes_an_account_and_is_in(alice: Principal) -> None:
    made = membership.invite(alice, f"  {address().upper()} ", "viewer")
    found = membership.open_invitation(made.secret)
    assert found is not None
    assert (found.tenant_name, found.role, found.has_account) == ("Northwind", "viewer", False)
    user_id, tenant_id = membership.accept_with_new_account(made.secret, "Guest", PASSWORD)
    principal = selectors.principal_for(user_id, tenant_id)
    assert principal is not None
    assert (principal.tenant_id, principal.role) == (alice.tenant_id, "viewer")
    assert membership.open_invitation(made.secret) is None


def test_an_existing_person_joins_with_their_own_address_alone(alice: Principal) -> None:
    user_id, email = new_person("Gina")
    other_id, other_email = new_person("Otto")
    made = membership.invite(alice, email, "member")
    with pytest.raises(Forbidden, match="Sign in with that address"):
        membership.accept(other_id, other_email, made.secret)
    assert membership.accept(user_id, email, made.secret) == alice.tenant_id
    with pytest.raises(NotFound):
        membership.accept(user_id, email, made.secret)


@pytest.mark.parametrize("secret", ["", "None", "null", "x", "ü" * 9, "a" * 300, "' OR 1=1 --", "\0"])
def test_what_is_no_secret_opens_nothing(alice: Principal, secret: str) -> None:
    membership.invite(alice, address(), "member")
    assert membership.open_invitation(secret) is None


def test_old_withdrawn_and_renewed_links_are_dead(alice: Principal) -> None:
    old = membership.invite(alice, address(), "member")
    withdrawn = membership.invite(alice, address(), "member")
    membership.withdraw_invitation(alice, withdrawn.id)
    renewed = membership.renew_invitation(alice, old.id)
    assert membership.open_invitation(old.secret) is None
    assert membership.open_invitation(withdrawn.secret) is None
    assert membership.open_invitation(renewed.secret) is not None
    with pytest.raises(NotFound):
        membership.withdraw_invitation(alice, withdrawn.id)


def test_a_link_ends_after_a_week(alice: Principal) -> None:
    made = membership.invite(alice, address(), "member")
    assert timedelta(days=6.9) < made.expires_at - datetime.now(UTC) <= timedelta(days=7)
    with tenant_scope(alice.tenant_id):
        row = Invitation.objects.get(id=made.id)
        row.id, row.digest = uuid4(), membership._digest("late")
        row.expires_at = datetime.now(UTC) - timedelta(seconds=1)
        row.save(force_insert=True)
    assert membership.open_invitation("late") is None


def test_nobody_invites_above_themselves(alice: Principal) -> None:
    admin, plain = new_member(alice, "Ada", "admin"), new_member(alice, "Bob")
    with pytest.raises(Forbidden):
        membership.invite(admin, address(), "owner")
    with pytest.raises(Forbidden):
        membership.invite(plain, address(), "viewer")
    with pytest.raises(InvalidInvitation):
        membership.invite(alice, address(), "emperor")
    with pytest.raises(InvalidInvitation):
        membership.invite(alice, "no address", "member")
    with pytest.raises(InvalidInvitation, match="Nobody was invited"):
        membership.invite(alice, plain.user_email, "member")


def test_another_tenants_invitations_are_not_there(alice: Principal, mallory: Principal) -> None:
    made = membership.invite(alice, address(), "member")
    assert membership.invitations(mallory) == []
    with pytest.raises(NotFound):
        membership.withdraw_invitation(mallory, made.id)
    with pytest.raises(NotFound):
        membership.renew_invitation(mallory, made.id)
    assert [one.id for one in membership.invitations(alice)] == [made.id]


def test_a_suspended_member_comes_back_by_invitation(alice: Principal) -> None:
    user_id, email = new_person("Gina")
    membership.accept(user_id, email, membership.invite(alice, email, "admin").secret)
    (theirs,) = [one for one in membership.members(alice) if one.user_id == user_id]
    membership.suspend(alice, theirs.id)
    membership.accept(user_id, email, membership.invite(alice, email, "viewer").secret)
    again = selectors.principal_for(user_id, alice.tenant_id)
    assert again is not None
    assert again.role == "viewer"


def test_whoever_is_off_boarded_leaves_no_way_back(alice: Principal) -> None:
    """Neither by a link they sent to another address of theirs, nor by one that was open for their own."""
    user_id, email = new_person("Gina")
    earlier = membership.invite(alice, email, "admin")
    admin = new_member(alice, "Ada", "admin")
    Membership.objects.using("engine").create(tenant_id=alice.tenant_id, user_id=user_id, role="member")
    sent = membership.invite(admin, address(), "admin")
    others = membership.invite(alice, address(), "member")
    for one in membership.members(alice):
        if one.user_id in (user_id, admin.user_id):
            membership.suspend(alice, one.id)
    assert membership.open_invitation(sent.secret) is None
    assert membership.open_invitation(earlier.secret) is None
    assert [one.id for one in membership.invitations(alice)] == [others.id]


def test_the_link_from_invitation_to_first_page(alice: Principal, client_of: Callable[[Principal], Client]) -> None:
    email = address()
    page = client_of(alice).post("/settings/workspace/", {"email": email, "role": "member"}).content.decode()
    link = page.split("data-copy-text=")[1].split('"')[1]
    path = "/" + link.split("/", 3)[3]
    guest = Client(REMOTE_ADDR=new_address())
    shown = guest.get(path).content.decode()
    assert "Join Northwind" in shown
    refused = guest.post(f"{path}accept/", {"name": "Guest", "password": "short"})
    assert refused.status_code == 400
    joined = guest.post(f"{path}accept/", {"name": "Guest", "password": PASSWORD})
    assert (joined.status_code, joined["Location"]) == (302, "/chat/")
    assert guest.get("/api/v1/accounts/me/").json()["tenant_id"] == str(alice.tenant_id)
    assert guest.get(path).status_code == 404


def test_mail_is_sent_where_it_can_be(alice: Principal, client_of: Callable[[Principal], Client]) -> None:
    def invite() -> Any:
        body = {"email": address(), "role": "member"}
        return client_of(alice).post("/api/v1/invitations/", body, content_type="application/json").json()

    assert invite()["mailed"] is False
    with override_settings(MAIL_IS_CONFIGURED=True, EMAIL_BACKEND="django.core.mail.backends.locmem.EmailBackend"):
        mail.outbox = []
        answer = invite()
    assert answer["mailed"] is True
    assert answer["url"] in mail.outbox[0].body
    assert mail.outbox[0].to == [answer["email"]]
