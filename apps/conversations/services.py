"""What people do with chats: ask, stop, ask a lane again, rename, delete, restore."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar
from uuid import UUID

import structlog
from django.db import IntegrityError, connections
from uuid6 import uuid7

from apps.billing import services as billing
from apps.billing.contracts import Admission
from apps.billing.errors import OverBudget
from apps.conversations import history, summaries, turns
from apps.conversations.connections import blocking_redis
from apps.conversations.contracts import Ceilings, GenerationAccepted, GenerationState, TurnAccepted
from apps.conversations.errors import InvalidMessage, NotFound, StillAnswering
from apps.conversations.generation import hints
from apps.conversations.generation.window import plan_within
from apps.conversations.history import Chat
from apps.conversations.models import Conversation, Generation, Lane, Message, PromptRecord
from apps.conversations.requests import TurnRequest
from apps.conversations.ring import ring, ring_litellm
from apps.conversations.turns import PlannedLane
from apps.routing import selectors as routing_selectors
from apps.routing import services as routing
from apps.routing.contracts import CacheUse, Call, Plan
from apps.streaming import hints as streaming
from apps.tenants import instructions
from apps.tenants.contracts import Principal
from apps.tenants.policy import Action, require
from apps.tenants.scope import tenant_scope
from apps.tenants.services import still_stands

MAX_TITLE = 200

T = TypeVar("T")
Write = Callable[[Sequence[PlannedLane], tuple[Admission, ...]], T]

log = structlog.get_logger(__name__)


def start_turn(principal: Principal, request: TurnRequest) -> TurnAccepted:
    """Accept a question for every lane, or for none. When this returns, each generation will reach a final state.

    Raises `InvalidMessage`, `PromptBlocked`, `NotFound`, `StillAnswering`, `IdempotencyMismatch`, routing's and
    billing's refusals, and `CredentialRefused` where the key or sign-in has ended since the caller was found.
    A repeat under the same idempotency key returns the first turn, and consumes nothing.
    """
    require(principal, Action.CHAT_ASK)
    with tenant_scope(principal.tenant_id):
        earlier = turns.replay(principal, request)
        if earlier is not None:
            still_stands(principal)
            return earlier
        told = request.instructions
        chat = history.of_conversation(principal, request.conversation_id, request.models, told)
    kept = routing.screen_question(principal.tenant_id, principal.user_id, request.message)
    request = replace(request, models=chat.models or _first_on_offer(principal), message=kept)
    conversation_id = request.conversation_id or uuid7()
    lanes = _lanes(principal, request, chat, conversation_id)

    def write(lanes: Sequence[PlannedLane], admissions: tuple[Admission, ...]) -> TurnAccepted:
        with tenant_scope(principal.tenant_id):
            still_stands(principal)
            billing.reserve(admissions)
            return turns.write_turn(principal, request, lanes, conversation_id, chat.turns_before)

    try:
        turn = _admitted(principal, lanes, write)
    except (IntegrityError, StillAnswering):
        # Another request with the same key was faster: answer with its turn. Without one the conflict is real.
        with tenant_scope(principal.tenant_id):
            winner = turns.replay(principal, request)
        if winner is None:
            raise
        return winner
    _announce(principal, turn)
    # Of what was left out here, the next prompts are to have a summary; this answer does not wait for it.
    summaries.ask_for(principal, [lane.generation_id for lane in lanes if lane.window.unread])
    return turn


def _first_on_offer(principal: Principal) -> tuple[str, ...]:
    cards = routing_selectors.models_for(principal)
    if not cards:
        raise InvalidMessage("No model is on offer. An administrator adds one with `manage.py add_provider`.")
    return (cards[0].slug,)


def _lanes(principal: Principal, request: TurnRequest, chat: Chat, conversation_id: UUID) -> list[PlannedLane]:
    """Plan and window of each lane. The conversation's id is settled before it exists: its first answer chooses its
    place."""
    catalogue = routing_selectors.catalogue_for(principal)
    hard = routing.difficulty(request.message, turns_before=chat.turns_before)
    limits = request.ceilings.within(chat.ceilings)

    def plan_of(model: str, prompt_bytes: int) -> Plan:
        call = Call(
            tenant_id=principal.tenant_id,
            model=model,
            prompt_bytes=prompt_bytes,
            max_output_tokens=request.max_output_tokens,
            difficulty=hard,
            conversation_id=conversation_id,
            max_cost_nanousd=limits.max_cost_nanousd,
            max_first_token_ms=limits.max_first_token_ms,
            cache=_cache_use(request, model),
        )
        return routing.plan(call, catalogue)

    found = []
    for model, parts in zip(request.models, chat.parts(request.models, request.message), strict=True):
        plan, window = plan_within(parts, partial(plan_of, model))
        found.append(turns.new_lane(plan, window, chat.system, request.max_output_tokens))
    return found


def _cache_use(request: TurnRequest, model: str) -> CacheUse:
    """A model that is asked twice at once is asked for two answers."""
    twice = request.cache is CacheUse.USE and request.models.count(model) > 1
    return CacheUse.BYPASS if twice else request.cache


def _admitted(principal: Principal, lanes: Sequence[PlannedLane], write: Write[T]) -> T:
    """Admit, write, wake workers; what cannot be written gives its admission back.

    Where the budget does not cover the dearest candidates, what it does cover is admitted.
    """
    try:
        admissions = billing.admit(principal, turns.costs(lanes), enough_nanousd=turns.least_nanousd(lanes))
    except OverBudget as refused:
        affordable = turns.within(lanes, refused.left_nanousd)
        if affordable is None:
            raise
        lanes = affordable
        admissions = billing.admit(principal, turns.costs(lanes))
    try:
        written = write(lanes, admissions)
    except BaseException:
        billing.release(admissions)
        raise
    plain = sum(routing.queue_of(lane.plan) == routing.DEFAULT_QUEUE for lane in lanes)
    if plain < len(lanes):
        ring_litellm(len(lanes) - plain)
    ring(plain, then=lambda: billing.hold(admissions))
    return written


def _announce(principal: Principal, turn: TurnAccepted) -> None:
    """After the commit: tell the person's other pages."""
    hints.tell(
        principal.tenant_id,
        principal.user_id,
        turn.conversation_id,
        "created" if turn.created else "message",
        turn_id=str(turn.turn_id),
    )
    log.info(
        "turn.accepted",
        conversation_id=str(turn.conversation_id),
        turn_id=str(turn.turn_id),
        lanes=len(turn.generations),
    )


def cancel(principal: Principal, generation_id: UUID) -> GenerationState:
    """Stop an answer: at once where it is queued, and within a second where it runs. Final ones stay as they are.

    Once this returns, no further provider call begins for the generation. Raises `NotFound`.
    """
    with tenant_scope(principal.tenant_id):
        state = _cancel(principal, generation_id)
    if state is GenerationState.RUNNING:
        streaming.publish_cancel(blocking_redis(), None, generation_id)
    elif state is GenerationState.CANCELLED:
        billing.settle_counters(principal.tenant_id, principal.user_id, [generation_id], 0)
    return state


def _cancel(principal: Principal, generation_id: UUID) -> GenerationState:
    with connections["default"].cursor() as cursor:
        cursor.execute(
            """
            UPDATE conversations_generation
            SET cancel_at = coalesce(cancel_at, clock_timestamp()),
                state = CASE WHEN state = 'queued' THEN 'cancelled' ELSE state END,
                finished_at = CASE WHEN state = 'queued' THEN clock_timestamp() END
            WHERE id = %s AND user_id = %s AND state IN ('queued', 'running')
            RETURNING state, message_id
            """,
            [generation_id, principal.user_id],
        )
        row = cursor.fetchone()
    if row is None:
        state = (
            Generation.objects.filter(id=generation_id, user_id=principal.user_id)
            .values_list("state", flat=True)
            .first()
        )
        if state is None:
            raise NotFound("There is no such answer.")
        return GenerationState(state)
    if row[0] == GenerationState.CANCELLED:
        Message.objects.filter(id=row[1]).update(status=GenerationState.CANCELLED)
        billing.settle_reservations([generation_id], using="default")
    return GenerationState(row[0])


def retry(principal: Principal, generation_id: UUID) -> GenerationAccepted:
    """Ask the same lane the same question again, for another answer than a cache's; the earlier one stays as a version.

    Raises `NotFound`, or `StillAnswering` while that lane is at work.
    """
    require(principal, Action.CHAT_ASK)
    with tenant_scope(principal.tenant_id):
        earlier = Generation.answers.filter(id=generation_id, user_id=principal.user_id).first()
        if earlier is None:
            raise NotFound("There is no such answer.")
        question = Message.objects.get(turn_id=earlier.turn_id, role=Message.Role.USER)
        request = TurnRequest(question.text, (earlier.model_slug,), earlier.conversation_id, None)
        bound = (
            PromptRecord.objects.filter(generation_id=earlier.id).values_list("max_output_tokens", flat=True).first()
        )
        request = replace(request, max_output_tokens=bound, cache=CacheUse.BYPASS)
        chat = history.of_lane(principal, earlier, question)
    (lane,) = _lanes(principal, request, chat, earlier.conversation_id)

    def write(lanes: Sequence[PlannedLane], admissions: tuple[Admission, ...]) -> Generation:
        with tenant_scope(principal.tenant_id):
            still_stands(principal)
            open_chats = Conversation.objects.select_for_update().filter(deleted_at__isnull=True)
            if open_chats.filter(id=earlier.conversation_id).first() is None:
                raise NotFound("There is no such conversation.")
            working = Generation.answers.filter(
                turn_id=earlier.turn_id,
                lane_id=earlier.lane_id,
                state__in=[GenerationState.QUEUED, GenerationState.RUNNING],
            )
            if working.exists():
                raise StillAnswering("This lane is answering already.")
            billing.reserve(admissions)
            row = Lane.objects.get(id=earlier.lane_id)
            return turns.write_generations(principal, question, [(lanes[0], row)])[0]

    generation = _admitted(principal, [lane], write)
    hints.tell(
        principal.tenant_id,
        principal.user_id,
        earlier.conversation_id,
        "message",
        turn_id=str(earlier.turn_id),
    )
    return turns.accepted(generation, lane.plan)


def rename(principal: Principal, conversation_id: UUID, title: str) -> str:
    """Give a conversation a title of the person's own. Raises `InvalidMessage` or `NotFound`."""
    title = " ".join(title.split())
    if not title or len(title) > MAX_TITLE or not title.isprintable():
        raise InvalidMessage(
            f"A title has 1 to {MAX_TITLE} printable characters.", fields={"title": ["Choose another title."]}
        )
    _change(principal, conversation_id, title=title, title_is_manual=True)
    hints.tell(principal.tenant_id, principal.user_id, conversation_id, "title")
    return title


def instruct(principal: Principal, conversation_id: UUID, text: object) -> None:
    """Say what models are told before each question of this chat; empty takes it back.

    Raises `InvalidInstructions` or `NotFound`.
    """
    require(principal, Action.CHAT_KEEP)
    _change(principal, conversation_id, instructions=instructions.checked(text))


def limit(principal: Principal, conversation_id: UUID, ceilings: Ceilings) -> None:
    """Say what each answer of this chat may cost, and how soon it should begin. Raises `NotFound`."""
    require(principal, Action.CHAT_KEEP)
    _change(principal, conversation_id, model_policy=ceilings.document)


def delete(principal: Principal, conversation_id: UUID) -> None:
    """Hide a conversation; `restore` brings it back. Answers at work are stopped. Raises `NotFound`."""
    _change(principal, conversation_id, deleted_at=datetime.now(UTC))
    # Only now: until the change is committed, another question may be accepted.
    with tenant_scope(principal.tenant_id):
        working = list(
            Generation.objects.filter(
                conversation_id=conversation_id,
                user_id=principal.user_id,
                state__in=[GenerationState.QUEUED, GenerationState.RUNNING],
            ).values_list("id", flat=True)
        )
    for generation_id in working:
        cancel(principal, generation_id)
    hints.tell(principal.tenant_id, principal.user_id, conversation_id, "deleted")


def restore(principal: Principal, conversation_id: UUID) -> None:
    """Bring a deleted conversation back. Raises `NotFound`."""
    _change(principal, conversation_id, deleted=True, deleted_at=None)
    hints.tell(principal.tenant_id, principal.user_id, conversation_id, "restored")


def _change(principal: Principal, conversation_id: UUID, *, deleted: bool = False, **fields: object) -> None:
    with tenant_scope(principal.tenant_id):
        changed = Conversation.objects.filter(
            id=conversation_id, user_id=principal.user_id, deleted_at__isnull=not deleted
        ).update(**fields)
    if not changed:
        raise NotFound("There is no such conversation.")
