"""A plan as JSON, for the row that carries it from admission to the worker."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from apps.routing.contracts import Candidate, Excluded, Plan


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """The plan as JSON-able values; `plan_from_json` gives it back, equal."""
    return {
        "model": plan.model,
        "model_name": plan.model_name,
        "hue": plan.hue,
        "candidates": [_candidate_to_json(candidate) for candidate in plan.candidates],
        "excluded": [
            {"provider": one.provider, "upstream_model": one.upstream_model, "reason": one.reason}
            for one in plan.excluded
        ],
    }


def plan_from_json(document: Mapping[str, Any]) -> Plan:
    """The plan that `plan_to_json` wrote. Raises KeyError, TypeError or ValueError for anything else."""
    return Plan(
        model=document["model"],
        model_name=document["model_name"],
        hue=document["hue"],
        candidates=tuple(_candidate_from_json(one) for one in document["candidates"]),
        excluded=tuple(Excluded(**one) for one in document["excluded"]),
    )


def _candidate_to_json(candidate: Candidate) -> dict[str, Any]:
    return {
        "deployment_id": str(candidate.deployment_id),
        "provider": candidate.provider,
        "provider_name": candidate.provider_name,
        "adapter": candidate.adapter,
        "model": candidate.model,
        "upstream_model": candidate.upstream_model,
        "simulated": candidate.simulated,
        "price_id": None if candidate.price_id is None else str(candidate.price_id),
        "input_nanousd_per_mtok": candidate.input_nanousd_per_mtok,
        "cached_input_nanousd_per_mtok": candidate.cached_input_nanousd_per_mtok,
        "output_nanousd_per_mtok": candidate.output_nanousd_per_mtok,
        "input_tokens_bound": candidate.input_tokens_bound,
        "output_tokens_bound": candidate.output_tokens_bound,
    }


def _candidate_from_json(document: Mapping[str, Any]) -> Candidate:
    price_id = document["price_id"]
    ids = {
        "deployment_id": UUID(document["deployment_id"]),
        "price_id": None if price_id is None else UUID(price_id),
    }
    return Candidate(**{**document, **ids})
