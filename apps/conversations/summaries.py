"""A rolling summary of what a chat's window leaves out: asked for after a turn was accepted, made in the background.

A summary is a generation of its own kind: queued, claimed, leased, charged and taken over like an answer, but nobody
follows it and nothing waits for it. Where there is none, the history is simply cut.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog
from celery import current_app
from django.conf import settings
from django.db import IntegrityError
from django.db.models import Q
from django.db.models.functions import Now
from kombu.exceptions import KombuError
from redis.exceptions import RedisError
from uuid6 import uuid7

from apps.billing import services as billing
from apps.billing.contracts import CallCost
from apps.conversations import history
from apps.conversations.contracts import GenerationState, MessageStatus
from apps.conversations.generation.window import CLOSING, PastSummary, PastTurn, Window, budget_of, size_of
from apps.conversations.models import Generation, LaneSummary, Message, PromptRecord
from apps.conversations.ring import in_background, ring, ring_litellm
from apps.conversations.turns import PlannedLane, write_prompts
from apps.problems import Problem
from apps.routing import selectors as routing_selectors
from apps.routing import services as routing
from apps.routing.contracts import Call, Catalogue, OfferedModel, Plan
from apps.tenants.contracts import Principal
from apps.tenants.models import Tenant
from apps.tenants.policy import Action, allows
from apps.tenants.scope import tenant_scope
from apps.tenants.selectors import bounded_by_key, principal_for

SUMMARISE = "conversations.summarise"
SUMMARY_TOKENS = 1_024
# How much of the window is left to the newest turns: so the next questions fit without another summary.
_SHOWN_SHARE = 2
TASK = (
    "You keep the memory of a long conversation between a person and a language model. Write a summary of the "
    "conversation that follows, to be read by the model instead of it: what the person wants, facts, names, figures "
    "and decisions, what is settled and what is open. If it begins with an earlier summary, carry over what still "
    "matters. Answer nothing that is asked in it. Use the language of the person. At most 400 words."
)

# So many within an hour that gave nothing, and the lane is left alone for the rest of it: somebody pays for each.
_MOST_IN_VAIN = 3
_IN_VAIN_FOR = timedelta(hours=1)
_GAVE_NOTHING = Q(state__in=[GenerationState.FAILED, GenerationState.PARTIAL]) | Q(
    state=GenerationState.COMPLETED, message__text=""
)

_WORKING = [GenerationState.QUEUED, GenerationState.RUNNING]

log = structlog.get_logger(__name__)


def ask_for(principal: Principal, generation_ids: Sequence[UUID]) -> None:
    """Have the lanes of these generations summarised, from a thread of its own; returns at once.

    Best effort: a message that is lost is made up for by the next question.
    """
    arguments = [[str(principal.tenant_id), str(principal.user_id), str(one)] for one in generation_ids]
    if arguments:
        in_background(lambda: _send(arguments))


def _send(arguments: Sequence[list[str]]) -> None:
    for one in arguments:
        try:
            current_app.send_task(SUMMARISE, args=one, ignore_result=True)
        except (KombuError, RedisError, OSError) as error:
            log.warning("summary.not_asked_for", error=type(error).__name__)
            return


@dataclass(frozen=True, slots=True)
class Gap:
    """What of a lane is to be summarised: `turns`, oldest first, after `before`, their summary so far.

    The models of `failed` were tried in vain for this lane.
    """

    generation: Generation
    turns: tuple[PastTurn, ...]
    before: PastSummary | None
    failed: frozenset[str]


def begin(tenant_id: UUID, user_id: UUID, generation_id: UUID) -> UUID | None:
    """Queue a summary of what the generation's window left out, and return its generation's id.

    None where there is nothing to do: the workspace wants none, one is being made or was made, no model can read it,
    several just gave nothing, the budget has no room.
    """
    principal = principal_for(user_id, tenant_id)
    if principal is None or not allows(principal.role, Action.CHAT_ASK):
        return None
    with tenant_scope(tenant_id):
        wanted = Tenant.objects.filter(id=tenant_id, summaries=True).exists()
        gap = _gap(user_id, generation_id) if wanted else None
    if gap is None:
        return None
    principal = bounded_by_key(principal, gap.generation.api_key_id)
    found = _plan(principal, gap)
    if found is None:
        log.info("summary.no_model", generation_id=str(generation_id))
        return None
    plan, window = found
    summary_id = uuid7()
    try:
        admissions = billing.admit(
            principal, [CallCost(summary_id, plan.amount_bound_nanousd, plan.tokens_bound, plan.model)]
        )
    except Problem as refusal:
        log.info("summary.refused", generation_id=str(generation_id), code=refusal.code)
        return None
    try:
        with tenant_scope(tenant_id):
            billing.reserve(admissions)
            _write(principal, gap, PlannedLane(summary_id, plan, window, TASK, SUMMARY_TOKENS, summarises=True))
    except BaseException as error:
        billing.release(admissions)
        if isinstance(error, IntegrityError):
            return None  # another one is on its way
        raise
    plain = int(routing.queue_of(plan) == routing.DEFAULT_QUEUE)
    if not plain:
        ring_litellm(1)
    ring(plain, then=lambda: billing.hold(admissions))
    return summary_id


def _gap(user_id: UUID, generation_id: UUID) -> Gap | None:
    """Demands the tenant's transaction."""
    rows = Generation.answers.select_related("turn").filter(user_id=user_id, conversation__deleted_at__isnull=True)
    row = rows.filter(id=generation_id).first()
    record = PromptRecord.objects.filter(generation_id=generation_id).first()
    if row is None or record is None or not record.turns_left_out:
        return None
    earlier = Generation.objects.filter(lane_id=row.lane_id, kind=Generation.Kind.SUMMARY)
    if earlier.filter(state__in=_WORKING).exists():
        return None
    in_vain = earlier.filter(_GAVE_NOTHING)
    if in_vain.filter(finished_at__gt=Now() - _IN_VAIN_FOR).count() >= _MOST_IN_VAIN:
        return None
    failed = in_vain.values_list("model_slug", flat=True)
    question = Message.objects.only("parent_id").get(turn_id=row.turn_id, role=Message.Role.USER)
    past = history.spoken(row.conversation_id, question.parent_id, [row.lane_id])[row.lane_id]
    before = history.summaries([row.lane_id], row.turn.seq - 1).get(row.lane_id)
    wanted = _to_be_covered(past, record.turns_left_out, budget_of(routing.plan_from_json(row.plan)))
    new = tuple(turn for turn in wanted if before is None or turn.seq > before.covers)
    return Gap(row, new, before, frozenset(failed)) if new else None


def _to_be_covered(past: Sequence[PastTurn], left_out: int, budget_bytes: int) -> Sequence[PastTurn]:
    """All that was left out, and as many of the shown turns that the others fill only a part of the window."""
    shown = sum(turn.size_bytes for turn in past[left_out:])
    covered = left_out
    while covered < len(past) - 1 and shown > budget_bytes // _SHOWN_SHARE:
        shown -= past[covered].size_bytes
        covered += 1
    return past[:covered]


def _plan(principal: Principal, gap: Gap) -> tuple[Plan, Window] | None:
    """The cheapest model that can read at least the first turn of the gap, and how much of it that model reads."""
    catalogue = routing_selectors.catalogue_for(principal)
    limit = catalogue.output_bound
    answer_tokens = min(SUMMARY_TOKENS, limit.tokens if limit else SUMMARY_TOKENS)
    always = size_of(len(TASK.encode())) + size_of(len(CLOSING.encode()))
    always += gap.before.size_bytes if gap.before else 0
    for model in _cheapest_first(catalogue, gap.failed):

        def plan_of(prompt_bytes: int, slug: str = model.slug) -> Plan:
            call = Call(principal.tenant_id, slug, prompt_bytes, max_output_tokens=answer_tokens)
            return routing.plan(call, catalogue)

        try:
            room = budget_of(plan_of(always + gap.turns[0].size_bytes)) - always
            read = tuple(_oldest(gap.turns, room))
            if read:
                size = always + sum(turn.size_bytes for turn in read)
                return plan_of(size), Window(size, read, gap.before)
        except Problem:
            continue
    return None


def _oldest(past: Sequence[PastTurn], room_bytes: int) -> Iterator[PastTurn]:
    """As many turns from the beginning as fit."""
    for turn in past:
        room_bytes -= turn.size_bytes
        if room_bytes < 0:
            return
        yield turn


def _cheapest_first(catalogue: Catalogue, failed: Collection[str]) -> list[OfferedModel]:
    """Models with a price. Those that think at length come late, for their thoughts would come out of the summary's
    room; and those that failed come last."""

    def price(model: OfferedModel) -> tuple[bool, bool, int]:
        first = model.first_deployment
        cost = first.price.input_nanousd_per_mtok + first.price.output_nanousd_per_mtok if first and first.price else 0
        return model.slug in failed, model.reasoning, cost

    priced = [model for model in catalogue.models.values() if model.first_deployment and model.first_deployment.price]
    return sorted(priced, key=price)


def _write(principal: Principal, gap: Gap, lane: PlannedLane) -> None:
    """Demands the tenant's transaction. Raises `IntegrityError` where another summary of the lane is at work."""
    of = gap.generation
    message = Message.objects.create(
        tenant_id=principal.tenant_id,
        conversation_id=of.conversation_id,
        turn_id=of.turn_id,
        lane_id=of.lane_id,
        role=Message.Role.SYSTEM,
        status=MessageStatus.PENDING,
        model_slug=lane.plan.model,
    )
    Generation.objects.create(
        id=lane.generation_id,
        kind=Generation.Kind.SUMMARY,
        tenant_id=principal.tenant_id,
        user_id=principal.user_id,
        api_key_id=principal.api_key_id,
        conversation_id=of.conversation_id,
        turn_id=of.turn_id,
        lane_id=of.lane_id,
        lane_position=of.lane_position,
        message_id=message.id,
        model_slug=lane.plan.model,
        plan=routing.plan_to_json(lane.plan),
        queue=routing.queue_of(lane.plan),
        deadline_at=datetime.now(UTC) + timedelta(seconds=settings.GENERATION_DEADLINE_SECONDS),
    )
    write_prompts(principal, None, [(lane, lane.generation_id)])
    LaneSummary.objects.create(
        tenant_id=principal.tenant_id,
        lane_id=of.lane_id,
        generation_id=lane.generation_id,
        covers=lane.window.turns[-1].seq,
    )
