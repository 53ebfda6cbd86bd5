"""Teams, and the rules that name them."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from django.test import Client

from apps.problems import Conflict, Forbidden, NotFound
from apps.tenants import membership, teams
from apps.tenants.contracts import ModelRuleSummary, Principal
from apps.tenants.errors import InvalidTeam, InvalidTenant
from apps.tenants.models import AuditEntry
from apps.tenants.scope import tenant_scope


@pytest.fixture(autouse=True)
def doors() -> None:
    """The real ones: these pages lead to others."""


def test_a_team_from_its_opening_to_its_end(alice: Principal, bob: Principal) -> None:
    team = teams.create_team(alice, " Research  lab ")
    (theirs,) = [one.id for one in membership.members(alice) if one.user_id == bob.user_id]
    teams.add_member(alice, team, theirs)
    teams.add_member(alice, team, theirs)
    teams.rename_team(alice, team, "Lab")
    assert [(one.name, one.members) for one in teams.teams(bob)] == [("Lab", (theirs,))]
    teams.remove_member(alice, team, theirs)
    with pytest.raises(NotFound):
        teams.remove_member(alice, team, theirs)
    teams.delete_team(alice, team)
    assert teams.teams(alice) == []
    with tenant_scope(alice.tenant_id):
        noted = set(AuditEntry.objects.values_list("action", flat=True))
    assert {"team.created", "team.renamed", "team.member_added", "team.member_removed", "team.deleted"} <= noted


def test_two_teams_of_one_name_are_one_too_many(alice: Principal) -> None:
    teams.create_team(alice, "Lab")
    with pytest.raises(Conflict):
        teams.create_team(alice, "LAB")
    with pytest.raises(InvalidTeam):
        teams.create_team(alice, " \t ")
    with pytest.raises(InvalidTeam):
        teams.create_team(alice, "x" * 121)
    with pytest.raises(InvalidTeam):
        teams.create_team(alice, "a\0b")


def test_another_tenants_team_and_members_are_not_there(alice: Principal, mallory: Principal) -> None:
    team = teams.create_team(alice, "Lab")
    own = membership.members(alice)[0].id
    for change in (
        lambda: teams.rename_team(mallory, team, "Mine"),
        lambda: teams.delete_team(mallory, team),
        lambda: teams.add_member(mallory, team, membership.members(mallory)[0].id),
        lambda: teams.add_member(mallory, teams.create_team(mallory, "Ours"), own),
        lambda: teams.remove_member(mallory, team, own),
    ):
        with pytest.raises(NotFound):
            change()
    assert [one.name for one in teams.teams(alice)] == ["Lab"]


def test_members_keep_no_teams_and_no_rules(bob: Principal) -> None:
    for change in (
        lambda: teams.create_team(bob, "Mine"),
        lambda: teams.set_model_rule(bob, "pro", ["member"], []),
        lambda: teams.remove_model_rule(bob, "pro"),
        lambda: teams.change_tenant(bob, name="Mine"),
    ):
        with pytest.raises(Forbidden):
            change()


def test_a_rule_is_set_changed_and_removed(alice: Principal, mallory: Principal) -> None:
    team = teams.create_team(alice, "Lab")
    teams.set_model_rule(alice, "pro", ["admin", "owner", "owner"], [team])
    teams.set_model_rule(alice, "pro", ["owner"], [team, team])
    assert teams.model_rules(alice) == [ModelRuleSummary("pro", ("owner",), (team,))]
    assert teams.model_rules(mallory) == []
    with pytest.raises(InvalidTeam) as wrong:
        teams.set_model_rule(mallory, "", ["emperor"], [team])
    assert set(wrong.value.fields or {}) == {"tier", "roles", "teams"}
    teams.remove_model_rule(alice, "pro")
    with pytest.raises(NotFound):
        teams.remove_model_rule(alice, "pro")


def test_the_tenant_is_renamed(alice: Principal) -> None:
    teams.change_tenant(alice, name=" New name ", requires_second_factor=True)
    told = teams.tenant(alice)
    assert (told.name, told.requires_second_factor) == ("New name", True)
    with pytest.raises(InvalidTenant):
        teams.change_tenant(alice, name=" ")


def test_teams_and_rules_over_rest_and_on_the_page(alice: Principal, client_of: Callable[[Principal], Client]) -> None:
    browser = client_of(alice)
    team = browser.post("/api/v1/teams/", {"name": "Lab"}, content_type="application/json").json()["id"]
    own = membership.members(alice)[0].id
    assert browser.put(f"/api/v1/teams/{team}/members/{own}/").status_code == 204
    assert browser.put(f"/api/v1/teams/{team}/members/{uuid4()}/").status_code == 404
    rule = {"roles": ["owner"], "teams": [team]}
    assert browser.put("/api/v1/model-rules/pro/", rule, content_type="application/json").status_code == 204
    assert browser.get("/api/v1/model-rules/").json() == [{"tier": "pro", **rule}]
    page = browser.get("/settings/workspace/teams/").content.decode()
    assert "Lab" in page
    assert "Alice" in page
    assert browser.post("/settings/workspace/rules/remove/", {"tier": "pro"}).status_code == 302
    assert browser.post(f"/settings/workspace/teams/{team}/delete/").status_code == 302
    assert browser.get("/api/v1/teams/").json() == []
