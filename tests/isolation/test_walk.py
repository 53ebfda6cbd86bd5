"""Every route that the resolver knows, with what belongs to another tenant in its path, body, query and headers.

A route or method that nobody has said how its owner uses fails here, so that a later door is attacked, too.
"""

from collections.abc import Iterator

import pytest
from django.urls import get_resolver

from apps.conversations.edge.websocket import ACTIONS
from chatproject.websocket_urls import urlpatterns
from tests.isolation import surface
from tests.isolation.attack import Ground
from tests.isolation.belongings import MAKERS
from tests.isolation.controls import CONTROLS, WITHOUT_CONTROL, Control
from tests.isolation.walk import attempt
from tests.isolation.wires import MESSAGES, attempt_hint, attempt_message


def doors() -> Iterator[tuple[str, str]]:
    """(method, path) of every door with an owner; administrations have tests of their own."""
    for route in surface.routes():
        if not route.administration:
            for method in route.methods:
                if method != "*" or route.names:
                    yield method, route.template


def test_every_door_has_a_control_or_a_reason() -> None:
    controlled = {(control.method, control.template) for control in CONTROLS}
    by_path = {template for _, template in controlled} | {path for method, path in WITHOUT_CONTROL if method == "*"}
    known = controlled | set(WITHOUT_CONTROL)
    missing = [
        (method, template)
        for method, template in doors()
        if (method, template) not in known and not (method == "*" and template in by_path)
        if ("*", template) not in WITHOUT_CONTROL
    ]
    assert missing == [], "say in tests/isolation/controls.py how the owner uses these, or why nobody owns them"


def test_controls_are_of_doors_that_are_there() -> None:
    templates = {route.template for route in surface.routes()}
    assert {control.template for control in CONTROLS} <= templates
    assert {template for _, template in WITHOUT_CONTROL} <= templates
    assert {name for control in CONTROLS for name in control.needs()} <= set(MAKERS)


def test_a_door_that_nobody_controls_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A route that somebody adds tomorrow."""
    from django.urls import path

    from apps.tenants.policy import Action, opens

    def tomorrow(request: object, thing_id: str) -> None: ...

    tomorrow.__module__ = "apps.tomorrow"
    added = path("tomorrow/<uuid:thing_id>/", opens(GET=Action.CHAT_READ)(tomorrow))
    resolver = get_resolver()
    monkeypatch.setattr(resolver, "url_patterns", [*resolver.url_patterns, added])
    with pytest.raises(AssertionError, match="tomorrow"):
        test_every_door_has_a_control_or_a_reason()


@pytest.mark.parametrize("control", CONTROLS, ids=str)
def test_what_is_somebodys_is_nobody_elses(ground: type[Ground], control: Control) -> None:
    attempt(control)


def test_doors_for_everybody_say_the_same_to_both(ground: type[Ground]) -> None:
    """Public doors and the frame's own: as far as they answer one, they answer the other, and tell of neither."""
    for route in surface.routes():
        if route.administration or route.names or route.methods != ("*",):
            continue
        calls = [side.call("GET", route.template, "session") for side in (ground.victim, ground.attacker)]
        own, other = ground.product.call(*calls)
        assert own.status == other.status, route.template
        assert ground.victim.canary.encode() not in other.told, route.template
        assert ground.attacker.canary.encode() not in own.told, route.template


def test_every_socket_and_message_is_known() -> None:
    assert [str(one.pattern) for one in urlpatterns] == ["ws/chat/"]
    assert set(MESSAGES) == set(ACTIONS)


@pytest.mark.parametrize("kind", sorted(MESSAGES))
def test_a_message_reaches_its_senders_own_alone(ground: type[Ground], kind: str) -> None:
    attempt_message(kind)


def test_hints_reach_their_persons_devices_alone(ground: type[Ground]) -> None:
    attempt_hint()
