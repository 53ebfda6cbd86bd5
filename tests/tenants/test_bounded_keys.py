"""Keys that open some doors, reach some models, or belong to a team."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from apps.problems import Forbidden
from apps.tenants import membership, offered, selectors, services, teams
from apps.tenants.contracts import OfferedName, Principal, Scope, Via
from apps.tenants.edge.credentials import require_scope, scopes_of_door
from apps.tenants.errors import CredentialRefused, InsufficientScope, InvalidApiKey
from apps.tenants.models import ApiKey, AuditEntry, TeamMember
from apps.tenants.scope import tenant_scope
from apps.tenants.standing import still_stands
from tests.people import new_member

OFFERS = [OfferedName("kb-one", "One"), OfferedName("kb-two", "Two"), OfferedName("kb-best", "Best", answers=False)]
DOORS = [
    ("POST", "/v1/chat/completions", {"chat", "completions"}),
    ("POST", "/v1/responses", {"chat", "responses"}),
    ("POST", "/v1/messages", {"chat", "messages"}),
    ("POST", "/v1/messages/count_tokens", {"chat", "messages"}),
    ("POST", "/v1/embeddings", {"chat", "embeddings"}),
    ("POST", "/v1/chat/messages", {"chat"}),
    ("GET", "/v1/chat/streams/1", {"chat", "read"}),
    ("GET", "/v1/models", {"chat", "completions", "responses", "messages", "embeddings", "read"}),
    ("GET", "/v1/models/kb-one", {"chat", "completions", "responses", "messages", "embeddings", "read"}),
    ("POST", "/v1/models", {"chat"}),
    ("GET", "/api/v1/conversations/", {"manage", "read"}),
    ("HEAD", "/api/v1/conversations/", {"manage", "read"}),
    ("POST", "/api/v1/api-keys/", {"manage"}),
    ("DELETE", "/api/v1/api-keys/1/", {"manage"}),
    ("OPTIONS", "/api/v1/api-keys/", {"manage"}),
    ("GET", "/scim/v2/Users", {"scim"}),
    ("GET", "/settings/keys/", set()),
    # What only looks like a door's path is none of it.
    ("POST", "/V1/embeddings", set()),
    ("POST", "/v1/embeddings/", {"chat"}),
    ("POST", "/v1//embeddings", {"chat"}),
    ("GET", "/v1/modelsx", {"chat", "read"}),
]


@pytest.fixture(autouse=True)
def on_offer(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(offered, "_handlers", [lambda principal: OFFERS])
    yield


def membership_id(person: Principal) -> UUID:
    (found,) = [one.id for one in membership.members(person) if one.user_id == person.user_id]
    return found


def told(person: Principal, action: str) -> list[dict[str, object]]:
    with tenant_scope(person.tenant_id):
        return list(AuditEntry.objects.filter(action=action).order_by("seq").values_list("data", flat=True))


@pytest.mark.parametrize(("method", "path", "opened_by"), DOORS)
def test_a_key_opens_the_doors_of_its_scopes(alice: Principal, method: str, path: str, opened_by: set[str]) -> None:
    scopes = scopes_of_door(method, path)
    assert scopes == opened_by
    for scope in Scope:
        key = replace(alice, via=Via.API_KEY, scopes=frozenset({scope}))
        if scope in opened_by:
            require_scope(key, scopes)
        else:
            with pytest.raises(InsufficientScope):
                require_scope(key, scopes)


def test_a_reading_key_reads_and_changes_nothing(alice: Principal) -> None:
    key = services.create_api_key(alice, "reader", {"read"})
    headers = {"Authorization": f"Bearer {key.secret}"}
    assert Client().get("/api/v1/api-keys/", headers=headers).status_code == 200
    for refused in (
        Client().delete(f"/api/v1/api-keys/{key.id}/", headers=headers),
        Client().post("/api/v1/api-keys/revoke-all/", headers=headers),
        Client().post(f"/api/v1/api-keys/{key.id}/", headers={**headers, "X-HTTP-Method-Override": "GET"}),
        Client().patch("/api/v1/accounts/me/", {"instructions": "x"}, "application/json", headers=headers),
    ):
        assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    assert selectors.principal_for_api_key(key.secret) is not None


def test_a_key_is_for_models_that_are_on_offer(alice: Principal) -> None:
    key = services.create_api_key(alice, "narrow", models=["kb-two", "kb-best", "kb-two"])
    found = selectors.principal_for_api_key(key.secret)
    assert found is not None and found.models == {"kb-two", "kb-best"}
    me = Client().get("/api/v1/accounts/me/", headers={"Authorization": f"Bearer {key.secret}"}).json()
    assert me["models"] == ["kb-best", "kb-two"]
    assert selectors.bounded_by_key(alice, key.id).models == {"kb-two", "kb-best"}
    assert selectors.bounded_by_key(alice, None).models is None
    assert told(alice, "api_key.made")[-1]["models"] == ["kb-best", "kb-two"]
    for models, why in (
        ([], "at least one model"),
        (["kb-best"], "at least one model"),
        (["kb-one", "kb-three"], "Not on offer to you: kb-three"),
        ([f"kb-{number}" for number in range(101)], "at most 100"),
    ):
        with pytest.raises(InvalidApiKey) as refused:
            services.create_api_key(alice, "wrong", models=models)
        assert why in (refused.value.fields or {})["models"][0]


def test_over_rest(client_of: Callable[[Principal], Client], alice: Principal) -> None:
    client = client_of(alice)
    team_id = teams.create_team(alice, "Search")
    teams.add_member(alice, team_id, membership_id(alice))
    asked = {"name": "narrow", "scopes": ["completions"], "models": ["kb-one"], "team": str(team_id)}
    made = client.post("/api/v1/api-keys/", asked, content_type="application/json")
    assert made.status_code == 201
    (listed,) = client.get("/api/v1/api-keys/").json()
    assert {name: listed[name] for name in asked} == asked
    assert (listed["rotated_at"], listed["earlier_secrets"]) == (None, [])
    for field, value in (("models", []), ("models", ["kb-none"]), ("models", "kb-one"), ("team", str(uuid4()))):
        refused = client.post("/api/v1/api-keys/", {**asked, field: value}, content_type="application/json")
        assert (refused.status_code, list(refused.json()["errors"])) == (400, [field])


def test_no_key_makes_or_widens_a_key(alice: Principal) -> None:
    """Whatever it is restricted to: not another one, not itself anew, not one of its person's."""
    narrow = services.create_api_key(alice, "narrow", {"manage"}, models=["kb-one"])
    wide = services.create_api_key(alice, "wide")
    for key in (narrow, wide):
        headers = {"Authorization": f"Bearer {key.secret}"}
        for path, body in (
            ("/api/v1/api-keys/", {"name": "child", "scopes": [], "models": None}),
            ("/api/v1/api-keys/", {"name": "child", "scopes": ["manage"], "models": ["kb-one"]}),
            (f"/api/v1/api-keys/{narrow.id}/rotate/", {"overlap_seconds": 0}),
            (f"/api/v1/api-keys/{wide.id}/rotate/", {"overlap_seconds": 60}),
        ):
            refused = Client().post(path, body, content_type="application/json", headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden"), path
    assert len(selectors.api_keys(alice)) == 2


@pytest.mark.parametrize("how", ["leaves", "is taken out", "by a hand in the database", "the team goes", "off-boarded"])
def test_a_teams_key_ends_with_its_persons_place_in_the_team(alice: Principal, how: str) -> None:
    carol = new_member(alice, "Carol")
    team_id, other_id = teams.create_team(alice, "Search"), teams.create_team(alice, "Sales")
    for team in (team_id, other_id):
        teams.add_member(alice, team, membership_id(carol))
    key, other = (services.create_api_key(carol, "k", team_id=team) for team in (team_id, other_id))
    own = services.create_api_key(carol, "own")
    found = selectors.principal_for_api_key(key.secret)
    assert found is not None
    match how:
        case "leaves":
            membership.leave(carol, carol.tenant_name)
        case "is taken out":
            teams.remove_member(alice, team_id, membership_id(carol))
        case "by a hand in the database":
            TeamMember.objects.using("engine").filter(team_id=team_id).delete()
        case "the team goes":
            teams.delete_team(alice, team_id)
        case _:
            membership.suspend(alice, membership_id(carol))
    left = how in ("leaves", "off-boarded")
    if how != "by a hand in the database":
        for secret, ended in ((key.secret, True), (other.secret, left), (own.secret, left)):
            assert (selectors.principal_for_api_key(secret) is None) is ended
    assert ApiKey.objects.using("engine").get(id=key.id).revoked_at is not None
    assert (ApiKey.objects.using("engine").get(id=other.id).revoked_at is not None) is left
    with pytest.raises(CredentialRefused), tenant_scope(alice.tenant_id):
        still_stands(found)
    if how in ("is taken out", "the team goes"):
        assert [(one["prefix"], one["left_team"]) for one in told(alice, "api_key.revoked")] == [
            (key.prefix, str(team_id))
        ]


def test_who_comes_back_makes_a_new_key(alice: Principal) -> None:
    team_id = teams.create_team(alice, "Search")
    teams.add_member(alice, team_id, membership_id(alice))
    key = services.create_api_key(alice, "k", team_id=team_id)
    teams.remove_member(alice, team_id, membership_id(alice))
    teams.add_member(alice, team_id, membership_id(alice))
    assert selectors.principal_for_api_key(key.secret) is None


def test_a_key_is_of_no_team_but_ones_own(alice: Principal, bob: Principal, mallory: Principal) -> None:
    not_mine, theirs = teams.create_team(alice, "Search"), teams.create_team(mallory, "Theirs")
    teams.add_member(alice, not_mine, membership_id(alice))
    for team_id in (not_mine, theirs, uuid4()):
        with pytest.raises(InvalidApiKey) as refused:
            services.create_api_key(bob, "k", team_id=team_id)
        assert list(refused.value.fields or {}) == ["team"]
    row = ApiKey(tenant_id=alice.tenant_id, user_id=bob.user_id, name="x", prefix=uuid4().hex[:20], digest=b"x")
    row.team_id = theirs
    with pytest.raises(IntegrityError), transaction.atomic(using="engine"):
        row.save(using="engine", force_insert=True)


def test_a_directorys_key_is_bounded_by_its_door_alone(alice: Principal) -> None:
    with pytest.raises(InvalidApiKey, match="cannot be made like this"):
        services.create_api_key(alice, "dir", {"scim"}, models=["kb-one"])
    with pytest.raises(Forbidden):
        services.create_api_key(replace(alice, via=Via.OAUTH), "child")
