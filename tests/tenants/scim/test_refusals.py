"""What a directory's doors refuse, and that refusing is all they do."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.problems import Forbidden
from apps.tenants import selectors, services
from apps.tenants.contracts import Principal, Scope
from apps.tenants.errors import InvalidApiKey
from apps.tenants.models import Membership
from tests.people import new_member, new_person
from tests.product import WebServer
from tests.tenants.scim.conftest import ERROR, GROUP, USER, Directory, key_of
from tests.tenants.scim.test_entra import membership_of


def test_only_a_directorys_key_opens_the_doors(
    scim_server: WebServer, alice: Principal, api_key_of: Callable[[Principal], str]
) -> None:
    every = services.create_api_key(alice, "all", [Scope.CHAT, Scope.MANAGE]).secret
    for key, status in ((api_key_of(alice), 403), (every, 403), ("sk-sb-nonsense", 401), ("", 401)):
        for path in ("/Users", "/Groups", "/ServiceProviderConfig", "/Schemas", f"/Users/{uuid4()}"):
            answer = Directory(scim_server.url, key)("GET", path)
            assert (answer.status, answer.body["schemas"]) == (status, [ERROR]), path
    assert Directory(scim_server.url, key_of(alice))("GET", "/Users").status == 200


def test_a_directorys_key_opens_nothing_else(scim_server: WebServer, alice: Principal) -> None:
    headers = {"Authorization": f"Bearer {key_of(alice)}"}
    for path in ("/api/v1/accounts/me/", "/api/v1/api-keys/", "/v1/models", "/settings/keys/"):
        assert Client().get(path, headers=headers).status_code in (401, 403), path


def test_other_ways_to_say_who_one_is_are_not_enough(
    alice: Principal, client_of: Callable[[Principal], Client]
) -> None:
    assert client_of(alice).get("/scim/v2/Users").status_code == 401
    assert client_of(alice).post("/scim/v2/Users", {}, content_type="application/json").status_code == 401
    assert Client().get("/scim/v2/Users", headers={"X-Api-Key": key_of(alice)}).status_code == 401


def test_only_administrators_make_a_directorys_key_and_it_is_for_nothing_else(alice: Principal, bob: Principal) -> None:
    with pytest.raises(Forbidden):
        services.create_api_key(bob, "x", [Scope.SCIM])
    with pytest.raises(InvalidApiKey):
        services.create_api_key(alice, "x", [Scope.SCIM, Scope.CHAT])


def test_a_key_ends_with_its_makers_right(scim_server: WebServer, alice: Principal) -> None:
    admin = new_member(alice, "Ada", "admin")
    directory = Directory(scim_server.url, key_of(admin))
    user = directory.user()
    Membership.objects.using("engine").filter(tenant_id=alice.tenant_id, user_id=admin.user_id).update(role="member")
    answer = directory("DELETE", f"/Users/{user['id']}")
    assert answer.status in (401, 403)
    assert membership_of(alice.tenant_id, user["id"]).suspended_at is None


def test_another_tenants_resources_are_not_there(directory: Directory, other_directory: Directory) -> None:
    user = directory.user()
    group = directory("POST", "/Groups", {"displayName": "Ours"}).body
    for path, body in (
        (f"/Users/{user['id']}", {"userName": "x@example.org"}),
        (f"/Groups/{group['id']}", {"displayName": "x"}),
    ):
        operations = {"Operations": [{"op": "replace", "value": body}]}
        for method, sent in (("GET", None), ("PUT", body), ("PATCH", operations), ("DELETE", None)):
            answer = other_directory(method, path, sent)
            assert (answer.status, answer.body["schemas"]) == (404, [ERROR]), (method, path)
    text = f'id eq "{user["id"]}" or userName pr'
    assert other_directory("GET", "/Users", filter=text).body["totalResults"] == 0
    theirs = other_directory("POST", "/Groups", {"displayName": "Ours", "members": [{"value": user["id"]}]})
    assert (theirs.status, theirs.body["scimType"]) == (400, "invalidValue")
    assert other_directory("POST", "/Groups", {"displayName": "Ours"}).status == 201
    assert directory("GET", f"/Users/{user['id']}").body == user


def test_of_two_creates_at_once_one_is_first(directory: Directory) -> None:
    for body, path in (({"userName": f"{uuid4()}@example.org"}, "/Users"), ({"displayName": "Race"}, "/Groups")):
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _n, b=body, p=path: directory("POST", p, b), range(4)))
        assert sorted(answer.status for answer in answers) == [201, 409, 409, 409]


def test_two_tenants_create_one_address_at_once(directory: Directory, other_directory: Directory) -> None:
    name = f"{uuid4()}@example.org"
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda one: one("POST", "/Users", {"userName": name}), (directory, other_directory)))
    assert [answer.status for answer in answers] == [201, 201]
    assert User.objects.filter(email=name).count() == 1


def test_deactivating_and_reactivating_at_once_ends_in_one_of_the_two(directory: Directory, alice: Principal) -> None:
    user = directory.user()
    path = f"/Users/{user['id']}"
    for _ in range(3):
        with ThreadPoolExecutor(4) as pool:
            wishes = [{"op": "replace", "path": "active", "value": wish} for wish in (False, True, False, True)]
            statuses = {answer.status for answer in pool.map(lambda wish: directory.patch(path, wish), wishes)}
        assert statuses <= {200, 409}
        open_now = membership_of(alice.tenant_id, user["id"]).suspended_at is None
        assert directory("GET", path).body["active"] is open_now


def test_the_last_owner_stays(directory: Directory, alice: Principal) -> None:
    user = directory.user(alice.user_email)
    path = f"/Users/{user['id']}"
    assert user["roles"] == [{"value": "owner"}]
    for answer in (
        directory.patch(path, {"op": "replace", "value": {"active": False}}),
        directory("DELETE", path),
        directory("PUT", path, {"userName": alice.user_email, "active": False}),
    ):
        assert (answer.status, answer.body["schemas"]) == (409, [ERROR])
        assert "owner" in answer.body["detail"]
    assert directory.patch(path, {"op": "replace", "path": "roles", "value": "viewer"}).body["roles"] == user["roles"]
    assert selectors.principal_for(alice.user_id, alice.tenant_id) is not None


def test_an_owner_is_ended_by_a_key_that_an_owner_made(
    scim_server: WebServer, directory: Directory, alice: Principal
) -> None:
    second = new_member(alice, "Olive", "owner")
    of_an_admin = Directory(scim_server.url, key_of(new_member(alice, "Ada", "admin")))
    path = f"/Users/{of_an_admin.user(second.user_email)['id']}"
    off = {"op": "replace", "value": {"active": False}}
    assert [of_an_admin.patch(path, off).status, of_an_admin("DELETE", path).status] == [403, 403]
    assert selectors.principal_for(second.user_id, alice.tenant_id) is not None
    assert directory.patch(path, off).body["active"] is False
    assert of_an_admin.patch(path, {"op": "replace", "value": {"active": True}}).status == 403
    assert selectors.principal_for(second.user_id, alice.tenant_id) is None


def test_a_member_who_was_there_before_is_taken_over_as_they_are(directory: Directory, bob: Principal) -> None:
    user = directory.user(bob.user_email, displayName="Robert")
    assert (user["active"], user["roles"]) == (True, [{"value": "member"}])
    assert selectors.principal_for(bob.user_id, bob.tenant_id) == bob
    assert User.objects.get(id=bob.user_id).name == "Bob"
    second = directory("POST", "/Users", {"userName": "other", "emails": [{"value": bob.user_email}]})
    assert (second.status, second.body["scimType"]) == (409, "uniqueness")
    assert directory("DELETE", f"/Users/{user['id']}").status == 204
    assert directory.user(bob.user_email, roles="admin")["roles"] == [{"value": "admin"}]
    back = selectors.principal_for(bob.user_id, bob.tenant_id)
    assert back is not None and back.role == "admin"


def test_an_account_from_elsewhere_is_neither_entered_nor_told_nor_changed(
    directory: Directory, alice: Principal
) -> None:
    person_id, email = new_person("Wanda")
    before = User.objects.get(id=person_id)
    there = directory.user(email, displayName="Somebody", emails=[{"value": email}])
    new = directory.user(f"{uuid4().hex}@example.org", displayName="Somebody")
    assert there.keys() - {"emails"} == new.keys()
    assert (there["active"], there["roles"]) == (new["active"], new["roles"])
    assert selectors.principal_for(person_id, alice.tenant_id) is None
    path = f"/Users/{there['id']}"
    directory.patch(path, {"op": "replace", "value": {"active": False}})
    back = directory.patch(
        path, {"op": "replace", "value": {"active": True, "displayName": "Else", "userName": "else"}}
    )
    assert (back.body["active"], back.body["displayName"], back.body["userName"]) == (True, "Else", "else")
    assert selectors.principal_for(person_id, alice.tenant_id) is None
    after = User.objects.get(id=person_id)
    assert (after.name, after.email, after.password) == (before.name, before.email, before.password)
    assert directory("DELETE", path).status == 204
    again = directory.user(email)
    assert again["id"] != there["id"]
    assert selectors.principal_for(person_id, alice.tenant_id) is None


@pytest.mark.parametrize(
    ("body", "scim_type"),
    [
        ({"schemas": [USER]}, "invalidValue"),
        ({"userName": ""}, "invalidValue"),
        ({"userName": None}, "invalidValue"),
        ({"userName": ["x"]}, "invalidValue"),
        ({"userName": "x" * 300}, "invalidValue"),
        ({"userName": "no-address"}, "invalidValue"),
        ({"userName": "a@example.org", "name": "text"}, "invalidValue"),
        ({"userName": "a@example.org", "active": "perhaps"}, "invalidValue"),
        ({"userName": "a@example.org", "emails": [1]}, "invalidValue"),
        ({"userName": "a@example.org", "emails": [{"value": "x"}] * 101}, "invalidValue"),
        ({"userName": "a@example.org", "title": "x" * 2000}, "invalidValue"),
        ({"userName": "a@example.org", "title": "\0"}, "invalidSyntax"),
        ([], "invalidSyntax"),
        (b"{", "invalidSyntax"),
        (b'{"userName": "\\ud800@example.org"}', "invalidSyntax"),
        (b'{"x":' * 5000, "invalidSyntax"),
    ],
)
def test_a_body_that_is_no_user_is_refused(directory: Directory, body: Any, scim_type: str) -> None:
    answer = directory("POST", "/Users", body)
    assert (answer.status, answer.body["schemas"], answer.body.get("scimType")) == (400, [ERROR], scim_type)


@pytest.mark.parametrize(
    ("operation", "scim_type"),
    [
        ({"op": "move", "path": "title", "value": "x"}, "invalidSyntax"),
        ({"op": "replace", "path": "title"}, "invalidSyntax"),
        ({"op": "remove"}, "noTarget"),
        ({"op": "replace", "value": "x"}, "invalidSyntax"),
        ({"op": "replace", "path": "shoeSize", "value": "44"}, "invalidPath"),
        ({"op": "replace", "path": 7, "value": "44"}, "invalidPath"),
        ({"op": "replace", "path": "emails[type eq", "value": "x"}, "invalidPath"),
        ({"op": "replace", "path": 'emails[shoe eq "x"].value', "value": "x"}, "invalidFilter"),
        ({"op": "replace", "path": 'emails[type co "x"].value', "value": "x"}, "noTarget"),
        ({"op": "replace", "path": "id", "value": str(uuid4())}, "mutability"),
        ({"op": "add", "path": "groups", "value": [{"value": "x"}]}, "mutability"),
        ({"op": "replace", "path": "meta.created", "value": "2026-01-01T00:00:00Z"}, "mutability"),
        ({"op": "remove", "path": "userName"}, "invalidValue"),
        ({"op": "replace", "path": "active", "value": 7}, "invalidValue"),
        ("text", "invalidSyntax"),
    ],
)
def test_a_change_that_cannot_be_made_changes_nothing(directory: Directory, operation: Any, scim_type: str) -> None:
    user = directory.user()
    answer = directory.patch(f"/Users/{user['id']}", {"op": "add", "path": "title", "value": "T"}, operation)
    assert (answer.status, answer.body.get("scimType")) == (400, scim_type)
    assert directory("GET", f"/Users/{user['id']}").body == user


def test_unknown_attributes_of_a_body_are_passed_over(directory: Directory) -> None:
    user = directory.user(shoeSize=44, id="mine", meta={"created": "x"}, **{"urn:example:Custom": {"x": 1}})
    assert "shoeSize" not in user and user["id"] != "mine"


@pytest.mark.parametrize(
    "text", ["(" * 4000, 'userName eq "\0"', "x" * 5000, 'shoeSize eq "44"', "%", 'userName eq "é']
)
def test_a_filter_that_cannot_be_read_is_refused(directory: Directory, text: str) -> None:
    for path in ("/Users", "/Groups"):
        answer = directory("GET", path, filter=text)
        assert (answer.status, answer.body["scimType"]) == (400, "invalidFilter")
        searched = directory("POST", f"{path}/.search", {"filter": text.replace("\0", "\\u0000")})
        assert searched.status == 400


def test_sizes_kinds_and_methods(directory: Directory, scim_server: WebServer) -> None:
    big = directory("POST", "/Users", {"userName": "a@example.org", "title": "x" * 1_100_000})
    assert (big.status, big.body["schemas"]) == (413, [ERROR])
    form = Directory(scim_server.url, directory.key, "application/x-www-form-urlencoded")
    assert form("POST", "/Users", b"userName=x").status == 415
    plain = Directory(scim_server.url, directory.key, "application/json; charset=utf-8")
    assert plain("POST", "/Users", {"userName": f"{uuid4()}@example.org"}).status == 201
    assert directory("DELETE", "/Users").status == 405
    assert directory("POST", "/Bulk", {"Operations": []}).status == 501
    assert directory("GET", "/Me").status == 501
    nothing = directory("GET", "/Nothing")
    assert (nothing.status, nothing.body["schemas"]) == (404, [ERROR])


def test_the_server_says_what_is_true_of_it(directory: Directory) -> None:
    config = directory("GET", "/ServiceProviderConfig").body
    assert {
        name for name in ("patch", "bulk", "filter", "sort", "etag", "changePassword") if config[name]["supported"]
    } == {
        "patch",
        "filter",
        "sort",
    }
    kinds = directory("GET", "/ResourceTypes").body["Resources"]
    assert [(kind["id"], kind["endpoint"]) for kind in kinds] == [("User", "/Users"), ("Group", "/Groups")]
    schemas = directory("GET", "/Schemas").body["Resources"]
    assert {schema["id"] for schema in schemas} >= {USER, GROUP}
    for schema in schemas:
        assert directory("GET", f"/Schemas/{schema['id']}").body == schema
    assert directory("GET", "/Schemas/nothing").status == 404
