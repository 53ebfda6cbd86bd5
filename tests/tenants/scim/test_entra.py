"""What Microsoft Entra's provisioning sends, in its order and its spelling."""

from uuid import UUID, uuid4

from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import User
from apps.tenants import provisioned_teams, selectors
from apps.tenants.contracts import Principal
from apps.tenants.models import AuditEntry, Membership, ProvisionedUser, TeamMember
from apps.tenants.scim_patch import read_operations
from apps.tenants.scim_schema import GROUPS
from apps.tenants.scope import tenant_scope
from tests.tenants.scim.conftest import ENTERPRISE, GROUP, USER, Directory


def membership_of(tenant_id: UUID, user_id: str) -> Membership:
    row = ProvisionedUser.objects.using("engine").select_related("membership").get(tenant_id=tenant_id, id=user_id)
    return row.membership


def test_the_connection_test_asks_for_somebody_who_is_not_there(directory: Directory) -> None:
    answer = directory("GET", "/Users", filter=f'userName eq "{uuid4()}"')
    assert answer.status == 200
    assert answer.body == {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": 0,
        "startIndex": 1,
        "itemsPerPage": 0,
        "Resources": [],
    }
    assert (
        directory("GET", "/Groups", excludedAttributes="members", filter='displayName eq "x"').body["Resources"] == []
    )


def test_a_users_life(directory: Directory, alice: Principal) -> None:
    name = f"test_user_{uuid4().hex[:8]}@example.org"
    made = directory(
        "POST",
        "/Users",
        {
            "schemas": [USER, ENTERPRISE],
            "externalId": "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef",
            "userName": name,
            "active": True,
            "emails": [{"primary": True, "type": "work", "value": name.upper()}],
            "meta": {"resourceType": "User"},
            "name": {"formatted": "given family", "familyName": "family", "givenName": "given"},
            "roles": [],
            ENTERPRISE: {"department": "R&D", "manager": "b2"},
        },
    )
    assert made.status == 201
    user = made.body
    assert made.headers["Location"] == user["meta"]["location"] == f"{directory.url}/scim/v2/Users/{user['id']}"
    assert user["schemas"] == [USER, ENTERPRISE]
    assert (user["active"], user["roles"]) == (True, [{"value": "member"}])
    assert user[ENTERPRISE] == {"department": "R&D", "manager": {"value": "b2"}}
    assert directory("GET", f"/Users/{user['id']}").body == user
    for text in (
        f'userName eq "{name}"',
        f'externalId eq "{user["externalId"]}"',
        f'emails[type eq "work"].value eq "{name}"',
        f'id eq "{user["id"]}"',
    ):
        assert directory("GET", "/Users", filter=text).body["Resources"] == [user], text

    path = f"/Users/{user['id']}"
    changed = directory.patch(
        path,
        {"op": "Replace", "path": 'emails[type eq "work"].value', "value": "updated@example.org"},
        {"op": "Replace", "path": "name.familyName", "value": "updatedFamilyName"},
        {"op": "Add", "path": 'phoneNumbers[type eq "mobile"].value', "value": "+1 555"},
        {"op": "Replace", "path": f"{ENTERPRISE}:department", "value": "Sales"},
        {"op": "Add", "path": f"{ENTERPRISE}:manager", "value": "b3"},
        {
            "op": "Replace",
            "value": {"displayName": "Dotted", "name.givenName": "given2", f"{ENTERPRISE}:division": "D"},
        },
    ).body
    assert changed["emails"] == [{"primary": True, "type": "work", "value": "updated@example.org"}]
    assert changed["name"] == {"formatted": "given family", "familyName": "updatedFamilyName", "givenName": "given2"}
    assert changed["phoneNumbers"] == [{"type": "mobile", "value": "+1 555"}]
    assert changed[ENTERPRISE] == {"department": "Sales", "division": "D", "manager": {"value": "b3"}}
    assert changed["displayName"] == "Dotted"
    assert changed["meta"]["lastModified"] > user["meta"]["lastModified"]

    gone = directory.patch(path, {"op": "Replace", "path": "active", "value": "False"})
    assert (gone.status, gone.body["active"]) == (200, False)
    membership = membership_of(alice.tenant_id, user["id"])
    assert membership.suspended_at is not None
    assert selectors.principal_for(membership.user_id, alice.tenant_id) is None
    back = directory.patch(path, {"op": "Replace", "path": "active", "value": "True"})
    assert back.body["active"] is True
    assert selectors.principal_for(membership.user_id, alice.tenant_id) is not None

    assert directory("DELETE", path).status == 204
    assert directory("GET", path).status == 404
    assert directory("DELETE", path).status == 404
    assert selectors.principal_for(membership.user_id, alice.tenant_id) is None
    with tenant_scope(alice.tenant_id):
        told = list(AuditEntry.objects.filter(tenant_id=alice.tenant_id, via="scim").order_by("seq"))
    assert {entry.actor_id for entry in told} == {alice.user_id}
    assert all(entry.actor.startswith(f"{alice.user_email} (key ") for entry in told)
    actions = [entry.action for entry in told if entry.action != "directory.read"]
    assert actions == [
        "member.provisioned",
        "member.directory_changed",
        "member.off_boarded",
        "member.directory_changed",
        "member.readmitted",
        "member.off_boarded",
        "member.deprovisioned",
    ]


def test_roles_follow_the_directory_but_nobody_becomes_an_owner(directory: Directory, alice: Principal) -> None:
    user = directory.user(roles=[{"value": "Billing-Admin", "display": "x"}])
    path = f"/Users/{user['id']}"
    assert user["roles"] == [{"value": "billing_admin"}]
    answer = directory.patch(path, {"op": "Add", "path": 'roles[primary eq "True"].value', "value": "viewer"})
    assert answer.body["roles"] == [{"value": "viewer"}]
    for value in ("owner", "root"):
        refused = directory.patch(path, {"op": "replace", "path": "roles", "value": [{"value": value}]})
        assert (refused.status, refused.body["scimType"]) == (400, "invalidValue")
    assert directory.patch(path, {"op": "add", "path": "roles", "value": "admin"}).body["roles"] == [{"value": "admin"}]
    assert directory.patch(path, {"op": "remove", "path": "roles"}).body["roles"] == [{"value": "member"}]
    assert membership_of(alice.tenant_id, user["id"]).role == "member"


def test_a_groups_life(directory: Directory) -> None:
    name = f"Group {uuid4()}"
    body = {
        "schemas": [GROUP, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
        "externalId": "8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159",
        "displayName": name,
        "meta": {"resourceType": "Group"},
    }
    made = directory("POST", "/Groups", body)
    assert made.status == 201
    path = f"/Groups/{made.body['id']}"
    assert directory("GET", path, excludedAttributes="members").body == made.body
    found = directory("GET", "/Groups", excludedAttributes="members", filter=f'displayName eq "{name}"')
    assert found.body["Resources"] == [made.body]

    one, two = directory.user(), directory.user()
    added = {"op": "Add", "path": "members", "value": [{"$ref": None, "value": one["id"]}, {"value": two["id"]}]}
    assert directory.patch(path, added).status == 204
    assert directory.patch(path, added).status == 204
    members = directory("GET", path).body["members"]
    assert [member["value"] for member in members] == [one["id"], two["id"]]
    assert members[0]["$ref"] == one["meta"]["location"]
    assert "members" not in directory("GET", path, excludedAttributes="members").body
    asked = {"filter": f'id eq "{made.body["id"]}" and members eq "{one["id"]}"', "attributes": "id"}
    assert [found["id"] for found in directory("GET", "/Groups", **asked).body["Resources"]] == [made.body["id"]]
    groups = directory("GET", f"/Users/{one['id']}").body["groups"]
    assert groups == [
        {"value": made.body["id"], "display": name, "type": "direct", "$ref": made.body["meta"]["location"]}
    ]

    assert directory.patch(path, {"op": "Replace", "path": "displayName", "value": f"{name} 2"}).status == 204
    assert directory.patch(path, {"op": "Remove", "path": "members", "value": [{"value": one["id"]}]}).status == 204
    after = directory("GET", path).body
    assert (after["displayName"], [member["value"] for member in after["members"]]) == (f"{name} 2", [two["id"]])
    assert directory("DELETE", path).status == 204
    assert directory("GET", path).status == 404


def test_a_thousand_members_are_a_few_statements(directory: Directory, alice: Principal) -> None:
    group = directory("POST", "/Groups", {"displayName": "Everybody"}).body
    ids = _thousand_users(alice)
    value = [{"value": one} for one in ids]
    answer = directory.patch(f"/Groups/{group['id']}", {"op": "Add", "path": "members", "value": value})
    assert answer.status == 204
    assert len(directory("GET", f"/Groups/{group['id']}").body["members"]) == 1000
    half = {"op": "replace", "path": "members", "value": value[:500]}
    with CaptureQueriesContext(connection) as queries:
        operations = read_operations(GROUPS, {"Operations": [half, {"op": "add", "path": "members", "value": value}]})
        provisioned_teams.change_group(alice, UUID(group["id"]), operations)
    assert len(queries) <= 30
    with tenant_scope(alice.tenant_id):
        assert TeamMember.objects.filter(tenant_id=alice.tenant_id, team_id=group["id"]).count() == 1000
    page = directory("GET", "/Users", startIndex="995", count="5", sortBy="userName")
    assert (page.body["totalResults"], page.body["itemsPerPage"]) == (1000, 5)


def _thousand_users(alice: Principal) -> list[str]:
    """Made in bulk: making them one by one is not what is looked at here."""
    people = User.objects.using("engine").bulk_create(
        [User(email=f"{uuid4().hex}@example.org", name="x", password="!") for _ in range(1000)]
    )
    places = Membership.objects.using("engine").bulk_create(
        [Membership(tenant_id=alice.tenant_id, user_id=person.id) for person in people]
    )
    with tenant_scope(alice.tenant_id):
        rows = ProvisionedUser.objects.bulk_create(
            [
                ProvisionedUser(tenant_id=alice.tenant_id, membership_id=place.id, user_name=person.email)
                for person, place in zip(people, places, strict=True)
            ]
        )
    return [str(row.id) for row in rows]
