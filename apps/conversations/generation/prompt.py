"""What the model sees, put together from the rows that its `PromptRecord` names.

Those rows never change once an answer was accepted on them, so the same prompt can be put together again later, byte
by byte: for a worker that takes over, and for whoever wants to see what the model saw.
"""

import hashlib
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from apps.conversations import history
from apps.conversations.contracts import GenerationState, StreamIdentity
from apps.conversations.generation.claim import Claimed
from apps.conversations.generation.window import CLOSING, SUMMARY_LEAD, Parts, budget_of, fit, size_of
from apps.conversations.models import Generation, Message, PromptRecord, SystemText
from apps.routing import services as routing
from apps.routing.contracts import Plan, Prompt
from apps.tenants.scope import tenant_scope


@dataclass(frozen=True, slots=True)
class Shown:
    """A prompt put together. `messages` in OpenAI's form, as sent; the counts are of turns of the chat.

    `summary_id`: the message whose text stands for `summarised` of the turns `left_out`, None without one. `sha256` is
    of the messages as JSON: it tells whether a prompt put together again is the one that was sent.
    """

    messages: list[dict[str, Any]]
    sha256: str
    turns: int
    left_out: int
    summarised: int
    summary_id: UUID | None = None

    def in_short(self) -> dict[str, Any]:
        """What the route of an answer says of its prompt."""
        return {
            "sha256": self.sha256,
            "turns": self.turns,
            "turns_left_out": self.left_out,
            "turns_summarised": self.summarised,
        }


@dataclass(frozen=True, slots=True)
class Work:
    """All that answering one generation needs, read in one transaction."""

    identity: StreamIdentity
    user_id: UUID
    api_key_id: UUID | None
    plan: Plan
    prompt: Prompt
    shown: Shown
    queued_ms: int


def load(claimed: Claimed) -> Work:
    """Read the claimed generation, its plan and its prompt."""
    with tenant_scope(claimed.tenant_id):
        row = Generation.objects.get(id=claimed.generation_id)
        plan = routing.plan_from_json(row.plan)
        record = PromptRecord.objects.filter(generation_id=row.id).first() or _record_of_old(row, plan)
        shown = put_together(record)
        queued_ms = round(((row.started_at or row.queued_at) - row.queued_at).total_seconds() * 1000)
    identity = StreamIdentity(
        generation_id=row.id,
        turn_id=row.turn_id,
        conversation_id=row.conversation_id,
        message_id=row.message_id,
        lane=row.lane_position,
        model=row.model_slug,
        model_name=plan.model_name,
        hue=plan.hue,
        state=GenerationState(row.state),
        fence=claimed.fence,
    )
    return Work(identity, row.user_id, row.api_key_id, plan, Prompt(messages=shown.messages), shown, queued_ms)


def put_together(record: PromptRecord) -> Shown:
    """The prompt that the record names. Demands the tenant's transaction."""
    wanted = [*record.messages, *([record.summary_id] if record.summary_id else [])]
    said = {message.id: message for message in Message.objects.filter(id__in=wanted).only("id", "role", "text")}
    messages: list[dict[str, Any]] = []
    if record.system_id is not None:
        text = SystemText.objects.values_list("text", flat=True).get(id=record.system_id)
        messages.append({"role": "system", "content": text})
    if record.summary_id in said:
        messages.append({"role": "system", "content": SUMMARY_LEAD + said[record.summary_id].text})
    # What was erased since is gone from here too; then the prompt is not the one that was sent, and its hash tells.
    talk = [said[message_id] for message_id in record.messages if message_id in said]
    messages += [{"role": message.role, "content": message.text} for message in talk]
    turns = sum(message.role == Message.Role.USER for message in talk)
    if record.summarises:
        messages.append({"role": "user", "content": CLOSING})
    else:
        turns -= 1  # the question
    sha256 = hashlib.sha256(orjson.dumps(messages)).hexdigest()
    return Shown(messages, sha256, turns, record.turns_left_out, record.turns_summarised, record.summary_id)


def _record_of_old(row: Generation, plan: Plan) -> PromptRecord:
    """For a generation that was accepted before prompts were recorded: what fits its plan today."""
    question = Message.objects.only("id", "parent_id", "text").get(turn_id=row.turn_id, role=Message.Role.USER)
    turns = history.spoken(row.conversation_id, question.parent_id, [row.lane_id])[row.lane_id]
    window = fit(Parts(size_of(len(question.text.encode())), turns=turns), budget_of(plan))
    shown = [one for turn in window.turns for one in turn.messages]
    return PromptRecord(generation_id=row.id, messages=[*shown, question.id], turns_left_out=window.left_out)
