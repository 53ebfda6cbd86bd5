"""Every door against the one table: each route and method, each message of a socket, as each role.

Routes are found by walking the resolver, so that a door that somebody adds later is walked too, and one that does not
say whom it is for fails here.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from apps.conversations.edge import websocket
from apps.tenants import policy
from apps.tenants.contracts import Principal
from apps.tenants.edge.middleware import ADMINISTRATION, _refused_view
from apps.tenants.policy import POLICY, Action, Role
from tests.people import new_member, new_owner, session_of

# The frame's own views, and what guards them.
GUARD_THEMSELVES = {
    "django.views.generic.base": "a redirect to another door",
    "drf_spectacular.views": "the published description of the doors",
    "allauth": "signs people in; what belongs to a person asks for their session",
}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_NOBODYS = "01890000-0000-7000-8000-00000000000a"
_CONVERTERS = {"uuid": _NOBODYS, "slug": "none", "path": "none", "int": "1", "str": "none"}


def routes(patterns: Any = None, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(path, view) of every route, parameters filled with ids that nobody has; administrations guard themselves."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        if isinstance(pattern, URLResolver):
            if pattern.app_name != ADMINISTRATION:
                yield from routes(pattern.url_patterns, prefix + str(pattern.pattern))
        elif isinstance(pattern, URLPattern):
            filled = re.sub(
                r"<(?:(\w+):)?\w+>", lambda found: _CONVERTERS[found[1] or "str"], prefix + str(pattern.pattern)
            )
            yield f"/{filled}", pattern.callback


OURS = [(path, view) for path, view in routes() if view.__module__.startswith("apps.")]
# The authorisation server is not there until it has signing keys.
NOT_SET_UP = {"/identity/o/authorize"}


def test_every_view_is_ours_or_one_that_guards_itself() -> None:
    unknown = {
        view.__module__
        for path, view in routes()
        if not view.__module__.startswith("apps.") and not view.__module__.startswith(tuple(GUARD_THEMSELVES))
    }
    assert unknown == set()
    assert len(OURS) > 25


def test_every_view_of_ours_says_whom_it_is_for() -> None:
    assert [path for path, view in OURS if policy.declared(view) is None] == []


def test_every_method_that_a_class_answers_has_an_action() -> None:
    """A handler without an action would be open to every role."""
    open_to_all = []
    for path, view in OURS:
        actions, place = policy.declared(view), getattr(view, "cls", None)
        if actions and place is not None:
            open_to_all += [
                (path, method) for method in METHODS if hasattr(place, method.lower()) and method not in actions
            ]
    assert open_to_all == []


def test_the_table_gives_every_action_to_somebody_and_to_the_owner() -> None:
    assert set(POLICY) == set(Action)
    assert all(Role.OWNER in roles for roles in POLICY.values())


@pytest.fixture(scope="module")
def clients(database: None) -> dict[str, Client]:
    """A browser's session per role, all in one tenant, and one of nobody."""
    owner = new_owner("Olive", "Policy walk")
    people = {role.value: new_member(owner, role.value.title(), role.value) for role in Role}
    return {role: session_of(person) for role, person in people.items()} | {"nobody": Client()}


def ask(client: Client, method: str, path: str) -> int:
    return client.generic(method, path, "{}", content_type="application/json").status_code


@pytest.mark.parametrize("role", [*(role.value for role in Role)])
def test_a_role_is_refused_exactly_where_the_table_says(clients: dict[str, Client], role: str) -> None:
    wrong = []
    for path, view in OURS:
        for method, action in (policy.declared(view) or {}).items():
            status = ask(clients[role], method, path)
            if (status == 403) == policy.allows(role, action) or status >= 500:
                wrong.append((method, path, action.value, status))
    assert wrong == []


def test_strangers_get_nowhere_but_to_public_doors(clients: dict[str, Client]) -> None:
    wrong = []
    for path, view in OURS:
        for method in policy.declared(view) or {}:
            status = ask(clients["nobody"], method, path)
            if status not in (401, 302) and not (status == 404 and path in NOT_SET_UP):
                wrong.append((method, path, status))
    assert wrong == []


def test_every_message_of_a_socket_is_an_action() -> None:
    """Those that need none: `auth` comes before anybody is known, `ping` asks for nothing."""
    handled = set(re.findall(r'case "([a-z.]+)":', Path(websocket.__file__).read_text()))
    assert handled == set(websocket.ACTIONS)


def test_a_view_that_says_nothing_is_closed(rf: Any, alice: Principal) -> None:
    def silent(request: Any) -> None: ...

    silent.__module__ = "apps.somewhere"
    request = rf.get("/api/v1/somewhere/")
    request.resolver_match = type("Match", (), {"app_names": []})()
    request.principal = alice
    refused = _refused_view(request, silent)
    assert refused is not None
    assert refused.status_code == 403
