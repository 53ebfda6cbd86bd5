"""The catalogue as a file: YAML in, checked entries out. Nothing here asks the database.

An entry holds only what the file says; what it leaves out stays as it is, or takes the default of a new row. Every
fault is told with its place (`models[2] (gpt-5).deployments[0].price.input: ...`), all faults at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.problems import Problem
from apps.routing.catalogue_amounts import decimal_text, nanousd
from apps.routing.catalogue_sections import Faults, Kinds, Section, parsed
from apps.routing.contracts import FallbackKind, NewPrice
from apps.routing.models import Deployment, LanguageModel, Provider, RoutingPolicy
from apps.routing.price_facts import Facts, published_facts
from apps.routing.registration import checked_base_url

Values = Mapping[str, Any]
_FACTS = "litellm/"


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """`key_env` and `base_url_env` name environment variables; `base_url` stands where the second is not set."""

    place: str
    slug: str
    values: Values
    base_url: str
    key_env: str = ""
    base_url_env: str = ""


@dataclass(frozen=True, slots=True)
class DeploymentEntry:
    place: str
    provider: str
    upstream_model: str
    values: Values
    price: NewPrice


@dataclass(frozen=True, slots=True)
class ModelEntry:
    place: str
    slug: str
    values: Values
    deployments: tuple[DeploymentEntry, ...]


@dataclass(frozen=True, slots=True)
class PolicyEntry:
    place: str
    slug: str
    values: Values


@dataclass(frozen=True, slots=True)
class CatalogueFile:
    providers: tuple[ProviderEntry, ...]
    models: tuple[ModelEntry, ...]
    policies: tuple[PolicyEntry, ...]


def read(text: str) -> CatalogueFile:
    """The file's entries. Raises `CatalogueFileRefused` with everything that is wrong in it."""
    document = parsed(text)
    faults = Faults()
    found = Section(faults, "", document, _FILE)
    read = CatalogueFile(
        tuple(_provider(one) for one in found.sections("providers", _PROVIDER)),
        tuple(_model(one) for one in found.sections("models", _MODEL)),
        tuple(_policy(one) for one in found.sections("policies", _POLICY)),
    )
    _names(read, faults)
    faults.settle()
    return read


_AMOUNT = (str, int)
_FILE: Kinds = {"providers": list, "models": list, "policies": list}
_PROVIDER: Kinds = {
    "slug": str,
    "name": str,
    "adapter": str,
    "base_url": str,
    "base_url_env": str,
    "key_env": str,
    "simulated": bool,
    "enabled": bool,
}
_MODEL: Kinds = {
    "slug": str,
    "name": str,
    "description": str,
    "kind": str,
    "hue": int,
    "facts": str,
    "context_tokens": int,
    "max_output_tokens": int,
    "reasoning": bool,
    "tier": str,
    "tools": bool,
    "vision": bool,
    "json_schema": bool,
    "prefill": bool,
    "languages": list,
    "safety_class": str,
    "strength": int,
    "fallbacks": dict,
    "position": int,
    "enabled": bool,
    "deployments": list,
}
_DEPLOYMENT: Kinds = {
    "provider": str,
    "upstream_model": str,
    "region": str,
    "residency": str,
    "weight": int,
    "priority": int,
    "max_parallel": int,
    "max_waiting": int,
    "context_tokens": int,
    "max_output_tokens": int,
    "enabled": bool,
    "free": bool,
    "price": (dict, str),
}
_PRICE: Kinds = {
    "input": _AMOUNT,
    "cached_input": _AMOUNT,
    "cache_write": _AMOUNT,
    "output": _AMOUNT,
    "reasoning": _AMOUNT,
}
_POLICY: Kinds = {
    "slug": str,
    "name": str,
    "description": str,
    "hue": int,
    "kind": str,
    "models": list,
    "weights": dict,
    "hard_from": int,
    "safety_class": str,
    "max_first_token_ms": int,
    "max_cost_usd": _AMOUNT,
    "position": int,
    "enabled": bool,
}


def _provider(one: Section) -> ProviderEntry:
    address = one.needed("base_url")
    try:
        address = checked_base_url(address, one.get("adapter", "")) if address else ""
    except Problem as refused:
        one.fault("base_url", refused.detail)
    for key in ("key_env", "base_url_env"):
        # A key itself has no business in a file.
        if key in one and not one.get(key).replace("_", "").isalnum():
            one.fault(key, "must be the name of an environment variable")
    return ProviderEntry(
        place=one.place,
        slug=one.needed("slug"),
        values=one.columns(Provider, ("slug", "name", "adapter", "simulated", "enabled")),
        base_url=address,
        key_env=one.get("key_env", ""),
        base_url_env=one.get("base_url_env", ""),
    )


_LIMITS = ("context_tokens", "max_output_tokens")
_ABILITIES = ("reasoning", "tools", "vision", "json_schema", "prefill")
_SHOWN = ("slug", "name", "description", "kind", "hue", "tier", "strength", "position", "enabled")


def _model(one: Section) -> ModelEntry:
    slug = one.needed("slug")
    values = one.columns(LanguageModel, (*_SHOWN, *_LIMITS, *_ABILITIES))
    facts = _facts(one, "facts", one.get("facts")) if "facts" in one else None
    if facts is not None:
        values = {name: getattr(facts, name) for name in (*_LIMITS, *_ABILITIES)} | values
    if "languages" in one:
        values |= one.checked(LanguageModel, {"languages": one.texts("languages")})
    values |= _safety_class(one)
    if "fallbacks" in one:
        kinds = one.section("fallbacks", {kind.value: list for kind in FallbackKind})
        values["fallbacks"] = {kind.value: kinds.texts(kind) for kind in FallbackKind if kind in kinds}
        if any(slug in slugs for slugs in values["fallbacks"].values()):
            one.fault("fallbacks", "a model cannot be its own fallback")
    rows = one.sections("deployments", _DEPLOYMENT)
    return ModelEntry(one.place, slug, values, tuple(_deployment(row, values) for row in rows))


_PLACED = ("upstream_model", "region", "residency", "weight", "priority", "max_parallel", "max_waiting", "enabled")


def _deployment(one: Section, model: Values) -> DeploymentEntry:
    price, facts = _price(one)
    values = one.columns(Deployment, (*_PLACED, *_LIMITS))
    for name in _LIMITS if facts else ():
        # A provider may offer less of a model than others, and its price may hold for shorter prompts only.
        published = getattr(facts, name)
        if name not in values and published < model.get(name, 0):
            values[name] = published
    return DeploymentEntry(one.place, one.needed("provider"), one.needed("upstream_model"), values, price)


def _price(one: Section) -> tuple[NewPrice, Facts | None]:
    free, given = one.get("free", False), one.get("price")
    if free:
        if given is not None:
            one.fault("free", "contradicts the price beside it")
        return NewPrice(0, 0, free=True), None
    if isinstance(given, str):
        facts = _facts(one, "price", given)
        return (facts.price if facts else NewPrice(0, 0)), facts
    if given is None:
        one.fault("price", "is missing; give one, or “free: true” where it costs nothing")
        return NewPrice(0, 0), None
    amounts = one.section("price", _PRICE)
    for key in ("input", "output"):
        if key not in given:
            amounts.fault(key, "is missing")
    into, out = _amount(amounts, "input"), _amount(amounts, "output")
    price = NewPrice(
        input_nanousd_per_mtok=into or 0,
        output_nanousd_per_mtok=out or 0,
        cached_input_nanousd_per_mtok=_amount(amounts, "cached_input"),
        cache_write_nanousd_per_mtok=_amount(amounts, "cache_write"),
        reasoning_nanousd_per_mtok=_amount(amounts, "reasoning"),
    )
    if into == 0 and out == 0:
        one.fault("price", "is zero; say “free: true” instead where it costs nothing")
    return price, None


def _facts(one: Section, key: str, named: str) -> Facts | None:
    """What is published under `litellm/<name>`; a fault where that is nothing."""
    facts = published_facts(named.removeprefix(_FACTS)) if named.startswith(_FACTS) else None
    if facts is None:
        one.fault(key, f"“{named}” is no published chat model with a price; write {_FACTS}<name of its table>")
    return facts


def _amount(one: Section, key: str) -> int | None:
    if key not in one:
        return None
    try:
        return nanousd(decimal_text(one.get(key)))
    except ValueError as error:
        one.fault(key, str(error))
        return None


def _safety_class(one: Section) -> dict[str, int]:
    if "safety_class" not in one:
        return {}
    known = {choice.name.lower(): choice.value for choice in LanguageModel.SafetyClass}
    if (named := one.get("safety_class")) not in known:
        one.fault("safety_class", f"must be one of {', '.join(known)}")
    return {"safety_class": known.get(named, 0)}


_NAMED = ("slug", "name", "description", "hue", "kind", "hard_from", "max_first_token_ms", "position", "enabled")


def _policy(one: Section) -> PolicyEntry:
    slug = one.needed("slug")
    one.needed("kind")
    values = one.columns(RoutingPolicy, _NAMED) | _safety_class(one)
    if "models" in one:
        values["models_chosen_from"] = one.texts("models")
    if "max_cost_usd" in one:
        values["max_cost_nanousd"] = _amount(one, "max_cost_usd")
        if values["max_cost_nanousd"] == 0:
            one.fault("max_cost_usd", "must be above zero")
    if "weights" in one:
        values["weights"] = _weights(one)
    elif one.get("kind") == RoutingPolicy.Kind.WEIGHTED:
        one.fault("weights", "is missing; the kind “weighted” draws by them")
    return PolicyEntry(one.place, slug, values)


def _weights(one: Section) -> dict[str, float]:
    shares: dict[str, float] = {}
    for slug, share in one.get("weights").items():
        try:
            shares[str(slug)] = float(decimal_text(share))
        except ValueError as error:
            one.fault(f"weights.{slug}", str(error))
    if shares and not sum(shares.values()):
        one.fault("weights", "are all zero")
    return shares


def _names(read: CatalogueFile, faults: Faults) -> None:
    """Every name is given once; a policy is chosen like a model, so it has none of a model's names."""
    seen: dict[tuple[str, ...], str] = {}

    def once(place: str, what: str, *name: str) -> None:
        if all(name) and (first := seen.setdefault((what, *name), place)) != place:
            faults.add(place, f"{first} has that {what} already")

    for provider in read.providers:
        once(provider.place, "provider", provider.slug)
    for model in read.models:
        once(model.place, "name", model.slug)
        for one in model.deployments:
            once(one.place, "deployment", model.slug, one.provider, one.upstream_model)
    for policy in read.policies:
        once(policy.place, "name", policy.slug)
