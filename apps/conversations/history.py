"""What a chat's next answer could be shown: the sizes and ids of what was said, lane by lane, without the texts."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from django.db import connections

from apps.conversations.contracts import NO_CEILINGS, Ceilings
from apps.conversations.errors import NotFound
from apps.conversations.generation.window import (
    SUMMARY_LEAD,
    Parts,
    PastSummary,
    PastTurn,
    size_of,
)
from apps.conversations.models import Conversation, Generation, Message, Turn
from apps.tenants import instructions
from apps.tenants.contracts import Principal

# Everything that was said, in one pass over each table. What belongs together is put together here: a join, and a walk
# from question to question in the database, take a look-up for every message, or a scan where statistics are old.
_SAID = """
SELECT 'said', m.id, m.parent_id, m.turn_id, m.lane_id, octet_length(m.text)
FROM conversations_message m
WHERE m.conversation_id = %(chat)s AND (m.role = 'user' OR m.role = 'assistant' AND m.deleted_at IS NULL
    AND m.status IN ('completed', 'partial', 'cancelled') AND m.text <> '')
UNION ALL SELECT 'turn', id, NULL, NULL, NULL, seq FROM conversations_turn WHERE conversation_id = %(chat)s
UNION ALL SELECT 'lane', id, NULL, NULL, NULL, position FROM conversations_lane WHERE conversation_id = %(chat)s
"""

_CHAT = """
SELECT c.turn_count, c.models_chosen, c.instructions, c.model_policy, (
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
    `ceilings` hold for each of its answers.
    """

    turns_before: int = 0
    models: tuple[str, ...] = ()
    lanes: tuple[tuple[UUID, str], ...] = ()
    system: str = ""
    _spoken: dict[UUID | None, Turns] = field(default_factory=dict)
    _summaries: dict[UUID | None, PastSummary] = field(default_factory=dict)
    ceilings: Ceilings = NO_CEILINGS

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


def of_conversation(
    principal: Principal, conversation_id: UUID | None, models: tuple[str, ...], told_at_first: str = ""
) -> Chat:
    """The person's chat, or a new one, whose models are told `told_at_first`. Demands the tenant's transaction.

    Raises `NotFound`.
    """
    if conversation_id is None:
        return Chat(models=models, system=system_text(principal, told_at_first))
    with connections["default"].cursor() as cursor:
        cursor.execute(_CHAT, [conversation_id, principal.user_id])
        row = cursor.fetchone()
    if row is None:
        raise NotFound("There is no such conversation.")
    turns_before, last_models, told, policy, last_question, lane_ids, lane_models = row
    models = models or tuple(last_models)
    lanes = tuple(zip(lane_ids, lane_models, strict=True))
    wanted = list(dict.fromkeys(assign(lanes, models))) or [None]
    past = spoken(conversation_id, last_question, wanted)
    is_long = any(sum(turn.size_bytes for turn in turns) > FITS_ANYWHERE_BYTES for turns in past.values())
    before = summaries(wanted, turns_before) if is_long else {}
    limits = Ceilings.kept(json.loads(policy) if isinstance(policy, str) else policy)
    return Chat(turns_before, models, lanes, system_text(principal, told), past, before, limits)


def of_lane(principal: Principal, earlier: Generation, question: Message) -> Chat:
    """A chat as it was before one of its questions, for the lane that is to answer it again.

    What models are told beforehand is as it is now. Demands the tenant's transaction.
    """
    turns_before = Turn.objects.values_list("seq", flat=True).get(id=earlier.turn_id) - 1
    told, policy = Conversation.objects.values_list("instructions", "model_policy").get(id=earlier.conversation_id)
    return Chat(
        turns_before,
        (earlier.model_slug,),
        ((earlier.lane_id, earlier.model_slug),),
        system_text(principal, told),
        spoken(earlier.conversation_id, question.parent_id, [earlier.lane_id]),
        summaries([earlier.lane_id], turns_before),
        Ceilings.kept(policy),
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


def spoken(
    conversation_id: UUID, last_question_id: UUID | None, lanes: Sequence[UUID | None]
) -> dict[UUID | None, Turns]:
    """The turns up to this question, oldest first, as each of the lanes reads them.

    A lane that joined later has no answers of its own in earlier turns; there it reads the leftmost finished answer, so
    that it sees a conversation and not a list of questions. Demands the tenant's transaction.
    """
    if last_question_id is None:
        return dict.fromkeys(lanes, ())
    with connections["default"].cursor() as cursor:
        cursor.execute(_SAID, {"chat": conversation_id})
        rows = cursor.fetchall()
    # Numbers of turns and positions of lanes.
    places = {id: number for kind, id, _, _, _, number in rows if kind != "said"}
    questions: dict[UUID, _Question] = {}
    answers: defaultdict[UUID, list[_Answer]] = defaultdict(list)
    for kind, id, parent_id, turn_id, lane_id, text_bytes in rows:
        if kind == "said" and lane_id is None:
            questions[id] = _Question(id, parent_id, turn_id, places[turn_id], text_bytes)
        elif kind == "said":
            answers[turn_id].append(_Answer(places[lane_id], id, lane_id, text_bytes))
    path: list[_Question] = []
    place: UUID | None = last_question_id
    while place is not None and (question := questions.get(place)) is not None:
        path.append(question)
        place = question.parent_id
    path.reverse()
    return {lane: tuple(_past_turn(one, answers[one.turn_id], lane) for one in path) for lane in lanes}


class _Question(NamedTuple):
    id: UUID
    parent_id: UUID | None
    turn_id: UUID
    seq: int
    text_bytes: int


class _Answer(NamedTuple):
    position: int
    id: UUID
    lane_id: UUID
    text_bytes: int


def _past_turn(question: _Question, answers: Sequence[_Answer], lane: UUID | None) -> PastTurn:
    """The question with the lane's own newest answer, or else the newest one of the leftmost lane that has any."""
    readable = [one for one in answers if one.lane_id == lane]
    if not readable and answers:
        leftmost = min(answers).position
        readable = [one for one in answers if one.position == leftmost]
    if not readable:
        return PastTurn(question.seq, (question.id,), size_of(question.text_bytes))
    answer = max(readable, key=lambda one: one.id)
    size = size_of(question.text_bytes) + size_of(answer.text_bytes)
    return PastTurn(question.seq, (question.id, answer.id), size)
