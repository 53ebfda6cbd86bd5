"""The doors for programs, and the socket, against the table that docs/roles.md promises.

What happens is held up to the page, not to the code's own table: an entry that is wrong in the code fails here.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import orjson
import pytest
from django.test import Client

from apps.conversations.edge.websocket import ACTIONS, ChatConsumer
from apps.tenants import policy, selectors, services
from apps.tenants.contracts import Principal, Scope
from apps.tenants.edge import tokens
from apps.tenants.models import Membership
from apps.tenants.policy import POLICY, Action, Role
from tests.house import roles_page
from tests.house.test_policy_walk import METHODS, NOT_SET_UP, OURS
from tests.people import new_address, new_member, new_owner, session_of

ROLES = [role.value for role in Role]
PROMISED = roles_page.promised()
SCIM = "/scim/"


@dataclass(frozen=True, slots=True)
class Program:
    """Shows one credential in its headers."""

    headers: dict[str, str]
    client: Client = field(default_factory=lambda: Client(REMOTE_ADDR=new_address()))

    def ask(self, method: str, path: str, **headers: str) -> int:
        answer = self.client.generic(
            method, path, "{}", content_type="application/json", headers={**self.headers, **headers}
        )
        return answer.status_code


@dataclass(frozen=True, slots=True)
class House:
    """One tenant with somebody in each role, by the kinds of their credentials."""

    people: dict[str, Principal]
    tokens: dict[str, Program]
    keys: dict[str, Program]
    directories: dict[str, Program]
    unrestricted: Program  # an owner's key that no walk has ended


def _bearer(secret: str) -> Program:
    return Program({"Authorization": f"Bearer {secret}"})


def _member(owner: Principal, role: str) -> tuple[Principal, str, str]:
    """Somebody in that role with a key and a directory's key, made when they were an administrator still."""
    person = new_member(owner, role.title(), "admin")
    key, directory = (services.create_api_key(person, "walk", scopes).secret for scopes in ((), (Scope.SCIM,)))
    Membership.objects.using("engine").filter(user_id=person.user_id).update(role=role)
    found = selectors.principal_for(person.user_id, person.tenant_id)
    assert found is not None
    assert found.role == role
    return found, key, directory


@pytest.fixture(scope="module")
def house(database: None) -> House:
    """Each kind of credential has people of its own: the walk passes doors that end the credentials of a person."""
    owner = new_owner("Olive", "Policy doors")
    people = {role: _member(owner, role)[0] for role in ROLES}
    return House(
        people,
        tokens={role: _bearer(tokens.issue(person).access) for role, person in people.items()},
        keys={role: _bearer(_member(owner, role)[1]) for role in ROLES},
        directories={role: _bearer(_member(owner, role)[2]) for role in ROLES},
        unrestricted=_bearer(_member(owner, "owner")[1]),
    )


def declared() -> Iterator[tuple[str, str, Action]]:
    """(method, path, action) of every door of ours that is not public; what ends the caller's own keys comes last."""
    for path, view in sorted(OURS, key=lambda door: "revoke-all" in door[0]):
        for method, action in (policy.declared(view) or {}).items():
            yield method, path, action


def mismatches(program: Program, role: str, within: str = "/") -> list[tuple[str, str, int]]:
    """Where a program is refused and should not be, or the other way round, among paths that begin so.

    Pages for people are closed to programs whatever the role, so there only what is open too far counts.
    """
    wrong = []
    for method, path, action in declared():
        if path.startswith(SCIM) or not path.startswith(within):
            continue
        status = program.ask(method, path)
        for_programs = path.startswith(("/api/", "/v1/"))
        allowed = PROMISED[role, action.value]
        right = (status != 403) == allowed if for_programs else allowed or status == 403
        if not right or status == 401 or status >= 500:
            wrong.append((method, path, status))
    return wrong


def test_the_page_is_what_the_code_says() -> None:
    """`python -m tests.house.roles_page` writes it anew."""
    assert roles_page.PAGE.read_text() == roles_page.page()


def test_the_page_promises_something_of_every_role_and_action() -> None:
    assert set(PROMISED) == {(role, action.value) for role in ROLES for action in Action}
    assert set(roles_page.WORDS) == set(Action)


@pytest.mark.parametrize("role", ROLES)
def test_a_token_may_what_its_persons_role_may(house: House, role: str) -> None:
    assert mismatches(house.tokens[role], role) == []


@pytest.mark.parametrize("role", ROLES)
def test_a_key_may_what_its_persons_role_may(house: House, role: str) -> None:
    assert mismatches(house.keys[role], role) == []


@pytest.mark.parametrize("role", ROLES)
def test_only_a_directorys_key_opens_the_directorys_doors(house: House, role: str) -> None:
    doors = [(method, path) for method, path, _ in declared() if path.startswith(SCIM)]
    assert doors
    allowed = PROMISED[role, Action.PROVISION.value]
    for method, path in doors:
        assert house.tokens[role].ask(method, path) == 403
        assert house.unrestricted.ask(method, path) == 403
        assert (house.directories[role].ask(method, path) != 403) == allowed, (method, path)


@pytest.mark.parametrize("role", ROLES)
def test_a_directorys_key_opens_nothing_else(house: House, role: str) -> None:
    answers = {
        (method, path): house.directories[role].ask(method, path)
        for method, path, _ in declared()
        if not path.startswith(SCIM) and path not in NOT_SET_UP
    }
    # Pages of chats know nobody behind a refused credential, and send them to sign in.
    refusals = {door: {302} if door[1].startswith("/chat/") else {403} for door in answers}
    assert {door: status for door, status in answers.items() if status not in refusals[door]} == {}


@pytest.mark.parametrize("role", ROLES)
async def test_a_sockets_message_may_what_its_persons_role_may(house: House, role: str) -> None:
    for kind, action in ACTIONS.items():
        consumer, sent = ChatConsumer(), []

        async def send(text_data: str, into: list[Any] = sent) -> None:
            into.append(json.loads(text_data))

        consumer.principal = house.people[role]
        consumer.send = send
        await consumer.receive(orjson.dumps({"type": kind}).decode())
        (answer,) = sent  # without its fields no message gets further than to be found wanting
        assert answer["type"] == "error"
        assert (answer["status"] != 403) == PROMISED[role, action.value], (kind, answer)
        assert answer["status"] < 500


def test_a_method_without_an_action_is_no_door(house: House) -> None:
    """Not for the owner either: what nobody named, nothing answers."""
    browser = session_of(house.people["owner"])
    answered = []
    for path, view in OURS:
        actions = policy.declared(view)
        for method in METHODS if actions else ():
            if actions and method not in actions:
                status = browser.generic(method, path, "{}", content_type="application/json").status_code
                if status not in (401, 404, 405, 501):
                    answered.append((method, path, status))
    assert answered == []


def test_what_speaks_for_another_tenant_is_told_so(house: House) -> None:
    """A stranger's own credential, at doors opened for this tenant."""
    stranger = new_owner("Mallory", "Next door")
    here = str(house.people["owner"].tenant_id)
    program = _bearer(tokens.issue(stranger).access)
    for method, path, _ in declared():
        if path.startswith(("/api/", "/v1/")):
            assert program.ask(method, path, **{"X-Switchboard-Tenant": here}) == 409, (method, path)


def test_a_wrong_entry_in_the_table_is_noticed(house: House) -> None:
    """Of each kind one: a right too many, and one too few."""
    too_many = {**POLICY, Action.AUDIT_READ: POLICY[Action.AUDIT_READ] | {Role.MEMBER}}
    with patch.object(policy, "POLICY", too_many):
        assert ("GET", "/api/v1/audit/", 200) in mismatches(house.tokens["member"], "member", "/api/v1/audit/")
    too_few = {**POLICY, Action.MODELS_READ: POLICY[Action.MODELS_READ] - {Role.VIEWER}}
    with patch.object(policy, "POLICY", too_few):
        assert ("GET", "/v1/models", 403) in mismatches(house.tokens["viewer"], "viewer", "/v1/models")
