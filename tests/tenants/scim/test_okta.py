"""What Okta's provisioning sends, and what its test suite for SCIM servers expects."""

from uuid import uuid4

from apps.tenants import selectors
from apps.tenants.contracts import Principal
from tests.tenants.scim.conftest import ERROR, GROUP, USER, Directory
from tests.tenants.scim.test_entra import membership_of


def test_users_are_paged(directory: Directory) -> None:
    made = [directory.user()["id"] for _ in range(3)]
    first = directory("GET", "/Users", count="2", startIndex="1").body
    second = directory("GET", "/Users", count="2", startIndex="3").body
    assert [one["id"] for one in first["Resources"] + second["Resources"]] == made
    assert (first["totalResults"], first["startIndex"], first["itemsPerPage"]) == (3, 1, 2)
    assert (second["totalResults"], second["startIndex"], second["itemsPerPage"]) == (3, 3, 1)
    for odd in ({"count": "0"}, {"count": "-5"}, {"startIndex": "99"}, {"startIndex": "9" * 18}):
        answer = directory("GET", "/Users", **odd)
        assert (answer.status, answer.body["Resources"], answer.body["totalResults"]) == (200, [], 3)
    assert directory("GET", "/Users", startIndex="0").body["startIndex"] == 1
    assert directory("GET", "/Users", count="many").status == 400


def test_the_suites_sequence(directory: Directory) -> None:
    assert directory("GET", "/Users", filter=f'userName eq "{uuid4()}@example.org"').body["totalResults"] == 0
    missing = directory("GET", "/Users/919191")
    assert (missing.status, missing.body["schemas"], missing.body["status"]) == (404, [ERROR], "404")
    assert missing.body["detail"]
    assert directory("GET", f"/Users/{uuid4()}").status == 404

    name = f"Runscope{uuid4().hex[:8]}@example.org"
    body = {
        "schemas": [USER],
        "userName": name,
        "name": {"givenName": "Ruth", "familyName": "Scope"},
        "emails": [{"primary": True, "value": name, "type": "work"}],
        "displayName": "Ruth Scope",
        "locale": "en-US",
        "externalId": "00ujl29u0le5T6Aj10h7",
        "groups": [],
        "password": "1mz050nq",
        "active": True,
    }
    made = directory("POST", "/Users", body)
    assert made.status == 201
    assert (made.body["active"], made.body["userName"], made.body["name"]["familyName"]) == (True, name, "Scope")
    assert "password" not in made.body and "groups" not in made.body
    path = f"/Users/{made.body['id']}"

    again = directory("POST", "/Users", {**body, "userName": name.upper()})
    assert (again.status, again.body["scimType"], again.body["schemas"]) == (409, "uniqueness", [ERROR])
    assert directory("GET", "/Users", filter=f'userName eq "{name}"').body["totalResults"] == 1

    put = directory("PUT", path, {**made.body, "name": {"givenName": "Another", "familyName": "Scope"}})
    assert (put.status, put.body["name"]["givenName"]) == (200, "Another")
    off = directory.patch(path, {"op": "replace", "value": {"active": False}})
    assert (off.status, off.body["active"]) == (200, False)
    assert directory("GET", path).body["active"] is False
    on = directory("PUT", path, {**put.body, "active": True})
    assert (on.status, on.body["active"]) == (200, True)


def test_a_profile_that_is_pushed_whole_loses_what_is_not_in_it(directory: Directory) -> None:
    user = directory.user(title="Chief", roles=[{"value": "admin"}], nickName="C")
    put = directory("PUT", f"/Users/{user['id']}", {"schemas": [USER], "userName": user["userName"], "nickName": "D"})
    assert "title" not in put.body
    assert put.body["nickName"] == "D"
    assert (put.body["active"], put.body["roles"]) == (True, [{"value": "admin"}])


def test_groups_are_pushed(directory: Directory) -> None:
    one, two = directory.user(), directory.user()
    made = directory(
        "POST", "/Groups", {"schemas": [GROUP], "displayName": "Test SCIM", "members": [{"value": one["id"]}]}
    )
    assert (made.status, [member["value"] for member in made.body["members"]]) == (201, [one["id"]])
    path = f"/Groups/{made.body['id']}"
    taken = directory("POST", "/Groups", {"schemas": [GROUP], "displayName": "TEST scim"})
    assert (taken.status, taken.body["scimType"]) == (409, "uniqueness")
    renamed = {"op": "replace", "value": {"id": made.body["id"], "displayName": "Test SCIMv2"}}
    assert directory.patch(path, renamed).status == 204
    swap = [
        {"op": "remove", "path": f'members[value eq "{one["id"]}"]'},
        {"op": "add", "path": "members", "value": [{"value": two["id"], "display": "x"}]},
    ]
    assert directory.patch(path, *swap).status == 204
    after = directory("GET", path).body
    assert (after["displayName"], [member["value"] for member in after["members"]]) == ("Test SCIMv2", [two["id"]])
    put = directory("PUT", path, {"schemas": [GROUP], "displayName": "Put", "members": [{"value": one["id"]}]})
    assert [member["value"] for member in put.body["members"]] == [one["id"]]
    assert directory.patch(path, {"op": "replace", "path": "members", "value": []}).status == 204
    shown = directory("PATCH", f"{path}?attributes=displayName", {"Operations": [{"op": "remove", "path": "members"}]})
    assert (shown.status, shown.body["displayName"], "members" in shown.body) == (200, "Put", False)
    assert directory("GET", "/Groups", count="100", startIndex="1").body["totalResults"] == 1


def test_somebody_deactivated_cannot_enter_and_can_again(directory: Directory, alice: Principal) -> None:
    user = directory.user()
    membership = membership_of(alice.tenant_id, user["id"])
    assert selectors.principal_for(membership.user_id) is not None
    directory.patch(f"/Users/{user['id']}", {"op": "replace", "value": {"active": False}})
    assert selectors.principal_for(membership.user_id) is None
    born_inactive = directory.user(active=False)
    assert born_inactive["active"] is False
    assert selectors.principal_for(membership_of(alice.tenant_id, born_inactive["id"]).user_id) is None


def test_lists_are_sorted_searched_and_cut(directory: Directory) -> None:
    for letter in "bca":
        directory.user(f"{letter}@{uuid4().hex}.example", name={"familyName": letter.upper()}, title="T")
    directory.user(f"z@{uuid4().hex}.example")
    names = [one["userName"][0] for one in directory("GET", "/Users", sortBy="userName").body["Resources"]]
    assert names == ["a", "b", "c", "z"]
    query = {
        "sortBy": "name.familyName",
        "sortOrder": "descending",
        "filter": "title pr",
        "attributes": "name.familyName",
    }
    found = directory("GET", "/Users", **query).body["Resources"]
    assert [one["name"] for one in found] == [{"familyName": letter} for letter in "CBA"]
    assert all(one.keys() == {"schemas", "id", "name"} for one in found)
    asked = {"filter": 'userName sw "a@"', "excludedAttributes": ["meta", "emails.value"], "startIndex": 1, "count": 1}
    searched = directory("POST", "/Users/.search", {"schemas": [], **asked})
    assert (searched.status, searched.body["totalResults"]) == (200, 1)
    assert "meta" not in searched.body["Resources"][0]
    assert directory("POST", "/Groups/.search", {}).body["totalResults"] == 0
