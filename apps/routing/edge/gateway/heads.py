"""What the head of an answer tells beside the answer."""

import math
from collections.abc import Iterable

from apps.billing.contracts import Allowance
from apps.billing.errors import LimitReached
from apps.limits.contracts import LimitKind
from apps.problems import Problem
from apps.routing.repeats.errors import AnswerNotKept
from apps.routing.route_header import NAME as ROUTE
from apps.routing.route_header import member
from apps.routing.stateless.call import OpenCall
from apps.routing.stateless.vectors import Embedded

_COUNTED = {LimitKind.REQUESTS_PER_MINUTE.value: "requests", LimitKind.TOKENS_PER_MINUTE.value: "tokens"}
EVERY = {"cache-control": "no-store", "x-content-type-options": "nosniff", "vary": "accept-encoding"}
STREAM = {"content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no"}


def of(opened: OpenCall) -> dict[str, str]:
    """Who answers, as far as it is known by now."""
    by, lane = opened.answering, opened.lanes[0]
    state = "answering" if lane.finished is None else "completed"
    told = member(
        by.model,
        asked=opened.plan.model,
        provider=by.provider_name,
        state=state,
        attempts=len(lane.gate.ends),
    )
    return {ROUTE.lower(): told, **limits(lane.admission.allowances)}


def of_vectors(made: Embedded) -> dict[str, str]:
    """Who made vectors."""
    by = made.candidate
    told = member(by.model, asked=made.plan.model, provider=by.provider_name, state="completed", attempts=made.attempts)
    return {ROUTE.lower(): told, **limits(made.admission.allowances)}


def of_refusal(problem: Problem) -> dict[str, str]:
    """Which limit said no, where one did; whether clients may repeat what looks as if they might."""
    if isinstance(problem, AnswerNotKept):
        return {"x-should-retry": "false"}  # official clients repeat other conflicts
    if not isinstance(problem, LimitReached) or not problem.kind:
        return {}
    return limits([Allowance(problem.kind, "", problem.limit, problem.remaining, problem.reset_seconds)])


def limits(allowances: Iterable[Allowance]) -> dict[str, str]:
    """The tightest limits per minute as OpenAI tells them; what else limits a caller has no such header."""
    tightest: dict[str, Allowance] = {}
    for one in allowances:
        name = _COUNTED.get(one.kind)
        if name is not None and (name not in tightest or one.remaining < tightest[name].remaining):
            tightest[name] = one
    told = {}
    for name, one in tightest.items():
        told[f"x-ratelimit-limit-{name}"] = str(one.limit)
        told[f"x-ratelimit-remaining-{name}"] = str(one.remaining)
        told[f"x-ratelimit-reset-{name}"] = duration(one.reset_seconds)
    return told


def duration(seconds: float) -> str:
    """`20ms`, `1.5s`, `6m0s`: as OpenAI writes them, rounded up."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds * 10) / 10, 60)
    return f"{minutes:.0f}m{rest:g}s" if minutes else f"{rest:g}s"
