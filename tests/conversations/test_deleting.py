"""Deleting a chat stops its answers, those too that were asked for while it was being deleted."""

import pytest

from apps.billing import services as billing
from apps.conversations import selectors, services
from apps.conversations.contracts import GenerationState, TurnAccepted
from apps.conversations.errors import NotFound
from apps.tenants.contracts import Principal
from tests.conversations.conftest import Ask


def test_a_question_that_came_in_between_is_stopped_too(
    alice: Principal, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ask(alice)
    services.cancel(alice, first.generations[0].generation_id)
    change = services._change
    between: list[TurnAccepted] = []

    def overtaken(principal: Principal, conversation_id: object, **fields: object) -> None:
        between.append(ask(alice, "And another?", conversation_id=conversation_id))
        change(principal, conversation_id, **fields)  # type: ignore[arg-type]

    monkeypatch.setattr(services, "_change", overtaken)
    services.delete(alice, first.conversation_id)
    (turn,) = between
    assert selectors.standing(alice, turn.generations[0].generation_id)[0] is GenerationState.CANCELLED


def test_a_lane_of_a_chat_that_is_deleted_meanwhile_is_not_asked_again(
    alice: Principal, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = ask(alice)
    generation_id = turn.generations[0].generation_id
    services.cancel(alice, generation_id)
    reserve = billing.admit

    def overtaken(*args: object, **more: object) -> object:
        services.delete(alice, turn.conversation_id)
        return reserve(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(billing, "admit", overtaken)
    with pytest.raises(NotFound):
        services.retry(alice, generation_id)
