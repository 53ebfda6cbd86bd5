"""One connection, and a statement that fails on it: whoever is next sees their own.

Each statement of each request in turn is the one that fails, so that no place where a transaction may end is left out.
"""

from typing import Any

import pytest

from tests.isolation.attack import Ground
from tests.isolation.product import Call
from tests.isolation.world import MODEL, Side

_MOST = 60  # statements of one request


def requests_of(side: Side) -> dict[str, Call]:
    """A read by key, one by session, a write over REST, one by a form, and a question."""
    assert side.finished is not None
    chat = side.finished.conversation_id
    question = {"message": f"{side.canary} again", "models": [MODEL]}
    return {
        "read": side.call("GET", f"/api/v1/conversations/{chat}/messages/"),
        "page": side.call("GET", f"/chat/{chat}/", "session"),
        "export": side.call("GET", "/api/v1/audit/export/"),
        "write": side.call("PATCH", f"/api/v1/conversations/{chat}/", json={"title": f"{side.canary} title"}),
        "form": side.call("POST", f"/chat/{chat}/rename", "session", form={"title": f"{side.canary} title"}),
        "ask": side.call("POST", "/v1/chat/messages", json=question),
    }


def check_next(ground: type[Ground], told: str) -> None:
    """The attacker is next on the connection, and then the victim again."""
    for side, other in ((ground.attacker, ground.victim), (ground.victim, ground.attacker)):
        (answer,) = ground.product.call(requests_of(side)["read"])
        assert answer.status == 200, f"after {told}: {side.name} got {answer.status} {answer.told[-200:]!r}"
        assert side.canary.encode() in answer.told, f"after {told}: {side.name} misses its own"
        assert other.canary.encode() not in answer.told, f"after {told}: {side.name} got what is {other.name}'s"
    assert ground.product.scope_left_behind() == "", f"after {told}: a scope was left behind"


@pytest.mark.parametrize("kind", ["read", "ask"])
def test_whichever_statement_fails_the_next_sees_their_own(ground: type[Ground], kind: str) -> None:
    """The other kinds of request: tests/verify."""
    fail_each(ground, kind)


def fail_each(ground: type[Ground], kind: str) -> None:
    """One after the other, each statement of such a request fails."""
    faults, failed = ground.product.faults, 0
    for number in range(1, _MOST):
        seen = faults.failed
        faults.fail_at = number
        (answer,) = ground.product.call(requests_of(ground.victim)[kind])
        faults.fail_at = 0
        told = f"statement {number} of {kind} failed ({answer.status})"
        assert ground.attacker.canary.encode() not in answer.told, told
        if faults.failed == seen:  # there are not so many
            assert answer.status in (200, 202), told
            break
        failed += 1
        check_next(ground, told)
    else:
        raise AssertionError(f"{kind}: more than {_MOST} statements")
    assert failed >= 3, f"{kind}: only {failed} statements of the role that serves"


def test_requests_of_both_at_once_amid_failures(ground: type[Ground]) -> None:
    """Twelve requests wait for the one connection while statements fail under whoever has it."""
    faults, rounds = ground.product.faults, 2
    for number in range(rounds):
        faults.fail_at = 3 + 8 * number
        sides = [ground.victim, ground.attacker] * 6
        answers: list[Any] = ground.product.call(*(requests_of(side)["read"] for side in sides))
        faults.fail_at = 0
        for side, answer in zip(sides, answers, strict=True):
            other = ground.attacker if side is ground.victim else ground.victim
            assert other.canary.encode() not in answer.told
            assert answer.status != 200 or side.canary.encode() in answer.told
        assert sum(answer.status == 200 for answer in answers) >= len(sides) - 1
        check_next(ground, f"round {number}")
