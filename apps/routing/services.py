"""Routing's public face for what acts: plan a call, stream its answer, change the catalogue."""

import time
from collections.abc import AsyncGenerator
from functools import partial

from apps.billing.contracts import Admission
from apps.routing import attempts, caching, checks, fleet, pacing, planning, screening
from apps.routing.attempt_log import log_attempt
from apps.routing.catalogue_load import load_catalogue
from apps.routing.contracts import Call, Catalogue, Chunk, Deadlines, Gate, Plan, Prompt
from apps.routing.difficulty import difficulty
from apps.routing.health import health_of, reader
from apps.routing.ledger_lines import ledger_line
from apps.routing.plan_json import plan_from_json, plan_to_json
from apps.routing.providers.litellm import load as load_litellm
from apps.routing.providers.sessions import close as close_connections
from apps.routing.question_screen import screen_question
from apps.routing.queues import DEFAULT as DEFAULT_QUEUE
from apps.routing.queues import EITHER as EITHER_QUEUE
from apps.routing.queues import LITELLM as LITELLM_QUEUE
from apps.routing.queues import PATIENCE_SECONDS as QUEUE_PATIENCE_SECONDS
from apps.routing.queues import queue_of
from apps.routing.registration import add_provider, register_model
from apps.routing.rescue import Rescue
from apps.routing.safety_verdicts import record as record_verdicts
from apps.routing.selectors import invalidate, snapshot_in_memory
from apps.routing.spreading import HealthOf
from apps.routing.tokens import TEMPLATE_TOKENS, prompt_bytes

__all__ = [
    "DEFAULT_QUEUE",
    "EITHER_QUEUE",
    "LITELLM_QUEUE",
    "QUEUE_PATIENCE_SECONDS",
    "TEMPLATE_TOKENS",
    "Rescue",
    "add_provider",
    "check_forever",
    "close_connections",
    "difficulty",
    "health_of",
    "invalidate",
    "least_nanousd",
    "ledger_line",
    "load_catalogue",
    "load_litellm",
    "log_attempt",
    "plan",
    "plan_from_json",
    "plan_to_json",
    "prompt_bytes",
    "queue_of",
    "record_verdicts",
    "register_model",
    "screen_question",
    "stop_sharing",
    "stream",
    "within",
]


def plan(call: Call, catalogue: Catalogue, health: HealthOf | None = None) -> Plan:
    """Which deployments could answer, in which order, each with the most it can cost. CPU only.

    `health` tells what was measured of a deployment lately; by default what this process knows. Raises
    `UnknownModel`, `ModelNotAllowed`, `Unpriced`, `ContextExceeded`, `NotCapable`, `TooDear` or `NoCandidates`.
    """
    return planning.plan(call, catalogue, health or reader())


def least_nanousd(plan: Plan) -> int:
    """What must be set aside at least, so that a first choice can be asked."""
    return planning.least_nanousd(plan)


def within(plan: Plan, amount_nanousd: int) -> Plan:
    """The plan without the candidates that could cost more than that, which is `least_nanousd` at least."""
    return planning.within(plan, amount_nanousd)


def stream(
    plan: Plan,
    admission: Admission,
    gate: Gate,
    prompt: Prompt,
    deadlines: Deadlines,
    rescue: Rescue = Rescue.RESTART,
) -> AsyncGenerator[Chunk, None]:
    """The answer, chunk by chunk; `Finished` is the last, and a stream without it did not end well.

    The only place that calls a provider. `gate.begin` is awaited before each of at most four attempts, and `gate.ended`
    called once for each that began. An attempt that dies is followed by another, on the next candidate or after a
    back-off; if anything was yielded before, `Restarted` says that it is void. With `Rescue.CONTINUE` nothing is ever
    void: what follows goes on from there, or `StreamBroken` is raised. Closing the generator (use `aclosing`) or
    cancelling its task closes the call upstream at once.

    Where the tenant's caches hold an answer to this call it is yielded instead, `Finished.cache` says so, and no
    attempt is made: the gate is not asked.

    What the workspace's safety rules block leaves neither way: a prompt of that kind raises `PromptBlocked`, an answer
    ends with the finish reason `content_filter`, and `Screened` tells what was found.

    Where the tenant has a cap on tokens per second, chunks wait for it.

    Raises what `gate.begin` raises; `PromptBlocked` or `ModerationUnreachable`; `NoCandidates`; `TotalTimeout` at the
    deadline of the whole; the last `ProviderFailed` where trying again cannot help, else `AllAttemptsFailed`.
    """
    known = snapshot_in_memory(admission.tenant_id)
    if known is not None and known.is_plain:
        return attempts.stream(plan, admission, gate, prompt, deadlines, rescue)
    answer = partial(caching.stream, rescue=rescue)
    chunks = screening.stream(plan, admission, gate, prompt, deadlines, answer)
    return pacing.stream(admission.tenant_id, time.monotonic() + deadlines.total_seconds, chunks)


async def check_forever() -> None:
    """Check deployments whose breakers are open until this is cancelled. One such duty per worker process."""
    await checks.check_forever(fleet.current())


def stop_sharing() -> None:
    """Tell the fleet what this process counted last. For the end of a process."""
    fleet.close()
