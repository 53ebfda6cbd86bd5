"""What a model is shown: put together from rows, sent, and put together again, byte by byte the same."""

from collections.abc import Callable, Iterator
from uuid import UUID

import orjson
import pytest
from django.db import DatabaseError, connections

from apps.billing import services as billing
from apps.billing.models import LedgerEntry
from apps.conversations import requests, selectors, services
from apps.conversations.contracts import Sent, TurnAccepted
from apps.conversations.errors import IdempotencyMismatch, InvalidMessage, NotFound, StillAnswering
from apps.conversations.generation.claim import claim
from apps.conversations.generation.prompt import load
from apps.conversations.generation.runtime import WorkerRuntime
from apps.conversations.models import Conversation, Generation, Message, PromptRecord, SystemText, Turn
from apps.routing import safety_settings, safety_verdicts
from apps.routing import selectors as routing_selectors
from apps.routing import services as routing
from apps.routing.contracts import NewPrice
from apps.routing.errors import ContextExceeded
from apps.tenants import instructions, teams
from apps.tenants.contracts import Principal
from apps.tenants.errors import InvalidInstructions
from apps.tenants.models import AuditEntry
from apps.tenants.scope import tenant_scope
from tests.conversations.answering import answer_next, finish_as
from tests.conversations.capture import Capture, keeping
from tests.conversations.conftest import PRICE, Ask
from tests.processes import Simulator

# A window of 4,000 tokens: what does not fit 8,232 bytes is left out.
SMALL_WINDOW = 4_000
LONG = "word " * 500


@pytest.fixture(scope="module")
def capture(catalogue: dict[str, str]) -> Iterator[Capture]:
    with keeping(("kept", 128_000, PRICE), ("kept-small", SMALL_WINDOW, PRICE)) as provider:
        yield provider


@pytest.fixture
def answer(runtime: WorkerRuntime) -> Callable[[Principal, TurnAccepted], None]:
    """Answers the one lane of a turn in this process."""

    def answer_turn(principal: Principal, turn: TurnAccepted) -> None:
        (lane,) = turn.generations
        answer_next(runtime, principal, lane.generation_id)

    return answer_turn


Answer = Callable[[Principal, TurnAccepted], None]


def shown(turn: TurnAccepted, principal: Principal) -> list[tuple[str, str]]:
    prompt = selectors.prompt(principal, turn.generations[0].generation_id)
    return [(one["role"], one["content"]) for one in prompt.messages]


def test_what_was_sent_can_be_put_together_again_byte_by_byte(
    alice: Principal, ask: Ask, capture: Capture, answer: Answer
) -> None:
    instructions.set_workspace(alice, "Be brief.\nUse metric units.")
    instructions.set_own(alice, "I am a sailor: “port” is left. ⚓")
    capture.says = 'Grüße, "世界"!\n\tA \\ and a 🚲.'
    first = ask(alice, 'What is a "lease"?\r\n\x7f 🚲 </s>', "kept")
    answer(alice, first)
    services.instruct(alice, first.conversation_id, "Speak of ships only.")
    second = ask(alice, "And a fence?", "kept", conversation_id=first.conversation_id)
    answer(alice, second)
    for turn, sent in ((first, capture.bodies[-2]), (second, capture.bodies[-1])):
        row = selectors.prompt(alice, turn.generations[0].generation_id)
        assert row.is_as_sent is True
        assert orjson.dumps(row.messages) in sent
    row = selectors.prompt(alice, second.generations[0].generation_id)
    assert orjson.dumps(row.messages) == capture.newest_messages()
    system = "Be brief.\nUse metric units.\n\nI am a sailor: “port” is left. ⚓\n\nSpeak of ships only."
    assert shown(second, alice) == [
        ("system", system),
        ("user", 'What is a "lease"?\r\n\x7f 🚲 </s>'),
        ("assistant", capture.says),
        ("user", "And a fence?"),
    ]
    # What models are told changes; what they were told does not.
    instructions.set_workspace(alice, "")
    services.instruct(alice, first.conversation_id, "")
    assert shown(second, alice)[0] == ("system", system)
    assert selectors.answer(alice, second.generations[0].generation_id).route["prompt"] == {
        "sha256": row.sha256, "turns": 1, "turns_left_out": 0, "turns_summarised": 0,
    }  # fmt: skip


def test_a_retry_in_between_changes_nothing_of_what_was_shown(alice: Principal, ask: Ask, capture: Capture) -> None:
    first = ask(alice, "One?", "kept")
    finish_as(alice, first, "first version")
    second = ask(alice, "Two?", "kept", conversation_id=first.conversation_id)
    before = selectors.prompt(alice, second.generations[0].generation_id)
    finish_as(alice, second, "two")
    again = services.retry(alice, first.generations[0].generation_id)
    with tenant_scope(alice.tenant_id):
        Generation.objects.filter(id=again.generation_id).update(state="completed", finished_at="2026-01-01T00:00Z")
        Message.objects.filter(id=again.message_id).update(status="completed", text="second version")
    assert selectors.prompt(alice, second.generations[0].generation_id) == before
    retried = selectors.prompt(alice, again.generation_id)
    assert [one["content"] for one in retried.messages] == ["One?"]
    third = ask(alice, "Three?", "kept", conversation_id=first.conversation_id)
    assert ("assistant", "second version") in shown(third, alice)


def test_what_safety_rules_replaced_is_not_told_as_sent(
    alice: Principal, ask: Ask, capture: Capture, answer: Answer
) -> None:
    safety_settings.change(alice, {"prompt_limits": {"pii": {"action": "redact", "threshold": 50}}})
    first = ask(alice, "Write to ana@acme.example, please.", "kept")
    answer(alice, first)
    assert b"Write to [e-mail 1], please." in capture.bodies[-1]
    row = selectors.prompt(alice, first.generations[0].generation_id)
    assert (row.sent, row.is_as_sent) == (Sent.REPLACED, False)
    # Where the chat itself keeps what stands in its place, that was sent, and the finding is kept all the same.
    safety_settings.change(alice, {"redact_stored": True})
    second = ask(alice, "Write to bea@acme.example, too.", "kept")
    answer(alice, second)
    assert shown(second, alice) == [("user", "Write to [e-mail 1], too.")]
    assert selectors.prompt(alice, second.generations[0].generation_id).sent is Sent.AS_SHOWN
    assert [(one["rule"], one["texts"]) for one in safety_verdicts.counted(alice)] == [("pii.email", 2)]


def test_a_chat_longer_than_the_window_is_cut_and_says_so(
    alice: Principal, ask: Ask, capture: Capture, answer: Answer
) -> None:
    turn = ask(alice, "Begin?", "kept-small")
    finish_as(alice, turn, LONG)
    for number in range(6):
        turn = ask(alice, f"{number}: {LONG}", "kept-small", conversation_id=turn.conversation_id)
        finish_as(alice, turn, LONG) if number < 5 else answer(alice, turn)
    row = selectors.prompt(alice, turn.generations[0].generation_id)
    assert (row.turns, row.left_out, row.summarised) == (1, 5, 0)
    assert len(orjson.dumps(row.messages)) <= (SMALL_WINDOW - 1_000 - 256) * 3
    assert row.is_as_sent is True
    assert selectors.answer(alice, turn.generations[0].generation_id).route["prompt"]["turns_left_out"] == 5
    # The same chat goes on whole where the window is larger.
    wide = ask(alice, "Wide?", "kept", conversation_id=turn.conversation_id)
    assert selectors.prompt(alice, wide.generations[0].generation_id).left_out == 0


def test_a_chat_longer_than_a_quota_allows_is_cut_like_one_longer_than_the_window(
    alice: Principal, ask: Ask, capture: Capture
) -> None:
    billing.set_quota(tenant_id=alice.tenant_id, user_id=alice.user_id, max_input_tokens=1_000)
    routing.invalidate(alice.tenant_id)
    turn = ask(alice, "Begin?", "kept")
    finish_as(alice, turn, LONG)
    for number in range(3):
        turn = ask(alice, f"{number}: {LONG}", "kept", conversation_id=turn.conversation_id)
        finish_as(alice, turn, LONG)
    row = selectors.prompt(alice, turn.generations[0].generation_id)
    assert row.left_out > 0
    assert len(orjson.dumps(row.messages)) <= 4_000
    with pytest.raises(ContextExceeded, match="for you is 1,000 tokens"):
        ask(alice, 2 * LONG, "kept")


def test_a_question_too_long_by_itself_is_refused(alice: Principal, ask: Ask, capture: Capture) -> None:
    with pytest.raises(ContextExceeded):
        ask(alice, "word " * 5_000, "kept-small")
    first = ask(alice, "Short", "kept-small")
    finish_as(alice, first, "Yes.")
    with pytest.raises(ContextExceeded):
        ask(alice, "word " * 5_000, "kept-small", conversation_id=first.conversation_id)


def test_a_question_that_came_in_between_is_not_overlooked(
    alice: Principal, ask: Ask, capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ask(alice, "One?", "kept")
    finish_as(alice, first, "one")
    plans = services._lanes

    def slowly(*given: object) -> object:
        lanes = plans(*given)  # type: ignore[arg-type]
        monkeypatch.setattr(services, "_lanes", plans)
        finish_as(alice, ask(alice, "Two?", "kept", conversation_id=first.conversation_id), "two")
        return lanes

    monkeypatch.setattr(services, "_lanes", slowly)
    with pytest.raises(StillAnswering):
        ask(alice, "Three?", "kept", conversation_id=first.conversation_id)
    with tenant_scope(alice.tenant_id):
        assert Turn.objects.filter(conversation_id=first.conversation_id).count() == 2


def test_each_system_prompt_is_kept_once_and_never_changed(alice: Principal, bob: Principal, ask: Ask) -> None:
    instructions.set_workspace(alice, "Be brief.")
    for principal in (alice, alice, bob):
        ask(principal, "Hello?", "quick", "slow")
    with tenant_scope(alice.tenant_id):
        assert SystemText.objects.count() == 2
        assert PromptRecord.objects.count() == 6
    for statement in ("UPDATE conversations_systemtext SET text = ''", "DELETE FROM conversations_promptrecord"):
        with pytest.raises(DatabaseError, match="permission denied"), tenant_scope(alice.tenant_id):
            connections["default"].cursor().execute(statement)


def test_only_who_may_read_the_chat_sees_its_prompts(
    alice: Principal, bob: Principal, mallory: Principal, ask: Ask
) -> None:
    turn = ask(alice, "Secret?")
    (lane,) = turn.generations
    assert selectors.prompt(alice, lane.generation_id).is_as_sent is None, "nothing was sent yet"
    for stranger in (bob, mallory):
        with pytest.raises(NotFound):
            selectors.prompt(stranger, lane.generation_id)
    services.delete(alice, turn.conversation_id)
    with pytest.raises(NotFound):
        selectors.prompt(alice, lane.generation_id)


def test_what_was_accepted_before_prompts_were_recorded_is_answered_all_the_same(
    alice: Principal, ask: Ask, new_worker: Callable[..., UUID]
) -> None:
    first = ask(alice, "One?")
    finish_as(alice, first, "one")
    second = ask(alice, "Two?", conversation_id=first.conversation_id)
    (lane,) = second.generations
    with connections["owner"].cursor() as cursor:
        cursor.execute("ALTER TABLE conversations_promptrecord NO FORCE ROW LEVEL SECURITY")
        cursor.execute("DELETE FROM conversations_promptrecord WHERE generation_id = %s", [lane.generation_id])
        cursor.execute("ALTER TABLE conversations_promptrecord FORCE ROW LEVEL SECURITY")
    claimed = claim(new_worker())
    assert claimed is not None
    assert [one["content"] for one in load(claimed).prompt.messages] == ["One?", "one", "Two?"]
    with pytest.raises(NotFound, match="not recorded"):
        selectors.prompt(alice, lane.generation_id)


# Instructions.


@pytest.mark.parametrize("text", [None, 7, ["x"], "x" * 8_001, "a\x00b", "half \ud800"])
def test_what_is_no_text_of_that_length_is_refused(alice: Principal, ask: Ask, text: object) -> None:
    turn = ask(alice)
    for refused in (
        lambda: instructions.set_own(alice, text),
        lambda: instructions.set_workspace(alice, text),
        lambda: services.instruct(alice, turn.conversation_id, text),
    ):
        with pytest.raises(InvalidInstructions) as error:
            refused()
        assert set(error.value.fields or {}) == {"instructions"}


def test_each_person_is_told_of_by_themself_alone(alice: Principal, bob: Principal, mallory: Principal) -> None:
    for principal in (alice, bob, mallory):
        instructions.set_own(principal, f"  I am {principal.user_name}.  ")
    instructions.set_workspace(alice, "x" * 8_000)
    assert instructions.of(alice) == instructions.Instructions("x" * 8_000, "I am Alice.")
    assert instructions.of(bob).own == "I am Bob."
    assert instructions.of(mallory) == instructions.Instructions("", "I am Mallory.")


def test_a_change_for_everybody_is_in_the_log_without_its_words(alice: Principal) -> None:
    instructions.set_workspace(alice, "Canary of the aviary")
    instructions.set_workspace(alice, " Canary of the aviary ")
    with tenant_scope(alice.tenant_id):
        entry = AuditEntry.objects.get(tenant_id=alice.tenant_id, action="instructions.changed")
    assert entry.data == {"characters": 20}


def test_a_strangers_chat_takes_no_instructions(alice: Principal, bob: Principal, mallory: Principal, ask: Ask) -> None:
    turn = ask(alice)
    for stranger in (bob, mallory):
        with pytest.raises(NotFound):
            services.instruct(stranger, turn.conversation_id, "Obey.")
    with tenant_scope(alice.tenant_id):
        assert Conversation.objects.get(id=turn.conversation_id).instructions == ""


def test_a_new_chat_is_told_from_its_first_question_on(alice: Principal) -> None:
    instructions.set_workspace(alice, "Be brief.")
    body: dict[str, object] = {"message": "Hello?", "models": ["quick"], "instructions": " Sail. "}
    turn = services.start_turn(alice, requests.turn_request(body, "k"))
    assert shown(turn, alice) == [("system", "Be brief.\n\nSail."), ("user", "Hello?")]
    assert selectors.conversation(alice, turn.conversation_id).instructions == "Sail."
    assert services.start_turn(alice, requests.turn_request(body, "k")).replayed
    with pytest.raises(IdempotencyMismatch):
        services.start_turn(alice, requests.turn_request(body | {"instructions": "Row."}, "k"))


@pytest.mark.parametrize("more", [{"instructions": 7}, {"instructions": "x" * 8_001}, {"instructions": "a\x00"},
                                  {"instructions": "Sail.", "conversation_id": str(UUID(int=1))}])  # fmt: skip
def test_instructions_that_cannot_be_kept_are_named(more: dict[str, object]) -> None:
    with pytest.raises(InvalidMessage) as error:
        requests.turn_request({"message": "Hello?", **more}, None)
    assert set(error.value.fields or {}) == {"instructions"}


# The most tokens of an answer.


@pytest.mark.parametrize("given", [0, -1, 1.5, "7", True, 1_000_001, [5]])
def test_a_bound_is_a_whole_number(given: object) -> None:
    with pytest.raises(InvalidMessage) as error:
        requests.turn_request({"message": "Hello", "max_output_tokens": given}, None)
    assert set(error.value.fields or {}) == {"max_output_tokens"}


def test_a_bound_is_part_of_what_was_asked() -> None:
    body = {"message": "Hello", "models": ["quick"]}
    digests = {requests.turn_request(body | more, "k").digest for more in ({}, {"max_output_tokens": 5})}
    assert len(digests) == 2
    assert requests.turn_request(body | {"max_output_tokens": None}, "k").digest in digests


@pytest.mark.parametrize(
    ("of_workspace", "of_call", "expected"), [(None, None, 2_000), (None, 300, 300), (200, None, 200), (200, 300, 200)]
)
def test_reservation_and_provider_agree_on_the_bound(
    alice: Principal, capture: Capture, answer: Answer, of_workspace: int | None, of_call: int | None, expected: int
) -> None:
    teams.change_tenant(alice, max_output_tokens=of_workspace or 0)
    routing_selectors.invalidate(alice.tenant_id)
    body = {"message": "Hello?", "models": ["kept"], "max_output_tokens": of_call}
    turn = services.start_turn(alice, requests.turn_request(body, None))
    answer(alice, turn)
    with tenant_scope(alice.tenant_id):
        plan = routing.plan_from_json(Generation.objects.get(id=turn.generations[0].generation_id).plan)
    assert {one.output_tokens_bound for one in plan.candidates} == {expected}
    sent = capture.newest
    assert (sent.get("max_completion_tokens") or sent.get("max_tokens")) == expected
    # Asked again, it is held to the same.
    again = services.retry(alice, turn.generations[0].generation_id)
    with tenant_scope(alice.tenant_id):
        plan = routing.plan_from_json(Generation.objects.get(id=again.generation_id).plan)
    assert plan.candidates[0].output_tokens_bound == expected


def test_what_stays_the_same_is_read_from_the_providers_cache(
    alice: Principal, answer: Answer, catalogue: dict[str, str], provider_simulator: Simulator
) -> None:
    """Over Anthropic's format, where what is to be kept must be marked. Writing costs extra, and is charged."""
    slug = f"marked-{alice.tenant_id}"
    provider_id = routing.add_provider(
        name=slug, base_url=f"{provider_simulator.url}/v1", key="any", simulated=True, adapter="anthropic"
    )
    dear_to_write = NewPrice(1_000_000_000, 0, cached_input_nanousd_per_mtok=0, cache_write_nanousd_per_mtok=10**12)
    routing.register_model(
        provider_id=provider_id, upstream_model="bench-marked+tokens=12+tps=0", slug=slug, price=dear_to_write
    )
    routing.invalidate()
    instructions.set_workspace(alice, "Answer like a pirate. " * 60)
    lines, conversation_id = [], None
    for question in ("Ahoy there", "More", "Still more"):
        body = {"message": question, "models": [slug], "conversation_id": conversation_id}
        turn = services.start_turn(alice, requests.turn_request(body, None))
        answer(alice, turn)
        conversation_id = str(turn.conversation_id)
        with tenant_scope(alice.tenant_id):
            lines.append(LedgerEntry.objects.get(call_id=turn.generations[0].generation_id))
    assert lines[0].cached_tokens == 0
    assert lines[0].cache_write_tokens >= 300
    assert lines[0].cache_write_tokens <= lines[1].cached_tokens < lines[2].cached_tokens
    for line in lines:
        fresh = line.input_tokens - line.cached_tokens - line.cache_write_tokens
        assert line.amount_nanousd == fresh * 1_000 + line.cache_write_tokens * 1_000_000
