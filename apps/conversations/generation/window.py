"""Which part of a chat a model is shown: decided from sizes alone, before a word of it is read.

The order of a prompt: system prompt, summary of what is left out, turns oldest first, question. Its beginning stays
the same from one question to the next as long as it can, because providers charge less for what they have read before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from apps.routing import services as routing
from apps.routing.contracts import Plan
from apps.routing.errors import ContextExceeded, TooDear

# Role and punctuation around each message in a prompt, generously.
MESSAGE_FRAME_BYTES = 48
# What a token has at least in most texts of any script. Planning asks whether a prompt is likely to fit (four bytes);
# what may be left out is left out a little early, rather than that the provider refuses the whole.
BYTES_PER_TOKEN = 3
# Before the text of a summary.
SUMMARY_LEAD = "What was said earlier in this conversation, in short:\n\n"
# What a model that is to summarise reads last, in the place of a question.
CLOSING = "Now write the summary of all of the above."
# Kept free for the answer where none shorter was asked for, but never more than a part of a small window.
ANSWER_TOKENS = 16_384
_ANSWER_SHARE = 4


@dataclass(frozen=True, slots=True)
class PastTurn:
    """A question of the chat with what answered it, in order. It is shown whole or not at all, so that a tool's result
    never stands without its call. `seq` is its number in the chat."""

    seq: int
    messages: tuple[UUID, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PastSummary:
    """What stands for the turns up to number `covers`: the message that holds its text."""

    message_id: UUID
    covers: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Parts:
    """All that could be shown. `system_bytes` is 0 where there is no system prompt; turns are oldest first."""

    question_bytes: int
    system_bytes: int = 0
    turns: Sequence[PastTurn] = ()
    summary: PastSummary | None = None

    @property
    def always_bytes(self) -> int:
        """System prompt and question, which are never left out."""
        return self.system_bytes + self.question_bytes


@dataclass(frozen=True, slots=True)
class Window:
    """What is shown. Of the `left_out` oldest turns, the first `summarised` are in the summary."""

    size_bytes: int
    turns: tuple[PastTurn, ...] = ()
    summary: PastSummary | None = None
    left_out: int = 0
    summarised: int = 0

    @property
    def unread(self) -> int:
        """Turns that the model knows nothing of."""
        return self.left_out - self.summarised


def size_of(text_bytes: int) -> int:
    """What a message with so much text takes up."""
    return text_bytes + MESSAGE_FRAME_BYTES


def fit(parts: Parts, budget_bytes: int | None) -> Window:
    """The window of at most `budget_bytes` (None: no bound): everything, or else the newest turns and the summary.

    System prompt and question are in it even where they alone are more than the budget. Where a summary is used, the
    turns it covers are left out though some might fit: so the prompt begins alike until the summary is renewed.
    """
    whole = parts.always_bytes + sum(turn.size_bytes for turn in parts.turns)
    if budget_bytes is None or whole <= budget_bytes:
        return Window(whole, tuple(parts.turns))
    size, summary, turns = parts.always_bytes, None, list(parts.turns)
    if parts.summary is not None and size + parts.summary.size_bytes <= budget_bytes:
        summary = parts.summary
        size += summary.size_bytes
        turns = [turn for turn in turns if turn.seq > summary.covers]
    first = len(turns)
    while first > 0 and size + turns[first - 1].size_bytes <= budget_bytes:
        first -= 1
        size += turns[first].size_bytes
    left_out = len(parts.turns) - (len(turns) - first)
    return Window(size, tuple(turns[first:]), summary, left_out, len(parts.turns) - len(turns))


def plan_within(parts: Parts, plan_of: Callable[[int], Plan]) -> tuple[Plan, Window]:
    """A plan, and the window that fits its largest first choice. `plan_of` plans for a prompt of so many bytes.

    A chat that is too long, or too dear under a ceiling, is shown in part; only what is refused for the question alone
    is refused: raises what `plan_of` raises for that.
    """
    whole, plan = fit(parts, None), None
    try:
        plan = plan_of(whole.size_bytes)
    except (ContextExceeded, TooDear):
        if not parts.turns:
            raise
    if plan is not None and (not parts.turns or whole.size_bytes <= budget_of(plan)):
        return plan, whole
    alone = plan or plan_of(parts.always_bytes)
    budget = budget_of(alone)
    while True:
        window = fit(parts, budget)
        try:
            return plan_of(window.size_bytes), window
        except (ContextExceeded, TooDear):
            # A ceiling on the cost leaves less room than the context does, and does not say how much.
            if window.size_bytes <= parts.always_bytes:
                raise
            budget = window.size_bytes // 2


def budget_of(plan: Plan) -> int:
    """Bytes of prompt that the largest of the plan's first choices reads, with room left for its answer."""
    windows = [one for one in plan.candidates if one.after is None] or plan.candidates
    largest = max(windows, key=lambda one: one.context_tokens)
    answer = min(largest.context_tokens // _ANSWER_SHARE, ANSWER_TOKENS)
    return max(0, (largest.context_tokens - answer - routing.TEMPLATE_TOKENS) * BYTES_PER_TOKEN)
