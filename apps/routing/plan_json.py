"""A plan as JSON, for the row that carries it from admission to the worker."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from uuid import UUID

from apps.routing.contracts import (
    CacheUse,
    Candidate,
    Choice,
    Difficulty,
    Excluded,
    FallbackKind,
    ModelKind,
    Plan,
    PolicyKind,
    PriceVersion,
    Ranked,
    SideCall,
)


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """The plan as JSON-able values; `plan_from_json` gives it back, equal."""
    return {
        "model": plan.model,
        "model_name": plan.model_name,
        "hue": plan.hue,
        "candidates": [_candidate_to_json(candidate) for candidate in plan.candidates],
        "excluded": [asdict(one) for one in plan.excluded],
        "choice": None if plan.choice is None else _choice_to_json(plan.choice),
        "side": [{"candidate": _candidate_to_json(one.candidate), "calls": one.calls} for one in plan.side],
        "cache": plan.cache.value,
    }


def plan_from_json(document: Mapping[str, Any]) -> Plan:
    """The plan that `plan_to_json` wrote. Raises KeyError, TypeError or ValueError for anything else."""
    return Plan(
        model=document["model"],
        model_name=document["model_name"],
        hue=document["hue"],
        candidates=tuple(_candidate_from_json(one) for one in document["candidates"]),
        excluded=tuple(Excluded(**one) for one in document["excluded"]),
        choice=_choice_from_json(document.get("choice")),
        side=tuple(SideCall(_candidate_from_json(one["candidate"]), one["calls"]) for one in document.get("side", ())),
        cache=CacheUse(document.get("cache", CacheUse.USE)),
    )


def _candidate_to_json(candidate: Candidate) -> dict[str, Any]:
    price = {**asdict(candidate.price), "id": str(candidate.price.id)}
    return {**candidate._asdict(), "deployment_id": str(candidate.deployment_id), "price": price}


def _candidate_from_json(document: Mapping[str, Any]) -> Candidate:
    fields = {name: value for name, value in document.items() if not _is_old(name)}
    after = document.get("after")
    typed = {
        "deployment_id": UUID(document["deployment_id"]),
        "price": _price_from_json(document),
        "after": None if after is None else FallbackKind(after),
        "kind": ModelKind(document.get("kind", ModelKind.CHAT)),
    }
    return Candidate(**{**fields, **typed})


def _choice_to_json(choice: Choice) -> dict[str, Any]:
    return {**asdict(choice), "ranking": [one._asdict() for one in choice.ranking]}


def _choice_from_json(document: Mapping[str, Any] | None) -> Choice | None:
    if document is None:
        return None
    hard = document["difficulty"]
    return Choice(
        kind=PolicyKind(document["kind"]),
        rule=document["rule"],
        ranking=tuple(Ranked(**one) for one in document["ranking"]),
        difficulty=None if hard is None else Difficulty(**hard),
    )


def _price_from_json(document: Mapping[str, Any]) -> PriceVersion:
    if price := document.get("price"):
        return PriceVersion(**{**price, "id": UUID(price["id"])})
    # Rows of an earlier version: three rates, beside the other fields.
    fresh, spoken = document["input_nanousd_per_mtok"], document["output_nanousd_per_mtok"]
    return PriceVersion(
        id=UUID(document["price_id"]),
        input_nanousd_per_mtok=fresh,
        cached_input_nanousd_per_mtok=document["cached_input_nanousd_per_mtok"],
        cache_write_nanousd_per_mtok=fresh,
        output_nanousd_per_mtok=spoken,
        reasoning_nanousd_per_mtok=spoken,
        free=not (fresh or spoken),
    )


def _is_old(name: str) -> bool:
    return name == "price_id" or name.endswith("_nanousd_per_mtok")
