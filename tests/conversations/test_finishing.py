"""The end of a generation: a ledger line for each attempt, and the tenant pays for the one whose text it keeps."""

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from uuid6 import uuid7

from apps.billing.models import LedgerEntry, Reservation
from apps.conversations import selectors
from apps.conversations.contracts import GenerationState
from apps.conversations.generation import attempts
from apps.conversations.generation.claim import claim
from apps.conversations.generation.finish import Answer, finish
from apps.conversations.generation.pipeline import _append
from apps.conversations.generation.prompt import load
from apps.conversations.models import Attempt
from apps.routing.contracts import (
    AttemptEnd,
    AttemptState,
    Candidate,
    Chunk,
    ReasoningDelta,
    Restarted,
    TextDelta,
    ToolCallCompleted,
    ToolCallStarted,
    Usage,
)
from apps.streaming.errors import LogOverflow
from apps.streaming.handle import LogHandle, LogLimits
from apps.tenants.contracts import Principal
from apps.tenants.scope import tenant_scope
from tests.conversations.conftest import Ask


def ended(candidate: Candidate, number: int, state: AttemptState, *, shown: bool, tokens: int = 10) -> AttemptEnd:
    usage = Usage(tokens, tokens)
    return AttemptEnd(uuid7(), candidate, number, state, usage, None, 0.5 if shown else None, 1.0)


class Setting:
    """A claimed generation with its plan's first candidate."""

    def __init__(self, principal: Principal, worker_id: UUID) -> None:
        self.principal = principal
        claimed = claim(worker_id)
        assert claimed is not None
        self.claimed = claimed
        self.plan = load(claimed).plan
        self.candidate = self.plan.candidates[0]

    def finish(self, answer: Answer) -> dict[UUID, tuple[str, int]]:
        """Kind and amount of each ledger line, by attempt."""
        for end in answer.ends:
            attempts.begin(self.claimed, self.candidate, end.number, end.attempt_id)
        finish(self.claimed, self.plan, answer, "1-9")
        with tenant_scope(self.principal.tenant_id):
            assert Reservation.objects.get(id=self.claimed.generation_id).state == "settled"
            lines = LedgerEntry.objects.filter(call_id=self.claimed.generation_id)
            return {line.attempt_id: (line.kind, line.amount_nanousd) for line in lines}


@pytest.fixture
def setting(alice: Principal, ask: Ask, new_worker: Callable[..., UUID]) -> Setting:
    ask(alice)
    return Setting(alice, new_worker())


COST = 10 * 100 + 10 * 400  # nano-dollars of ten tokens in and ten out, at the catalogue's price


def test_the_attempt_that_died_is_absorbed_and_the_one_that_won_is_paid(setting: Setting) -> None:
    answer = Answer(text=["void"])
    died = ended(setting.candidate, 1, AttemptState.FAILED, shown=True)
    won = ended(setting.candidate, 2, AttemptState.WON, shown=True)
    answer.ends.append(died)
    answer.forget()
    answer.text.append("kept")
    answer.ends.append(won)
    answer.state = GenerationState.COMPLETED
    assert setting.finish(answer) == {died.attempt_id: ("absorbed", COST), won.attempt_id: ("charge", COST)}
    row = selectors.answer(setting.principal, setting.claimed.generation_id)
    assert (row.text, row.cost_nanousd) == ("kept", COST)


@pytest.mark.parametrize("state", [GenerationState.CANCELLED, GenerationState.PARTIAL])
def test_text_is_paid_although_a_call_that_was_never_made_came_after_it(
    setting: Setting, state: GenerationState
) -> None:
    died = ended(setting.candidate, 1, AttemptState.FAILED, shown=True)
    unmade = AttemptEnd.never_made(uuid7(), setting.candidate, 2)
    answer = Answer(text=["what was shown is kept"], ends=[died, unmade], state=state)
    assert setting.finish(answer) == {died.attempt_id: ("charge", COST), unmade.attempt_id: ("absorbed", 0)}


def test_text_that_was_taken_back_is_not_paid(setting: Setting) -> None:
    answer = Answer(text=["taken back"])
    died = ended(setting.candidate, 1, AttemptState.FAILED, shown=True)
    answer.ends.append(died)
    answer.forget()
    stopped = ended(setting.candidate, 2, AttemptState.CANCELLED, shown=False, tokens=0)
    answer.ends.append(stopped)
    answer.state = GenerationState.CANCELLED
    assert setting.finish(answer) == {died.attempt_id: ("absorbed", COST), stopped.attempt_id: ("absorbed", 0)}


def test_a_row_whose_begin_was_given_up_is_closed_with_a_line(setting: Setting) -> None:
    given_up = uuid4()
    attempts.begin(setting.claimed, setting.candidate, 1, given_up)
    assert setting.finish(Answer(state=GenerationState.CANCELLED)) == {given_up: ("absorbed", 0)}
    with tenant_scope(setting.principal.tenant_id):
        row = Attempt.objects.get(id=given_up)
        assert (row.state, row.ended_at is not None) == ("cancelled", True)


@pytest.mark.parametrize(
    "chunk",
    [TextDelta("x" * 300), ReasoningDelta("x" * 300), ToolCallCompleted("1", "f", "x" * 300), Restarted("x" * 300)],
)
def test_what_the_log_refuses_is_not_kept_either(chunk: Chunk) -> None:
    handle = LogHandle(uuid4(), 1, LogLimits(250, 1000, 1000, 60), lambda handle: None)
    handle.start({})
    answer = Answer()
    _append(TextDelta("shown"), answer, handle)
    with pytest.raises(LogOverflow):
        _append(chunk, answer, handle)
    assert (answer.whole_text, answer.reasoning, answer.tool_calls) == ("shown", [], [])


def test_a_tool_call_with_nul_in_it_can_be_stored(setting: Setting) -> None:
    handle = LogHandle(setting.claimed.generation_id, 1, LogLimits(9_999, 999, 999, 60), lambda handle: None)
    handle.start({})
    answer = Answer(state=GenerationState.COMPLETED, finish_reason="tool_calls")
    _append(ToolCallStarted("a\x00", "send\x00"), answer, handle)
    _append(ToolCallCompleted("a\x00", "send\x00", '{"to": "\x00"}'), answer, handle)
    setting.finish(answer)
    assert answer.tool_calls == [{"call_id": "a", "name": "send", "arguments": '{"to": ""}'}]
