"""Messages on a socket: another tenant's and a colleague's are refused, the owner's are done; and hints stay home."""

import json
from typing import Any
from uuid import uuid4

from tests.isolation.attack import Ground
from tests.isolation.belongings import made
from tests.isolation.product import Heard
from tests.isolation.world import MODEL, Side

# Type -> (what has to be made, the message, what the owner hears of it).
MESSAGES: dict[str, tuple[tuple[str, ...], dict[str, Any], str]] = {
    "message.send": (
        ("conversation_id",),
        {"message": "hello", "models": [MODEL], "conversation_id": "{conversation_id}"},
        "message.accepted",
    ),
    "generation.cancel": (("waiting_id",), {"generation_id": "{waiting_id}"}, "generation.cancelling"),
    "subscribe": (("stream_id",), {"stream": "{stream_id}", "after": None}, "message.snapshot"),
    # Ends what this very socket follows, which is nothing of anybody else's.
    "unsubscribe": (("stream_id",), {"stream": "{stream_id}"}, "pong"),
}


def attempt_message(kind: str) -> None:
    """Others hear a refusal and nothing of the owner's; then the owner hears what was asked for."""
    needs, fields, heard_by_owner = MESSAGES[kind]
    ids = made(Ground.victim, needs)
    filled = {name: ids.get(str(value).strip("{}"), value) for name, value in fields.items()}
    message = {"type": kind, "client_id": str(uuid4()), **filled}
    before = Ground.victim.rows()
    for side in (Ground.attacker, Ground.colleague):
        heard = _said(side, {**message, "client_id": str(uuid4())})
        told = json.dumps(heard)
        if kind != "unsubscribe":
            assert [one["status"] for one in heard if one["type"] == "error"] == [404], f"{kind} by {side.name}: {told}"
        assert Ground.victim.canary not in told, f"{kind} by {side.name}: {told}"
    named = {**message, "tenant_id": str(Ground.victim.principal.tenant_id)}
    if kind == "message.send":
        assert [one["status"] for one in _said(Ground.attacker, named) if one["type"] == "error"] == [409]
    assert Ground.victim.rows() == before, f"{kind}: others changed rows"
    heard = _said(Ground.victim, named)
    assert heard_by_owner in [one["type"] for one in heard], f"{kind}: its owner heard {heard}"
    assert kind != "subscribe" or Ground.victim.canary in json.dumps(heard)


def attempt_hint() -> None:
    """What happens in a person's chats is told to that person's devices, and to nobody else's."""
    chat = made(Ground.victim, ("conversation_id",))["conversation_id"]
    sides = (Ground.victim, Ground.attacker, Ground.colleague)
    renamed = Ground.victim.call("PATCH", f"/api/v1/conversations/{chat}/", json={"title": "told to oneself"})
    answer, (own, other, colleague) = Ground.product.overheard([_token(side) for side in sides], renamed)
    assert answer.status == 200, answer.told[-300:]
    assert [one["type"] for one in own] == ["conversation.changed"], f"the owner's other device heard {own}"
    assert other == [], f"another tenant heard {other}"
    assert colleague == [], f"a colleague heard {colleague}"


def _token(side: Side) -> str:
    return side.credentials["token"][0]["Authorization"].removeprefix("Bearer ")


def _said(side: Side, message: dict[str, Any]) -> Heard:
    """What comes after the welcome, by which the socket says whose it is."""
    heard = Ground.product.socket({}, [{"type": "auth", "token": _token(side)}, message])
    assert heard and heard[0]["type"] == "ready", heard
    assert heard[0]["tenant_id"] == str(side.principal.tenant_id)
    return heard[1:]
