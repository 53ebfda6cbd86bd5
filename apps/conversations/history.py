"""What a chat's next answer could be shown: the sizes and ids of what was said, lane by lane, without the texts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db import connections

from apps.conversations.errors import NotFound
from apps.conversations.generation.window import (
    MESSAGE_FRAME_BYTES,
    SUMMARY_LEAD,
    Parts,
    PastSummary,
    PastTurn,
    size_of,
)
from apps.conversations.models import Conversation, Generation, Message, Turn
from apps.tenants import instructions
from apps.tenants.contracts import Principal

# From the last question back to the first, and for each lane asked the answer it reads there. A lane that joined later
# has no answers of its own in earlier turns; there it reads the leftmost finished answer, so that it sees a
# conversation and not a list of questions.
_SPOKEN = """
WITH RECURSIVE path AS (
    SELECT id, parent_id, turn_id, octet_length(text) AS size, 0 AS depth FROM conversations_message
    WHERE id = %(last)s
    UNION ALL
    SELECT m.id, m.parent_id, m.turn_id, octet_length(m.text), path.depth + 1
    FROM conversations_message m JOIN path ON m.id = path.parent_id
)
SELECT lane.number, turn.seq, path.id, path.size, answer.id, answer.size
FROM path JOIN conversations_turn turn ON turn.id = path.turn_id
CROSS JOIN unnest(%(lanes)s::uuid[]) WITH ORDINALITY AS lane(id, number)
LEFT JOIN LATERAL (
    SELECT a.id, octet_length(a.text) AS size
    FROM conversations_message a JOIN conversations_generation g ON g.message_id = a.id
    WHERE a.turn_id = path.turn_id AND a.role = 'assistant' AND a.deleted_at IS NULL AND a.text <> ''
      AND a.status IN ('completed', 'partial', 'cancelled')
    ORDER BY (a.lane_id = lane.id) DESC NULLS LAST, g.lane_position, a.id DESC LIMIT 1
) answer ON true
ORDER BY lane.number, path.depth DESC
"""

_CHAT = """
SELECT c.turn_count, c.models_chosen, c.instructions, (
    SELECT m.id FROM conversations_message m
    WHERE m.conversation_id = c.id AND m.role = 'user' AND m.deleted_at IS NULL ORDER BY m.id DESC LIMIT 1
), ARRAY(SELECT l.id FROM conversations_lane l WHERE l.conversation_id = c.id ORDER BY l.position),
ARRAY(SELECT l.model_slug FROM conversations_lane l WHERE l.conversation_id = c.id ORDER BY l.position)
FROM conversations_conversation c WHERE c.id = %s AND c.user_id = %s AND c.deleted_at IS NULL
"""

# The summary that reaches furthest, of those made of a lane before a turn.
_SUMMARIES = """
SELECT DISTINCT ON (s.lane_id) s.lane_id, m.id, s.covers, octet_length(m.text)
FROM conversations_lanesummary s
JOIN conversations_generation g ON g.id = s.generation_id AND g.state = 'completed'
JOIN conversations_message m ON m.id = g.message_id AND m.text <> ''
WHERE s.lane_id = ANY(%s) AND s.covers <= %s
ORDER BY s.lane_id, s.covers DESC, s.id DESC
"""

# Chats up to this size are not asked for their summaries: hardly a model would leave anything of them out.
FITS_ANYWHERE_BYTES = 6_000

Turns = tuple[PastTurn, ...]


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat before its next question; an empty one is new. `models` are those to be asked, as named or as last time.

    `system`: what models are told before all else. `_spoken`: what each lane reads; under None what a new lane reads.
    """

    turns_before: int = 0
    models: tuple[str, ...] = ()
    lanes: tuple[tuple[UUID, str], ...] = ()
    system: str = ""
    _spoken: dict[UUID | None, Turns] = field(default_factory=dict)
    _summaries: dict[UUID | None, PastSummary] = field(default_factory=dict)

    def parts(self, models: Sequence[str], message: str) -> list[Parts]:
        """What could be shown to each of these models with that question."""
        question_bytes = size_of(len(message.encode()))
        system_bytes = size_of(len(self.system.encode())) if self.system else 0
        return [
            Parts(
                question_bytes,
                system_bytes,
                self._spoken.get(lane, self._spoken.get(None, ())),
                self._summaries.get(lane),
            )
            for lane in assign(self.lanes, models)
        ]


def assign(lanes: Sequence[tuple[UUID, str]], models: Sequence[str]) -> list[UUID | None]:
    """The lane of each model, in order: a model keeps its lane, a model asked twice has two, None is to be new.

    `lanes` are the chat's, left to right, as (id, model).
    """
    unused = list(lanes)
    found: list[UUID | None] = []
    for model in models:
        lane = next((lane for lane in unused if lane[1] == model), None)
        if lane is not None:
            unused.remove(lane)
        found.append(lane[0] if lane else None)
    return found


def of_conversation(principal: Principal, conversation_id: UUID | None, models: tuple[str, ...]) -> Chat:
    """The person's chat, or a new one. Demands the tenant's transaction. Raises `NotFound`."""
    if conversation_id is None:
        return Chat(models=models, system=system_text(principal))
    with connections["default"].cursor() as cursor:
        cursor.execute(_CHAT, [conversation_id, principal.user_id])
        row = cursor.fetchone()
    if row is None:
        raise NotFound("There is no such conversation.")
    turns_before, last_models, told, last_question, lane_ids, lane_models = row
    models = models or tuple(last_models)
    lanes = tuple(zip(lane_ids, lane_models, strict=True))
    wanted = list(dict.fromkeys(assign(lanes, models))) or [None]
    past = spoken(last_question, wanted)
    is_long = any(sum(turn.size_bytes for turn in turns) > FITS_ANYWHERE_BYTES for turns in past.values())
    before = summaries(wanted, turns_before) if is_long else {}
    return Chat(turns_before, models, lanes, system_text(principal, told), past, before)


def of_lane(principal: Principal, earlier: Generation, question: Message) -> Chat:
    """A chat as it was before one of its questions, for the lane that is to answer it again.

    What models are told beforehand is as it is now. Demands the tenant's transaction.
    """
    turns_before = Turn.objects.values_list("seq", flat=True).get(id=earlier.turn_id) - 1
    told = Conversation.objects.values_list("instructions", flat=True).get(id=earlier.conversation_id)
    return Chat(
        turns_before,
        (earlier.model_slug,),
        ((earlier.lane_id, earlier.model_slug),),
        system_text(principal, told),
        spoken(question.parent_id, [earlier.lane_id]),
        summaries([earlier.lane_id], turns_before),
    )


def system_text(principal: Principal, of_conversation: str = "") -> str:
    """What the workspace, the person and the conversation tell models, in this order; empty where nobody does.

    The general comes first, so that the beginning is the same in as many prompts as possible. Demands the tenant's
    transaction.
    """
    told = instructions.read(principal.tenant_id, principal.user_id)
    return "\n\n".join(text for text in (told.workspace, told.own, of_conversation) if text)


def summaries(lanes: Sequence[UUID | None], turns_before: int) -> dict[UUID | None, PastSummary]:
    """The furthest summary of each of these lanes that tells of none but the first `turns_before` turns.

    Demands the tenant's transaction.
    """
    with connections["default"].cursor() as cursor:
        cursor.execute(_SUMMARIES, [[lane for lane in lanes if lane is not None], turns_before])
        return {
            lane: PastSummary(message, covers, size_of(text_bytes + len(SUMMARY_LEAD)))
            for lane, message, covers, text_bytes in cursor.fetchall()
        }


def spoken(last_question_id: UUID | None, lanes: Sequence[UUID | None]) -> dict[UUID | None, Turns]:
    """The turns up to this question, oldest first, as each of the lanes reads them.

    Demands the tenant's transaction.
    """
    found: dict[UUID | None, list[PastTurn]] = {lane: [] for lane in lanes}
    if last_question_id is None:
        return dict.fromkeys(lanes, ())
    with connections["default"].cursor() as cursor:
        cursor.execute(_SPOKEN, {"last": last_question_id, "lanes": list(lanes)})
        for number, seq, question, question_bytes, answer, answer_bytes in cursor.fetchall():
            messages: tuple[UUID, ...] = (question,)
            size = size_of(question_bytes)
            if answer is not None:
                messages, size = (question, answer), size + answer_bytes + MESSAGE_FRAME_BYTES
            found[lanes[number - 1]].append(PastTurn(seq, messages, size))
    return {lane: tuple(turns) for lane, turns in found.items()}
