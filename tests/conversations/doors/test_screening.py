"""What a workspace blocks leaves by no door: refused before it is kept, cut before it is shown, noted in the route."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from apps.billing.models import LedgerEntry
from apps.conversations.models import Message
from apps.routing import safety_settings, safety_verdicts
from apps.routing import services as routing
from apps.routing.contracts import ModelKind, NewPrice
from apps.routing.models import LanguageModel
from apps.tenants.contracts import Principal
from apps.tenants.scope import tenant_scope
from tests.conversations.doors.caller import Caller
from tests.processes import Simulator

pytestmark = pytest.mark.usefixtures("web", "worker")

ADDRESS = "bob.smith@acme.org"
# The simulator says again what it is asked about.
QUESTION = f"Write a mail to {ADDRESS} about the tide."


def limit(action: str) -> dict[str, Any]:
    return {"pii": {"action": action, "threshold": 50}}


def asked(caller: Caller, message: str = QUESTION) -> dict[str, Any]:
    response = caller.http.post("/v1/chat/messages", json={"message": message, "models": ["swift"]})
    assert response.status_code == 200, response.text
    (answer,) = response.json()["answers"]
    return dict(answer)


def questions(principal: Principal) -> list[str]:
    with tenant_scope(principal.tenant_id):
        rows = Message.objects.filter(tenant_id=principal.tenant_id, role=Message.Role.USER)
        return list(rows.values_list("text", flat=True))


def test_a_blocked_question_is_neither_kept_nor_asked(caller: Caller, alice: Principal) -> None:
    safety_settings.change(alice, {"prompt_limits": limit("block")})
    refused = caller.http.post("/v1/chat/messages", json={"message": QUESTION, "models": ["swift"]})
    assert (refused.status_code, refused.json()["code"], refused.json()["retryable"]) == (400, "prompt_blocked", False)
    assert ADDRESS not in refused.text and "e-mail address" in refused.json()["detail"]
    assert questions(alice) == []
    (verdict,) = safety_verdicts.latest(alice)
    assert (verdict["rule"], verdict["action"], verdict["generation_id"]) == ("pii.email", "block", None)
    assert verdict["user_id"] == alice.user_id


def test_a_redacted_question_reaches_models_and_store_with_placeholders(caller: Caller, alice: Principal) -> None:
    safety_settings.change(alice, {"prompt_limits": limit("redact"), "redact_stored": True})
    answer = asked(caller)
    assert "e-mail 1" in answer["text"] and ADDRESS not in answer["text"]
    assert questions(alice) == [QUESTION.replace(ADDRESS, "[e-mail 1]")]


def test_an_answer_is_cut_before_the_passage_and_says_why(
    caller: Caller, alice: Principal, client_of: Callable[[Principal], Client]
) -> None:
    safety_settings.change(alice, {"answer_limits": limit("block"), "prompt_limits": limit("flag")})
    answer = asked(caller)
    assert (answer["state"], answer["finish_reason"]) == ("partial", "content_filter")
    assert answer["text"] and "bob" not in answer["text"]
    told = [(one["direction"], one["rule"], one["action"]) for one in answer["route"]["safety"]]
    assert told == [("prompt", "pii.email", "flag"), ("answer", "pii.email", "block")]
    assert {one["direction"] for one in safety_verdicts.latest(alice)} == {"prompt", "answer"}
    with tenant_scope(alice.tenant_id):
        lines = LedgerEntry.objects.filter(call_id=answer["generation_id"])
        assert [line.kind for line in lines] == ["charge"]
        kept = Message.objects.get(tenant_id=alice.tenant_id, role=Message.Role.ASSISTANT)
        assert kept.text == answer["text"] and ADDRESS not in str(kept.content)
        conversation_id = kept.conversation_id
    page = client_of(alice).get(f"/chat/{conversation_id}/").content.decode()
    assert "safety rules hold back the rest of this answer" in page
    assert "It is an e-mail address. Blocked" in page


def test_moderation_is_asked_noted_and_paid_for(
    caller: Caller, alice: Principal, provider_simulator: Simulator
) -> None:
    provider_id = routing.add_provider(
        name="Own", base_url=f"{provider_simulator.url}/v1", key="any", simulated=True, tenant_id=alice.tenant_id
    )
    made = routing.register_model(
        provider_id=provider_id, upstream_model="demo-moderate", price=NewPrice(10**8, 10**8), slug="own-moderate"
    )
    LanguageModel.objects.using("engine").filter(id=made.model_id).update(kind=ModelKind.MODERATION)
    routing.invalidate(alice.tenant_id)
    safety_settings.change(alice, {"moderation_model": "own-moderate", "moderation_prompt": "block"})
    answer = asked(caller, "How do tides work?")
    assert answer["state"] == "completed" and answer["route"]["safety"] == []
    assert {one["model"] for one in answer["route"]["side_calls"]} == {"demo-moderate"}
    blocked = asked(caller, "Tides, moderate:violence=0.81 please")
    assert (blocked["state"], blocked["error"]["code"]) == ("failed", "prompt_blocked")
    assert [(one["rule"], one["score"]) for one in blocked["route"]["safety"]] == [("moderation.violence", 81)]
    with tenant_scope(alice.tenant_id):
        for one, kinds in ((answer, {"charge"}), (blocked, {"charge", "absorbed"})):
            lines = LedgerEntry.objects.filter(call_id=one["generation_id"])
            assert {line.kind for line in lines if line.model == "own-moderate"} == {"charge"}
            assert {line.kind for line in lines} <= kinds
