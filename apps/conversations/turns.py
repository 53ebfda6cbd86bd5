"""Writing a turn down: question, lanes, pending answers and queued generations, in one transaction.

The queued generation is the outbox: once the transaction has committed, a worker will find it, whatever else fails.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

from django.conf import settings
from uuid6 import uuid7

from apps.billing.contracts import CallCost
from apps.conversations import history
from apps.conversations.contracts import GenerationAccepted, GenerationState, MessageStatus, TurnAccepted
from apps.conversations.errors import IdempotencyMismatch, NotFound, StillAnswering
from apps.conversations.generation.window import Window
from apps.conversations.models import Conversation, Generation, Lane, Message, PromptRecord, SystemText, Turn
from apps.conversations.requests import TurnRequest
from apps.routing import services as routing
from apps.routing.contracts import Plan
from apps.tenants.contracts import Principal

TITLE_LENGTH = 60


@dataclass(frozen=True, slots=True)
class PlannedLane:
    """One lane to be: the generation's id is chosen before admission, which reserves under it.

    `window` and `system` say what its model will be shown, beside the question; `max_output_tokens` is the caller's.
    """

    generation_id: UUID
    plan: Plan
    window: Window
    system: str = ""
    max_output_tokens: int | None = None
    summarises: bool = False


def costs(lanes: Sequence[PlannedLane]) -> list[CallCost]:
    """What admission has to set aside."""
    return [
        CallCost(lane.generation_id, lane.plan.amount_bound_nanousd, lane.plan.tokens_bound, lane.plan.model)
        for lane in lanes
    ]


def least_nanousd(lanes: Sequence[PlannedLane]) -> int:
    """What must be set aside at least, so that each lane has a first choice."""
    return sum(routing.least_nanousd(lane.plan) for lane in lanes)


def within(lanes: Sequence[PlannedLane], left_nanousd: int) -> list[PlannedLane] | None:
    """The lanes with the candidates that so much covers together; None where it does not cover the cheapest of each.

    What is left over the cheapest goes to the lanes in their order.
    """
    least = [routing.least_nanousd(lane.plan) for lane in lanes]
    spare = left_nanousd - sum(least)
    if spare < 0:
        return None
    found = []
    for lane, cheapest in zip(lanes, least, strict=True):
        plan = routing.within(lane.plan, cheapest + spare)
        spare -= plan.amount_bound_nanousd - cheapest
        found.append(replace(lane, plan=plan))
    return found


def replay(principal: Principal, request: TurnRequest) -> TurnAccepted | None:
    """The turn that this idempotency key made before, if any. Demands the tenant's transaction.

    Raises `IdempotencyMismatch` where the key was used for another request.
    """
    if request.idempotency_key is None:
        return None
    turn = Turn.objects.filter(user_id=principal.user_id, idempotency_key=request.idempotency_key).first()
    if turn is None:
        return None
    if bytes(turn.request_digest or b"") != request.digest:
        raise IdempotencyMismatch("This idempotency key was used for another request. Use a new key.")
    conversation = Conversation.objects.get(id=turn.conversation_id)
    rows = Generation.answers.filter(turn_id=turn.id).order_by("lane_position", "id")
    first_of_lane: dict[UUID, Generation] = {}
    for row in rows:
        first_of_lane.setdefault(row.lane_id, row)
    question_id = Message.objects.values_list("id", flat=True).get(turn_id=turn.id, role=Message.Role.USER)
    return TurnAccepted(
        conversation_id=turn.conversation_id,
        turn_id=turn.id,
        question_id=question_id,
        title=conversation.title,
        created=turn.seq == 1,
        replayed=True,
        generations=tuple(accepted(row, routing.plan_from_json(row.plan)) for row in first_of_lane.values()),
    )


def accepted(row: Generation, plan: Plan) -> GenerationAccepted:
    """A generation's row in the form a caller is told of it."""
    first = plan.candidates[0]
    return GenerationAccepted(
        generation_id=row.id,
        message_id=row.message_id,
        lane=row.lane_position,
        model=row.model_slug,
        model_name=plan.model_name,
        hue=plan.hue,
        first_model=first.model,
        first_provider=first.provider_name,
    )


def write_turn(
    principal: Principal,
    request: TurnRequest,
    lanes: Sequence[PlannedLane],
    new_conversation_id: UUID,
    turns_before: int = 0,
) -> TurnAccepted:
    """Write the turn; a new conversation gets the id it was planned with. Demands the tenant's transaction.

    `turns_before` is how many turns the chat had when the windows were decided. Raises `NotFound`, `StillAnswering`
    (also where another question came in between), or `IntegrityError` where another request won the idempotency key.
    """
    conversation, created = _conversation(principal, request, new_conversation_id)
    if conversation.turn_count != turns_before + 1:
        raise StillAnswering("Another question was asked in this chat just now. Look at it, then send yours again.")
    turn = Turn.objects.create(
        tenant_id=principal.tenant_id,
        conversation_id=conversation.id,
        user_id=principal.user_id,
        seq=conversation.turn_count,
        idempotency_key=request.idempotency_key,
        request_digest=request.digest if request.idempotency_key else None,
    )
    question = Message(
        tenant_id=principal.tenant_id,
        conversation_id=conversation.id,
        turn_id=turn.id,
        parent_id=None if created else _last_question(conversation.id, turn.id),
        role=Message.Role.USER,
        text=request.message,
        content=[{"type": "text", "text": request.message}],
    )
    existing = [] if created else list(Lane.objects.filter(conversation_id=conversation.id).order_by("position"))
    rows = _lane_rows(principal, conversation.id, existing, [lane.plan.model for lane in lanes])
    generations = write_generations(principal, question, list(zip(lanes, rows, strict=True)))
    return TurnAccepted(
        conversation_id=conversation.id,
        turn_id=turn.id,
        question_id=question.id,
        title=conversation.title,
        created=created,
        replayed=False,
        generations=tuple(accepted(row, lane.plan) for row, lane in zip(generations, lanes, strict=True)),
    )


def write_generations(
    principal: Principal, question: Message, lanes: Sequence[tuple[PlannedLane, Lane]]
) -> list[Generation]:
    """Pending answers and queued generations under one question, which is written too where it is new.

    Demands the tenant's transaction.
    """
    deadline_at = datetime.now(UTC) + timedelta(seconds=settings.GENERATION_DEADLINE_SECONDS)
    answers = [
        Message(
            tenant_id=principal.tenant_id,
            conversation_id=question.conversation_id,
            turn_id=question.turn_id,
            lane_id=row.id,
            parent_id=question.id,
            role=Message.Role.ASSISTANT,
            status=MessageStatus.PENDING,
            model_slug=lane.plan.model,
        )
        for lane, row in lanes
    ]
    Message.objects.bulk_create([question, *answers] if question._state.adding else answers)
    generations = [
        Generation(
            id=lane.generation_id,
            tenant_id=principal.tenant_id,
            user_id=principal.user_id,
            api_key_id=principal.api_key_id,
            conversation_id=question.conversation_id,
            turn_id=question.turn_id,
            lane_id=row.id,
            lane_position=row.position,
            message_id=answer.id,
            model_slug=lane.plan.model,
            plan=routing.plan_to_json(lane.plan),
            queue=routing.queue_of(lane.plan),
            deadline_at=deadline_at,
        )
        for (lane, row), answer in zip(lanes, answers, strict=True)
    ]
    Generation.objects.bulk_create(generations)
    write_prompts(principal, question.id, [(lane, row.id) for (lane, _), row in zip(lanes, generations, strict=True)])
    return generations


def write_prompts(principal: Principal, question_id: UUID | None, lanes: Sequence[tuple[PlannedLane, UUID]]) -> None:
    """What each generation's model will be shown; a summary is asked for without a question. Demands the tenant's
    transaction."""
    question = [] if question_id is None else [question_id]
    systems = {
        text: SystemText(
            id=uuid5(principal.tenant_id, f"{principal.user_id}:{text}"),
            tenant_id=principal.tenant_id,
            user_id=principal.user_id,
            text=text,
        )
        for text in {lane.system for lane, _ in lanes if lane.system}
    }
    if systems:
        SystemText.objects.bulk_create(systems.values(), ignore_conflicts=True)
    PromptRecord.objects.bulk_create(
        PromptRecord(
            tenant_id=principal.tenant_id,
            generation_id=generation_id,
            system_id=systems[lane.system].id if lane.system else None,
            summary_id=lane.window.summary.message_id if lane.window.summary else None,
            messages=[*(one for turn in lane.window.turns for one in turn.messages), *question],
            summarises=lane.summarises,
            max_output_tokens=lane.max_output_tokens,
            turns_left_out=lane.window.left_out,
            turns_summarised=lane.window.summarised,
        )
        for lane, generation_id in lanes
    )


def _conversation(principal: Principal, request: TurnRequest, new_id: UUID) -> tuple[Conversation, bool]:
    """Open a conversation, or lock the one asked for and count the new turn."""
    if request.conversation_id is None:
        return (
            Conversation.objects.create(
                id=new_id,
                tenant_id=principal.tenant_id,
                user_id=principal.user_id,
                title=title_of(request.message),
                models_chosen=list(request.models),
                instructions=request.instructions,
                turn_count=1,
            ),
            True,
        )
    conversation = (
        Conversation.objects.select_for_update()
        .filter(id=request.conversation_id, user_id=principal.user_id, deleted_at__isnull=True)
        .first()
    )
    if conversation is None:
        raise NotFound("There is no such conversation.")
    working = Generation.answers.filter(
        conversation_id=conversation.id, state__in=[GenerationState.QUEUED, GenerationState.RUNNING]
    )
    if working.exists():
        raise StillAnswering("The last question is still being answered. Wait for it, or stop it first.")
    conversation.turn_count += 1
    conversation.models_chosen = list(request.models)
    conversation.last_activity_at = datetime.now(UTC)
    conversation.save(update_fields=["turn_count", "models_chosen", "last_activity_at"])
    return conversation, False


def _last_question(conversation_id: UUID, turn_id: UUID) -> UUID | None:
    return (
        Message.objects.filter(conversation_id=conversation_id, role=Message.Role.USER, deleted_at__isnull=True)
        .exclude(turn_id=turn_id)
        .order_by("-id")
        .values_list("id", flat=True)
        .first()
    )


def _lane_rows(principal: Principal, conversation_id: UUID, existing: list[Lane], models: Sequence[str]) -> list[Lane]:
    """The lane of each model, in order: a model keeps its lane, a model asked twice has two, new ones are appended."""
    position = existing[-1].position if existing else 0
    by_id = {lane.id: lane for lane in existing}
    rows: list[Lane] = []
    new: list[Lane] = []
    for model, lane_id in zip(
        models, history.assign([(lane.id, lane.model_slug) for lane in existing], models), strict=True
    ):
        if lane_id is not None:
            rows.append(by_id[lane_id])
            continue
        position += 1
        new.append(
            Lane(
                tenant_id=principal.tenant_id,
                conversation_id=conversation_id,
                position=position,
                model_slug=model,
            )
        )
        rows.append(new[-1])
    Lane.objects.bulk_create(new)
    return rows


def title_of(message: str) -> str:
    """The first line of a question, cut at a word, as a conversation's first title."""
    line = " ".join(message.strip().splitlines()[0].split())
    if len(line) <= TITLE_LENGTH:
        return line
    cut = line[: TITLE_LENGTH - 1]
    return (cut.rsplit(" ", 1)[0] if " " in cut[20:] else cut) + "…"


def new_lane(plan: Plan, window: Window, system: str, max_output_tokens: int | None) -> PlannedLane:
    return PlannedLane(uuid7(), plan, window, system, max_output_tokens)
