"""`manage.py add_provider`: offer models of a provider to every tenant, or to one.

Running it again changes what is there. Exit codes: 0 done, 1 refused, 2 wrong usage, 3 the provider did not answer.
"""

import asyncio
import os
import sys
from argparse import ArgumentParser
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.problems import Problem
from apps.routing import services
from apps.routing.contracts import NewPrice, ProviderAccess
from apps.routing.errors import ProviderFailed
from apps.routing.models import Provider
from apps.routing.price_facts import Facts, anthropic_facts, openai_facts, published_facts
from apps.routing.providers.listing import upstream_models
from apps.routing.queues import KNOWN_ADDRESS, LITELLM
from apps.routing.registration import checked_base_url, checked_key
from apps.tenants.audit import Actor
from apps.tenants.selectors import tenant_id_by_slug

OPENAI, ANTHROPIC = "openai", "anthropic"
KINDS = (OPENAI, ANTHROPIC, "ollama", "vllm", "openai-compatible", LITELLM)
# Those whose address, key's variable and prices are known.
_ADDRESSES = {OPENAI: "https://api.openai.com/v1", ANTHROPIC: "https://api.anthropic.com/v1"}
# Through litellm, a model goes by the name that litellm has for it: gemini/gemini-2.5-flash.
_FACTS = {OPENAI: openai_facts, ANTHROPIC: anthropic_facts, LITELLM: published_facts}
_NANOUSD_PER_USD = 1_000_000_000
_LISTING_TIMEOUT_SECONDS = 10.0
_UNREACHABLE = 3


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A model to offer: the provider's name for it, ours, and what lists show."""

    upstream_model: str
    slug: str
    name: str


class Command(BaseCommand):
    help = "Add a provider, or change one, and offer its models."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME", help="what people read; its slug identifies the provider")
        parser.add_argument("--kind", choices=KINDS, default="openai-compatible")
        parser.add_argument(
            "--adapter", choices=Provider.Adapter.values, help="the wire format, where the kind does not say it"
        )
        parser.add_argument(
            "--base-url", help="up to and with /v1; openai, anthropic, ollama and litellm have a default"
        )
        key = parser.add_mutually_exclusive_group()
        key.add_argument("--key-env", metavar="VAR", help="environment variable that holds the provider's key")
        key.add_argument("--key-stdin", action="store_true", help="read the provider's key from standard input")
        parser.add_argument(
            "--model",
            action="append",
            default=[],
            metavar="UPSTREAM[=SLUG[=NAME]]",
            help="a model to offer, as the provider names it; repeat for more",
        )
        parser.add_argument("--discover", action="store_true", help="ask the provider for its models")
        parser.add_argument("--input-usd-per-mtok", type=_usd, metavar="USD", help="per million input tokens")
        parser.add_argument("--output-usd-per-mtok", type=_usd, metavar="USD", help="per million output tokens")
        parser.add_argument("--free", action="store_true", help="the models cost nothing")
        parser.add_argument("--context-tokens", type=int, metavar="N", help="how much the models read at most")
        parser.add_argument("--max-output-tokens", type=int, metavar="N", help="how much they write at most")
        parser.add_argument("--tenant", metavar="SLUG", help="offer them to this tenant alone")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._add(options)
        except ProviderFailed as failed:
            raise CommandError(failed.detail, returncode=_UNREACHABLE) from failed
        except Problem as problem:
            raise CommandError(problem.detail) from problem

    def _add(self, options: dict[str, Any]) -> None:
        wanted = [_wanted(text) for text in options["model"]]
        if not wanted and not options["discover"]:
            raise CommandError("Name at least one --model, or let --discover find them.", returncode=2)
        price = _price(options)
        if options["discover"] and _adapter(options) == LITELLM:
            raise CommandError("litellm lists no models. Name them with --model, as litellm names them.", returncode=2)
        address = checked_base_url(_base_url(options), _adapter(options))
        access = ProviderAccess(address, _key(options), trusted=not options["tenant"])
        if options["discover"]:
            wanted = self._discover(options, access, wanted)
        offers = [(one, *self._terms(one, options, price)) for one in wanted]
        actor = Actor.command("add_provider")
        provider_id = services.add_provider(
            name=options["name"],
            base_url=access.base_url,
            adapter=_adapter(options),
            key=access.key,
            tenant_id=_tenant(options["tenant"]),
            actor=actor,
        )
        self.stdout.write(f"Provider {options['name']} at {access.base_url}")
        for one, terms, facts in offers:
            done = services.register_model(
                provider_id=provider_id,
                upstream_model=one.upstream_model,
                slug=one.slug,
                name=one.name,
                price=terms,
                context_tokens=options["context_tokens"] or (facts.context_tokens if facts else None),
                max_output_tokens=options["max_output_tokens"] or (facts.max_output_tokens if facts else None),
                reasoning=facts.reasoning if facts else None,
                actor=actor,
            )
            state = "added" if done.created else "new price" if done.repriced else "unchanged"
            self.stdout.write(f"  {one.slug}  {_told(terms)}  ({state})")
        audience = f"tenant {options['tenant']}" if options["tenant"] else "every tenant"
        self.stdout.write(self.style.SUCCESS(f"{len(offers)} model{'s'[: len(offers) != 1]} offered to {audience}."))

    def _discover(self, options: dict[str, Any], access: ProviderAccess, wanted: list[_Wanted]) -> list[_Wanted]:
        """The models to offer: the named ones, which must be on the provider's list, or what of it can be offered."""
        asked = upstream_models(
            access, options["name"], timeout_seconds=_LISTING_TIMEOUT_SECONDS, adapter=_adapter(options)
        )
        listed = asyncio.run(asked)
        self.stdout.write(f"{options['name']} lists {len(listed)} model{'s'[: len(listed) != 1]}:")
        for name in listed:
            self.stdout.write(f"  {name}")
        if missing := [one.upstream_model for one in wanted if one.upstream_model not in listed]:
            raise CommandError(f"{options['name']} does not list {', '.join(missing)}. Choose from the list above.")
        if wanted:
            return wanted
        priced = _price(options) is not None
        if (facts := _FACTS.get(options["kind"])) and not priced:
            # Such a list holds much that does not chat, and snapshots without a published price.
            offered = [name for name in listed if facts(name)]
        else:
            offered = [name for name in listed if not any(word in name.lower() for word in ("embed", "moderat"))]
        if not offered:
            raise CommandError("None of them can be offered. Name one with --model, with its price or --free.")
        return [_wanted(name) for name in offered]

    def _terms(self, one: _Wanted, options: dict[str, Any], price: NewPrice | None) -> tuple[NewPrice, Facts | None]:
        """The model's price and what is published about it. Refuses a model nobody knows the price of."""
        published = _FACTS.get(options["kind"])
        facts = published(one.upstream_model) if published else None
        if price is None and facts is None:
            raise CommandError(
                f"The price of {one.upstream_model} is not known. Give --input-usd-per-mtok and --output-usd-per-mtok, "
                "or --free if it costs nothing."
            )
        return price or facts.price, facts  # type: ignore[union-attr]


def _wanted(text: str) -> _Wanted:
    """`UPSTREAM[=SLUG[=NAME]]`: not a colon, because Ollama's names have one themselves."""
    upstream, _, rest = text.partition("=")
    slug, _, name = rest.partition("=")
    upstream, slug, name = upstream.strip(), slug.strip(), name.strip()
    if not upstream:
        raise CommandError(f"“{text}” names no model.", returncode=2)
    slug = slug or upstream
    return _Wanted(upstream, slug, name or slug)


def _usd(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0:
        raise ValueError(text)
    return amount


def _price(options: dict[str, Any]) -> NewPrice | None:
    """The price the options give, None where they give none."""
    input_usd, output_usd = options["input_usd_per_mtok"], options["output_usd_per_mtok"]
    if options["free"]:
        if input_usd or output_usd:
            raise CommandError("--free and a price contradict each other.", returncode=2)
        return NewPrice(0, 0, free=True)
    if input_usd is None and output_usd is None:
        return None
    if input_usd is None or output_usd is None:
        raise CommandError("Give both prices: --input-usd-per-mtok and --output-usd-per-mtok.", returncode=2)
    if not input_usd and not output_usd:
        raise CommandError("Both prices are zero. If the model costs nothing, say --free.", returncode=2)
    return NewPrice(int(input_usd * _NANOUSD_PER_USD), int(output_usd * _NANOUSD_PER_USD))


def _base_url(options: dict[str, Any]) -> str:
    if options["base_url"]:
        return str(options["base_url"])
    if address := _ADDRESSES.get(options["kind"]):
        return address
    if options["kind"] == LITELLM:
        return KNOWN_ADDRESS
    if options["kind"] == "ollama":
        host = settings.ENV.ollama_host or "127.0.0.1:11434"
        return host if "://" in host else f"http://{host}"
    raise CommandError(f"--kind {options['kind']} needs --base-url.", returncode=2)


def _key(options: dict[str, Any]) -> str | None:
    """The provider's key; never from the command line, which other accounts of the machine can read."""
    if options["key_stdin"]:
        key = sys.stdin.readline()
    elif options["key_env"]:
        key = os.environ.get(options["key_env"], "")
    elif (known := _environments_key(options["kind"])) is not None:
        key = known
    elif options["kind"] in _ADDRESSES:
        raise CommandError(f"{options['name']} asks for a key: --key-env VAR or --key-stdin.", returncode=2)
    else:
        return None
    if not key.strip():
        source = "Standard input" if options["key_stdin"] else f"The variable {options['key_env']}"
        raise CommandError(f"{source} holds no key.")
    return checked_key(key)


def _environments_key(kind: str) -> str | None:
    """The key that the settings hold for that provider."""
    held = {OPENAI: settings.ENV.openai_api_key, ANTHROPIC: settings.ENV.anthropic_api_key}.get(kind)
    return None if held is None else str(held.get_secret_value())


def _adapter(options: dict[str, Any]) -> str:
    if options["adapter"]:
        return str(options["adapter"])
    return {ANTHROPIC: Provider.Adapter.ANTHROPIC, LITELLM: Provider.Adapter.LITELLM}.get(
        options["kind"], Provider.Adapter.OPENAI_COMPATIBLE
    )


def _tenant(slug: str | None) -> Any:
    if slug is None:
        return None
    tenant_id = tenant_id_by_slug(slug)
    if tenant_id is None:
        raise CommandError(f"There is no tenant “{slug}”.")
    return tenant_id


def _told(price: NewPrice) -> str:
    if price.free:
        return "free"
    input_usd = Decimal(price.input_nanousd_per_mtok) / _NANOUSD_PER_USD
    output_usd = Decimal(price.output_nanousd_per_mtok) / _NANOUSD_PER_USD
    return f"${input_usd:f} in, ${output_usd:f} out per million tokens"
