"""Texts turned into vectors for a caller: planned, screened, admitted and settled like an answer."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings

from apps.billing.contracts import Admission
from apps.problems import Invalid
from apps.routing import planning, safety_verdicts, side_calls
from apps.routing.access import known
from apps.routing.contracts import Candidate, Catalogue, Plan, SafetySettings, Usage, Verdict
from apps.routing.errors import BreakersOpen, NoCandidates, PromptBlocked, ProviderFailed, Repeat
from apps.routing.health import reader
from apps.routing.prompt_screen import screen_text
from apps.routing.stateless.call import Admitted, Find, admitted, settle
from apps.routing.stateless.gate import CallGate
from apps.routing.wire.embeddings import AskedVectors, upstream_body
from apps.safety import Direction
from apps.tenants.contracts import Principal
from apps.tenants.scope import database_step, tenant_scope

_SNAPSHOT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Embedded:
    """A vector for each input, who made them, and what that used."""

    vectors: Sequence[Sequence[float]]
    usage: Usage
    candidate: Candidate
    admission: Admission
    plan: Plan
    attempts: int


async def embed(find: Find, asked: AskedVectors) -> Embedded:
    """Raises as `admitted`; `PromptBlocked`; the last `ProviderFailed`, or what says that nobody could be asked."""

    def plan_of(caller: Principal, offered: Catalogue) -> Plan:
        return planning.plan_vectors(asked.model, asked.input_bound_tokens, offered, reader(), asked.input_tokens)

    leave = await admitted(find, plan_of)
    gate, state = CallGate(), "failed"
    try:
        inputs = await _screened(leave.caller, asked.inputs)
        embedded = await _embedded(leave, gate, asked, inputs)
        state = "completed"
        return embedded
    except asyncio.CancelledError:
        state = "cancelled"
        raise
    finally:
        settle(leave.admissions[0], gate.lines(None, hung_up=False), state)


async def _embedded(
    leave: Admitted, gate: CallGate, asked: AskedVectors, inputs: Sequence[str | Sequence[int]]
) -> Embedded:
    """The first candidate's vectors, or those of the next where it fails."""
    (admission,) = leave.admissions
    texts = [one if isinstance(one, str) else " " * (4 * len(one)) for one in inputs]
    failed: Exception | None = None
    for candidate in leave.plan.candidates:
        body = {**upstream_body(asked, candidate.upstream_model), "input": list(inputs)}
        try:
            vectors = await side_calls.vectors(
                candidate,
                admission,
                gate,
                body,
                texts,
                len(inputs),
                timeout_seconds=settings.FIRST_TOKEN_TIMEOUT_SECONDS,
            )
        except ProviderFailed as error:
            if error.repeat in (Repeat.NOWHERE, Repeat.OTHER_MODEL_ONLY):
                raise
            failed = error
        except (BreakersOpen, NoCandidates) as error:
            failed = failed or error
        else:
            return Embedded(vectors, gate.ends[-1].usage, candidate, admission, leave.plan, len(gate.ends))
    raise failed or NoCandidates(f"{leave.plan.model_name} is switched off everywhere. Choose another model.")


async def _screened(caller: Principal, inputs: Sequence[str | Sequence[int]]) -> Sequence[str | Sequence[int]]:
    """The inputs as they may be sent. Raises `PromptBlocked`, or `Invalid` for what cannot be read."""
    rules = (await known(caller.tenant_id, time.monotonic() + _SNAPSHOT_SECONDS)).safety
    if not rules.screens(Direction.PROMPT):
        return inputs
    return await database_step(_read, caller, rules, inputs)


def _read(caller: Principal, rules: SafetySettings, inputs: Sequence[str | Sequence[int]]) -> Sequence[str]:
    found: list[Verdict] = []
    screened: list[str] = []
    try:
        for one in inputs:
            if not isinstance(one, str):
                raise Invalid("This workspace reads what is sent. Send texts in the place of tokens.")
            text, verdicts = screen_text(one, rules)
            screened.append(text)
            found += verdicts
    except PromptBlocked as blocked:
        found += blocked.verdicts
        raise
    finally:
        if found:
            with tenant_scope(caller.tenant_id):
                safety_verdicts.record(caller.tenant_id, caller.user_id, None, found)
    return screened
