"""Reading chats. Everything is asked as a principal, inside the tenant's scope, and only of the person's own chats."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q

from apps.conversations.contracts import (
    AnswerRow,
    Ceilings,
    ConversationRow,
    ConversationSummary,
    GenerationState,
    LaneRow,
    PromptRow,
    QuestionRow,
    Sent,
    StreamIdentity,
    Timeline,
    TurnRow,
)
from apps.conversations.errors import NotFound
from apps.conversations.generation.prompt import put_together
from apps.conversations.models import Conversation, Generation, Lane, Message, Turn
from apps.routing import selectors as routing
from apps.routing.contracts import ModelCard
from apps.tenants.contracts import Principal
from apps.tenants.scope import tenant_scope

TURNS_PER_PAGE = 50
CONVERSATIONS_PER_PAGE = 30
UNKNOWN_HUE = 1

_WORKING = [GenerationState.QUEUED, GenerationState.RUNNING]


def conversation_list(
    principal: Principal, before: tuple[datetime, UUID] | None = None, limit: int = CONVERSATIONS_PER_PAGE
) -> list[ConversationSummary]:
    """The person's chats, latest activity first, at most `limit`; `before` is the last one already seen."""
    hues = _hues(principal)
    with tenant_scope(principal.tenant_id):
        rows = Conversation.objects.filter(user_id=principal.user_id, deleted_at__isnull=True)
        if before is not None:
            at, last_id = before
            rows = rows.filter(Q(last_activity_at__lt=at) | Q(last_activity_at=at, id__lt=last_id))
        working = Generation.answers.filter(conversation_id=OuterRef("id"), state__in=_WORKING)
        page = rows.order_by("-last_activity_at", "-id").annotate(running=Exists(working))[:limit]
        return [
            ConversationSummary(
                id=row.id,
                title=row.title,
                last_activity_at=row.last_activity_at,
                running=row.running,
                hues=tuple(hues.get(slug, UNKNOWN_HUE) for slug in row.models_chosen),
            )
            for row in page
        ]


def conversation(principal: Principal, conversation_id: UUID) -> ConversationRow:
    """One chat's head. Raises `NotFound`."""
    with tenant_scope(principal.tenant_id):
        return _row(_own(principal, conversation_id))


def timeline(
    principal: Principal, conversation_id: UUID, before_seq: int | None = None, limit: int = TURNS_PER_PAGE
) -> Timeline:
    """The latest turns of a chat (or those before `before_seq`), oldest first. Raises `NotFound`."""
    cards = _cards(principal)
    with tenant_scope(principal.tenant_id):
        owner = _own(principal, conversation_id)
        turns = Turn.objects.filter(conversation_id=owner.id)
        if before_seq is not None:
            turns = turns.filter(seq__lt=before_seq)
        page = list(turns.order_by("-seq")[: limit + 1])
        older, page = len(page) > limit, sorted(page[:limit], key=lambda turn: turn.seq)
        lanes = list(Lane.objects.filter(conversation_id=owner.id).order_by("position"))
        return Timeline(
            conversation=_row(owner),
            lanes=tuple(_lane(lane, cards) for lane in lanes),
            turns=tuple(_turn_rows(page, cards)),
            older=older,
        )


def turn(principal: Principal, conversation_id: UUID, turn_id: UUID) -> TurnRow:
    """One turn with its answers. Raises `NotFound`."""
    cards = _cards(principal)
    with tenant_scope(principal.tenant_id):
        owner = _own(principal, conversation_id)
        rows = _turn_rows(Turn.objects.filter(id=turn_id, conversation_id=owner.id), cards)
        if not rows:
            raise NotFound("There is no such turn.")
        return rows[0]


def stream_identities(principal: Principal, stream_id: UUID) -> list[StreamIdentity]:
    """The generations behind a stream's id: one for a generation's, the newest of each lane for a turn's.

    Raises `NotFound`.
    """
    cards = _cards(principal)
    with tenant_scope(principal.tenant_id):
        rows = list(
            Generation.answers.filter(Q(id=stream_id) | Q(turn_id=stream_id), user_id=principal.user_id)
            .order_by("lane_position", "-queued_at", "-id")
            .defer("plan", "route", "usage")
        )
    if not rows:
        raise NotFound("There is no such stream.")
    if any(row.id == stream_id for row in rows):
        rows = [row for row in rows if row.id == stream_id]
    newest: dict[UUID, Generation] = {}
    for row in rows:
        newest.setdefault(row.lane_id, row)
    return [_identity(row, cards) for row in newest.values()]


def standing(principal: Principal, generation_id: UUID) -> tuple[GenerationState, int]:
    """State and fence of one generation, as its row has them now. Raises `NotFound`."""
    with tenant_scope(principal.tenant_id):
        row = (
            Generation.answers.filter(id=generation_id, user_id=principal.user_id).values_list("state", "fence").first()
        )
    if row is None:
        raise NotFound("There is no such answer.")
    return GenerationState(row[0]), row[1]


def answer(principal: Principal, generation_id: UUID) -> AnswerRow:
    """One lane's answer, whole. Raises `NotFound`."""
    cards = _cards(principal)
    with tenant_scope(principal.tenant_id):
        row = Generation.answers.select_related("message").filter(id=generation_id, user_id=principal.user_id).first()
        if row is None:
            raise NotFound("There is no such answer.")
        return _answer(row, cards)


def prompt(principal: Principal, generation_id: UUID) -> PromptRow:
    """What the model behind one of the person's answers was shown. Raises `NotFound`."""
    with tenant_scope(principal.tenant_id):
        row = (
            Generation.answers.select_related("prompt")
            .filter(id=generation_id, user_id=principal.user_id, conversation__deleted_at__isnull=True)
            .first()
        )
        if row is None:
            raise NotFound("There is no such answer.")
        if not hasattr(row, "prompt"):
            raise NotFound("What this model was shown was not recorded at that time.")
        shown = put_together(row.prompt)
    return PromptRow(
        generation_id=row.id,
        conversation_id=row.conversation_id,
        model_name=row.plan.get("model_name", row.model_slug),
        messages=tuple(shown.messages),
        sha256=shown.sha256,
        sent=_sent(row.route, shown.sha256),
        turns=shown.turns,
        left_out=shown.left_out,
        summarised=shown.summarised,
        max_output_tokens=row.prompt.max_output_tokens,
    )


def _sent(route: dict[str, Any], sha256: str) -> Sent:
    """How what was sent compares with messages of that hash. A route's own hash is of what it was asked to send: what
    safety rules replaced in it is known by their verdicts."""
    asked = route.get("prompt", {}).get("sha256")
    if asked is None:
        return Sent.NOT_YET
    if route.get("cache"):
        return Sent.FROM_CACHE
    if asked != sha256:
        return Sent.ERASED
    screened = (one for one in route.get("safety", []) if one["direction"] == "prompt")
    return Sent.REPLACED if any(one["action"] == "redact" for one in screened) else Sent.AS_SHOWN


def _own(principal: Principal, conversation_id: UUID) -> Conversation:
    row = Conversation.objects.filter(id=conversation_id, user_id=principal.user_id, deleted_at__isnull=True).first()
    if row is None:
        raise NotFound("There is no such conversation.")
    return row


def _turn_rows(turns: Iterable[Turn], cards: dict[str, ModelCard]) -> list[TurnRow]:
    page = list(turns)
    ids = [row.id for row in page]
    questions = {
        row.turn_id: QuestionRow(row.id, row.text)
        for row in Message.objects.filter(turn_id__in=ids, role=Message.Role.USER)
    }
    answers: dict[UUID, dict[UUID, Generation]] = {}
    for row in (
        Generation.answers.select_related("message")
        .filter(turn_id__in=ids)
        .order_by("lane_position", "-queued_at", "-id")
    ):
        answers.setdefault(row.turn_id, {}).setdefault(row.lane_id, row)
    return [
        TurnRow(
            id=row.id,
            seq=row.seq,
            created_at=row.created_at,
            question=questions[row.id],
            answers=tuple(_answer(one, cards) for one in answers.get(row.id, {}).values()),
        )
        for row in page
    ]


def _answer(row: Generation, cards: dict[str, ModelCard]) -> AnswerRow:
    card = cards.get(row.model_slug)
    return AnswerRow(
        tenant_id=row.tenant_id,
        lane=row.lane_position,
        generation_id=row.id,
        message_id=row.message_id,
        model_slug=row.model_slug,
        model_name=row.plan.get("model_name", row.model_slug),
        hue=card.hue if card else row.plan.get("hue", UNKNOWN_HUE),
        simulated=_simulated(row.plan),
        state=GenerationState(row.state),
        text=row.message.text,
        reasoning="".join(part["text"] for part in row.message.content if part.get("type") == "reasoning"),
        error_code=row.error_code,
        error_message=row.error_message,
        error_retryable=row.error_retryable,
        finish_reason=row.finish_reason,
        usage=row.usage,
        cost_nanousd=row.cost_nanousd,
        first_token_ms=_ms(row.queued_at, row.first_token_at),
        total_ms=_ms(row.queued_at, row.finished_at),
        route=row.route,
        last_event_id=row.last_event_id,
        text_sha256=row.text_sha256,
        queued_ms=_ms(row.queued_at, row.started_at),
        fence=row.fence,
    )


def _simulated(plan: dict[str, Any]) -> bool:
    return any(candidate.get("simulated", False) for candidate in plan.get("candidates", []))


def _ms(start: datetime, end: datetime | None) -> int | None:
    return None if end is None else round((end - start).total_seconds() * 1000)


def _identity(row: Generation, cards: dict[str, ModelCard]) -> StreamIdentity:
    card = cards.get(row.model_slug)
    return StreamIdentity(
        generation_id=row.id,
        turn_id=row.turn_id,
        conversation_id=row.conversation_id,
        message_id=row.message_id,
        lane=row.lane_position,
        model=row.model_slug,
        model_name=card.name if card else row.model_slug,
        hue=card.hue if card else UNKNOWN_HUE,
        state=GenerationState(row.state),
        fence=row.fence,
    )


def _row(owner: Conversation) -> ConversationRow:
    return ConversationRow(
        id=owner.id,
        title=owner.title,
        models=tuple(owner.models_chosen),
        created_at=owner.created_at,
        last_activity_at=owner.last_activity_at,
        instructions=owner.instructions,
        ceilings=Ceilings.kept(owner.model_policy),
    )


def _lane(lane: Lane, cards: dict[str, ModelCard]) -> LaneRow:
    card = cards.get(lane.model_slug)
    return LaneRow(
        position=lane.position,
        model_slug=lane.model_slug,
        model_name=card.name if card else lane.model_slug,
        hue=card.hue if card else UNKNOWN_HUE,
    )


def _cards(principal: Principal) -> dict[str, ModelCard]:
    return routing.cards(principal.tenant_id)


def _hues(principal: Principal) -> dict[str, int]:
    return {slug: card.hue for slug, card in _cards(principal).items()}
