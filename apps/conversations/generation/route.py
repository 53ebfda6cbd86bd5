"""Why an answer came from where it came, as it is stored with the generation and shown to whoever asks."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from apps.billing import services as billing
from apps.routing.contracts import AttemptEnd, Candidate, Choice, Excluded, Finished, Plan, Usage, Verdict, merged


def routed(
    plan: Plan,
    ends: Sequence[AttemptEnd],
    kept: AttemptEnd | None,
    usage: Usage,
    passed_over: Sequence[Excluded] = (),
    served: Finished | None = None,
    verdicts: Sequence[Verdict] = (),
) -> dict[str, Any]:
    """Who could have answered and for how much, what ruled others out, how they were put in order, what was tried.

    `kept` is the attempt whose answer stands, None where none does; `usage` is what it used, by which the alternatives
    are priced; `passed_over` could have answered and was left alone; `served` ends an answer that a cache gave;
    `verdicts` are what screening found.
    """
    place = kept.candidate if kept is not None else served.candidate if served is not None else None
    return {
        "model": plan.model,
        "answered_by": None if place is None else _place(place),
        "choice": None if plan.choice is None else _choice(plan.choice),
        "candidates": [_candidate(one, usage) for one in plan.candidates],
        "excluded": [
            {"provider": one.provider, "model": one.upstream_model, "slug": one.model, "reason": one.reason}
            for one in (*plan.excluded, *passed_over)
        ],
        "attempts": [_attempt(end) for end in ends if not end.candidate.on_the_side],
        "side_calls": [_side_call(end) for end in ends if end.candidate.on_the_side],
        "cache": _hit(served),
        "safety": [one.document() for one in merged(verdicts)],
    }


def _place(candidate: Candidate) -> dict[str, Any]:
    return {
        "slug": candidate.model,
        "name": candidate.model_name or candidate.model,
        "provider": candidate.provider_name,
        "model": candidate.upstream_model,
    }


def _candidate(candidate: Candidate, usage: Usage) -> dict[str, Any]:
    return _place(candidate) | {
        "region": candidate.region,
        "simulated": candidate.simulated,
        "after": candidate.after,
        "input_usd_per_mtok": billing.usd(candidate.price.input_nanousd_per_mtok),
        "output_usd_per_mtok": billing.usd(candidate.price.output_nanousd_per_mtok),
        # Another tokenizer would count a little differently, and its cache would have been cold.
        "would_cost_usd": billing.usd(candidate.price.amount_nanousd(usage)),
    }


def _choice(choice: Choice) -> dict[str, Any]:
    return {
        "kind": choice.kind,
        "rule": choice.rule,
        "difficulty": None if choice.difficulty is None else asdict(choice.difficulty),
        "ranking": [
            {**one._asdict(), "likely_cost_usd": billing.usd(one.likely_cost_nanousd)} for one in choice.ranking
        ],
    }


def _hit(served: Finished | None) -> dict[str, Any] | None:
    hit = None if served is None else served.cache
    if hit is None:
        return None
    return {
        "kind": hit.kind.value,
        "age_seconds": round(hit.age_seconds),
        "similarity": round(hit.similarity, 4),
        "saved_usd": billing.usd(hit.saved_nanousd),
        "saved_input_tokens": hit.saved_input_tokens,
        "saved_output_tokens": hit.saved_output_tokens,
    }


def _attempt(end: AttemptEnd) -> dict[str, Any]:
    first = end.first_token_seconds
    return _place(end.candidate) | {
        "state": end.state.value,
        "error": end.error_code,
        "first_token_ms": None if first is None else round(first * 1000),
        "duration_ms": round(end.duration_seconds * 1000),
    }


def _side_call(end: AttemptEnd) -> dict[str, Any]:
    amount_nanousd = end.candidate.price.amount_nanousd(end.usage)
    return _attempt(end) | {"kind": end.candidate.kind, "cost_usd": billing.usd(amount_nanousd)}
