"""The settings of a workspace as a person meets them: finding people, inviting many, taking back, and being told."""

import re
from collections.abc import Callable
from uuid import uuid4

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.tenants import membership, teams
from apps.tenants.contracts import Principal
from apps.tenants.edge.member_pages import MAX_AT_ONCE, PER_PAGE
from apps.tenants.models import Membership
from tests.people import new_member, prove_second_factor

MEMBERS = "/settings/workspace/"
ClientOf = Callable[[Principal], Client]


@pytest.fixture(autouse=True)
def doors() -> None:
    """The real ones: these pages lead to others."""


def text(client: Client, path: str, **query: str) -> str:
    answer = client.get(path, query)
    assert answer.status_code == 200
    return answer.content.decode()


def test_people_are_found_by_name_address_role_and_standing(alice: Principal, client_of: ClientOf) -> None:
    ines = new_member(alice, "Ines", "viewer")
    tomasz = new_member(alice, "Tomasz")
    membership.suspend(alice, next(one.id for one in membership.members(alice) if one.user_id == tomasz.user_id))
    prove_second_factor(browser := client_of(alice), alice.user_id)
    for query, found in (
        ({"q": "ines"}, {"Ines"}),
        ({"q": tomasz.user_email[:14]}, {"Tomasz"}),
        ({"role": "viewer"}, {"Ines"}),
        ({"standing": "suspended"}, {"Tomasz"}),
        ({"standing": "unprotected"}, {"Ines"}),
        ({"role": "emperor", "standing": "?"}, {"Alice", "Ines", "Tomasz"}),
        ({"q": "nobody of this name"}, set()),
    ):
        page = text(browser, MEMBERS, **query)
        assert {name for name in ("Alice", "Ines", "Tomasz") if f"<b>{name}" in page} == found, query
        assert ("Nobody is like this" in page) is (not found)
    part = browser.get(MEMBERS, {"q": "ines"}, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    assert "1 of 3 members" in part, "said aloud"
    assert ines.user_email in part


def test_a_long_list_comes_in_pages_that_keep_what_was_asked(alice: Principal, client_of: ClientOf) -> None:

    people = [User(email=f"p{number}-{uuid4().hex}@example.org", name=f"Person {number:02}") for number in range(30)]
    User.objects.using("engine").bulk_create(people)
    Membership.objects.using("engine").bulk_create(
        [Membership(tenant_id=alice.tenant_id, user_id=one.id) for one in people]
    )
    first = text(browser := client_of(alice), MEMBERS, q="person")
    assert first.count('class="avatar"') == PER_PAGE + 1, "and one's own in the corner"
    assert "?q=person&amp;page=2" in first
    second = text(browser, MEMBERS, q="person", page="2")
    assert second.count('class="avatar"') == 30 - PER_PAGE + 1
    back = browser.post(f"{MEMBERS}members/{uuid4()}/role/?q=person&page=2", {"role": "viewer"})
    assert back.status_code == 404
    one = next(one.id for one in membership.members(alice) if one.name == "Person 29")
    back = browser.post(f"{MEMBERS}members/{one}/role/?q=person&page=2", {"role": "viewer"})
    assert back["Location"] == f"{MEMBERS}?q=person&page=2"


def test_many_are_invited_at_once_and_who_could_not_be_is_told(
    alice: Principal, bob: Principal, client_of: ClientOf
) -> None:
    marks = [uuid4().hex[:10] for _ in range(2)]
    given = f"Ines <{marks[0]}@example.org>; {marks[1]}@EXAMPLE.org,\n{bob.user_email} {marks[0]}@example.org"
    page = client_of(alice).post(MEMBERS, {"email": given, "role": "viewer"}).content.decode()
    assert "2 people are invited" in page
    assert len(re.findall(r'data-copy-text="[^"]+/invitation/', page)) == 2
    assert f"{bob.user_email}: This person is a member already." in page
    assert {one.email for one in membership.invitations(alice)} == {f"{mark}@example.org" for mark in marks}


@pytest.mark.parametrize("given", ["", "nobody", " ".join(f"p{n}@example.org" for n in range(MAX_AT_ONCE + 1))])
def test_what_is_no_invitation_is_told_beside_the_field(alice: Principal, client_of: ClientOf, given: str) -> None:
    answer = client_of(alice).post(MEMBERS, {"email": given, "role": "member"})
    assert answer.status_code == 400
    assert 'class="hint error" id="id_email-hint"' in answer.content.decode()
    assert membership.invitations(alice) == []


def test_an_invitation_is_sent_again_with_a_new_link(alice: Principal, bob: Principal, client_of: ClientOf) -> None:
    made = membership.invite(alice, f"{uuid4().hex[:10]}@example.org", "viewer")
    browser, path = client_of(alice), f"{MEMBERS}invitations/{made.id}/renew/"
    assert path in text(browser, MEMBERS)
    page = browser.post(path).content.decode()
    (link,) = re.findall(r'data-copy-text="[^"]+/invitation/([^"/]+)/"', page)
    assert membership.open_invitation(made.secret) is None
    opened = membership.open_invitation(link)
    assert opened is not None
    assert (opened.email, opened.role) == (made.email, "viewer")
    assert client_of(bob).post(path).status_code == 403
    assert browser.post(f"{MEMBERS}invitations/{uuid4()}/renew/").status_code == 404


def test_what_was_changed_can_be_taken_back(alice: Principal, bob: Principal, client_of: ClientOf) -> None:
    browser, theirs = client_of(alice), next(one.id for one in membership.members(alice) if not one.is_you)

    def undo(page: str) -> None:
        action, fields = re.findall(r'<form [^>]*action="([^"]+)">((?:(?!</form>).)*)<button[^>]*>Undo', page)[-1]
        named: dict[str, list[str]] = {}
        for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', fields):
            named.setdefault(name, []).append(value)
        assert browser.post(action, named).status_code == 302

    undo(browser.post(f"{MEMBERS}members/{theirs}/role/", {"role": "viewer"}, follow=True).content.decode())
    assert [one.role for one in membership.members(alice) if one.id == theirs] == ["member"]
    team = teams.create_team(alice, "Research")
    teams.add_member(alice, team, theirs)
    undo(browser.post(f"{MEMBERS}teams/{team}/members/{theirs}/remove/", follow=True).content.decode())
    assert teams.teams(alice)[0].members == (theirs,)
    teams.set_model_rule(alice, "pro", ["owner", "admin"], [team])
    undo(browser.post(f"{MEMBERS}rules/remove/", {"tier": "pro"}, follow=True).content.decode())
    assert [(one.tier, set(one.roles), one.teams) for one in teams.model_rules(alice)] == [
        ("pro", {"owner", "admin"}, (team,))
    ]


def test_the_demand_for_a_second_factor_says_whom_it_meets(
    alice: Principal, bob: Principal, client_of: ClientOf
) -> None:
    browser = client_of(alice)
    page = text(browser, f"{MEMBERS}general/")
    assert "0 of 2 members have one" in page
    assert "You have none yourself" in page
    prove_second_factor(browser, alice.user_id)
    assert "1 of 2 members have one" in text(browser, f"{MEMBERS}general/")
    wrong = browser.post(f"{MEMBERS}change/", {"name": " "})
    assert wrong.status_code == 400
    assert 'id="id_name-hint">This field is required.' in wrong.content.decode()
    assert browser.post(f"{MEMBERS}change/", {"name": "Northwind", "requires_second_factor": "on"}).status_code == 302
    assert teams.tenant(alice).requires_second_factor


def test_a_rule_is_set_beside_the_models_it_is_about(alice: Principal, bob: Principal, client_of: ClientOf) -> None:
    browser, path = client_of(alice), f"{MEMBERS}rules/"
    assert browser.post(path, {"tier": "pro", "roles": ["owner"]}).status_code == 302
    page = text(browser, path)
    assert "Restricted" in page
    assert re.search(r'value="owner"[^>]*checked', page)
    wrong = browser.post(path, {"tier": "pro", "roles": ["emperor"]})
    assert wrong.status_code == 400
    assert "Select a valid choice" in wrong.content.decode()
    assert [one.roles for one in teams.model_rules(alice)] == [("owner",)]
    assert "Set the rule" not in text(client_of(bob), path)


def test_every_page_of_the_account_says_where_one_is(alice: Principal, client_of: ClientOf) -> None:
    """Pages behind one of the three belong to it."""
    desk = client_of(alice)
    prove_second_factor(desk, alice.user_id)
    for path, words, current in (
        ("second-factor/", "Sign-in", "page"),
        ("second-factor/webauthn/", "Sign-in", "true"),
        ("email/", "E-mail", "page"),
        ("sessions/", "Sessions", "page"),
    ):
        page = text(desk, f"/account/{path}")
        tabs = page.partition('class="settings-sub"')[2].partition("</nav>")[0]
        assert re.findall(r'aria-current="(\w+)">([^<]+)<', tabs) == [(current, words)], path
        assert f"<h1>{words}</h1>" in page
        assert page.count("Your account") <= 2, "the title of the window, and the way here"


def test_the_navigation_lists_what_a_role_may_open(alice: Principal, bob: Principal, client_of: ClientOf) -> None:
    names = {"Members", "Teams", "Model rules", "Workspace", "Identity providers", "Directory", "Audit log", "API keys"}
    for person, hidden in ((alice, set()), (bob, {"Identity providers", "Directory", "Audit log"})):
        page = text(client_of(person), MEMBERS)
        listed = set(re.findall(r'class="nav-item"[^>]*>([^<]+)</a>', page))
        assert names - listed == hidden
        assert ("Administration" in listed) is (person is alice)
