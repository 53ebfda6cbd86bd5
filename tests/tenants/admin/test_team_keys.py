"""Whoever is taken out of a team in an administration loses their keys of it, in every process."""

from collections.abc import Callable
from uuid import UUID

import pytest
from django.test import Client

from apps.tenants import selectors, services, teams
from apps.tenants.contracts import Principal
from apps.tenants.models import ApiKey, Membership, TeamMember
from tests.tenants.test_api_keys import is_outdated


def membership_id(person: Principal) -> UUID:
    rows = Membership.objects.using("engine").filter(tenant_id=person.tenant_id, user_id=person.user_id)
    return rows.values_list("id", flat=True).get()


@pytest.mark.parametrize("how", ["taken out", "team deleted"])
@pytest.mark.parametrize("where", ["manage", "admin"])
def test_keys_end_with_a_place_in_the_team(
    alice: Principal,
    bob: Principal,
    desk_of: Callable[[Principal], Client],
    request: pytest.FixtureRequest,
    where: str,
    how: str,
) -> None:
    browser: Client = desk_of(alice) if where == "manage" else request.getfixturevalue("office")
    team_id = teams.create_team(alice, "Search")
    teams.add_member(alice, team_id, membership_id(bob))
    key = services.create_api_key(bob, "app", team_id=team_id)
    row = TeamMember.objects.using("engine").get(team_id=team_id)
    path = f"/{where}/tenants/team/{team_id}"
    if how == "taken out":
        form = {
            "name": "Search",
            "members-TOTAL_FORMS": "1",
            "members-INITIAL_FORMS": "1",
            "members-0-id": str(row.id),
            "members-0-membership": str(row.membership_id),
            "members-0-team": str(team_id),
            "members-0-DELETE": "on",
        }
        answer = browser.post(f"{path}/change/", form)
    else:
        answer = browser.post(f"{path}/delete/", {"post": "yes"})
    assert answer.status_code == 302
    kept = ApiKey.objects.using("engine").get(id=key.id)
    assert kept.revoked_at is not None
    assert kept.team_id == (team_id if how == "taken out" else None)
    assert is_outdated(alice.tenant_id)
    selectors.forget_api_keys(alice.tenant_id)
    assert selectors.principal_for_api_key(key.secret) is None
