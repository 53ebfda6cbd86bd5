"""Changes of the catalogue, written as `engine`: rows without a tenant are offered to every tenant.

Everything is an upsert, so that a command or a seeding may run again. A price is a version: it is appended where it
differs from the one in force, and never changed.
"""

from dataclasses import asdict, fields
from urllib.parse import urlsplit
from uuid import UUID

from django.db import connections, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.text import slugify

from apps.problems import NotFound
from apps.routing import provider_keys
from apps.routing.catalogue_audit import COMMAND_LINE, note, state
from apps.routing.contracts import NewPrice, RegisteredModel
from apps.routing.errors import ProviderAddressRefused, Unpriced
from apps.routing.models import Deployment, LanguageModel, Price, Provider
from apps.routing.queues import LITELLM
from apps.routing.selectors import invalidate
from apps.tenants.audit import Actor

_HUES = 8
_NO_PRICE = NewPrice(0, 0)  # never stored: zeros are a price only where they are said to be free


def add_provider(
    *,
    name: str,
    base_url: str,
    key: str | None = None,
    slug: str | None = None,
    tenant_id: UUID | None = None,
    simulated: bool = False,
    adapter: str = Provider.Adapter.OPENAI_COMPATIBLE,
    actor: Actor = COMMAND_LINE,
) -> UUID:
    """Add a provider or change the one with that slug, and return its id. `key` None leaves a stored key as it is.

    Raises `ProviderAddressRefused` where the address is not usable, or not through this adapter, or changes while the
    stored key was not given again: a key is never sent to an address it was not given for.
    """
    checked_adapter(adapter, tenant_id)
    address = checked_base_url(base_url, adapter)
    sealable = None if key is None else checked_key(key)
    slug = slug or slugify(name)
    if not slug:
        raise ProviderAddressRefused("The name needs a letter or a digit.", fields={"name": ["Use letters or digits."]})
    with transaction.atomic(using="engine"):
        one_writer()
        row = Provider.objects.using("engine").filter(owned_by(tenant_id), slug=slug).first()
        before = None if row is None else state(row)
        if row is None:
            row = Provider(tenant_id=tenant_id, slug=slug)
        elif sealable is None and row.sealed_key and row.base_url != address:
            raise ProviderAddressRefused(
                "The address changes, so give the key again.", fields={"key": ["Give it again for the new address."]}
            )
        row.name, row.base_url, row.adapter, row.simulated, row.enabled = name, address, adapter, simulated, True
        key_given = sealable is not None and not provider_keys.holds(row.id, row.sealed_key, sealable)
        if sealable is not None:
            row.sealed_key = provider_keys.seal(row.id, sealable)
        row.save(using="engine")
        note(row, before, actor, key_given=key_given)
    invalidate(tenant_id)
    return row.id


def register_model(
    *,
    provider_id: UUID,
    upstream_model: str,
    price: NewPrice,
    slug: str | None = None,
    name: str | None = None,
    description: str | None = None,
    hue: int | None = None,
    context_tokens: int | None = None,
    max_output_tokens: int | None = None,
    reasoning: bool | None = None,
    position: int | None = None,
    priority: int | None = None,
    actor: Actor = COMMAND_LINE,
) -> RegisteredModel:
    """Offer a provider's model under `slug` (by default the upstream name), to the provider's tenant or to all.

    What is None stays as it is, or takes the default of a new row; a new model takes the hue fewest models have.
    Raises `NotFound` for an unknown provider and `Unpriced` for two zeros that are not said to be free.
    """
    if not price.free and price.input_nanousd_per_mtok == 0 and price.output_nanousd_per_mtok == 0:
        raise Unpriced("Give a price above zero, or say that the model is free.")
    given = {
        "name": name,
        "description": description,
        "hue": hue,
        "context_tokens": context_tokens,
        "max_output_tokens": max_output_tokens,
        "reasoning": reasoning,
        "position": position,
    }
    with transaction.atomic(using="engine"):
        one_writer()
        provider = Provider.objects.using("engine").filter(id=provider_id).first()
        if provider is None:
            raise NotFound("There is no such provider. Add it first.")
        model = _model(
            provider,
            slug or upstream_model,
            {name: value for name, value in given.items() if value is not None},
            actor,
        )
        deployment, created = _deployment(provider, model, upstream_model, priority, actor)
        repriced = reprice(deployment, price, actor)
    invalidate(provider.tenant_id)
    return RegisteredModel(model.id, deployment.id, created, repriced)


def checked_adapter(adapter: str, tenant_id: UUID | None) -> None:
    """Raise `ProviderAddressRefused` where a tenant's own provider would be called without the guard on addresses."""
    if adapter == LITELLM and tenant_id is not None:
        message = (
            "A workspace's own provider cannot be called through litellm, whose connections nobody guards. Use its "
            "OpenAI-compatible address, or offer the provider to every workspace."
        )
        raise ProviderAddressRefused(message, fields={"adapter": [message]})


def checked_base_url(text: str, adapter: str = "") -> str:
    """The address without its trailing slash; one without a path means `/v1`, but for litellm, which knows the paths.

    Raises `ProviderAddressRefused`.
    """
    address = text.strip().rstrip("/")
    try:
        parts = urlsplit(address)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        has_port = False
    if not has_port or parts.scheme not in ("http", "https") or not parts.hostname:
        raise _refused("Give an address that begins with http:// or https:// and names a host.")
    if parts.username or parts.password:
        raise _refused("Give the key as the key; an address is shown to administrators and must not hold it.")
    if parts.query or parts.fragment or any(character.isspace() for character in address):
        raise _refused("Give the address without spaces, “?” and “#”.")
    return address if parts.path or adapter == LITELLM else f"{address}/v1"


def checked_key(text: str) -> str:
    """The key without surrounding space. Raises `ProviderAddressRefused` for what cannot travel in a header."""
    key = text.strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ProviderAddressRefused("The key holds characters that no key has.", fields={"key": ["Copy it again."]})
    return key


def owned_by(tenant_id: UUID | None) -> Q:
    """Rows of that tenant, or those offered to everybody."""
    return Q(tenant__isnull=True) if tenant_id is None else Q(tenant_id=tenant_id)


def _refused(message: str) -> ProviderAddressRefused:
    return ProviderAddressRefused(message, fields={"base_url": [message]})


def one_writer() -> None:
    """Catalogue changes are rare: one at a time, so that two upserts of one row never meet."""
    with connections["engine"].cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('routing.catalogue'))")


def _model(provider: Provider, slug: str, given: dict[str, object], actor: Actor) -> LanguageModel:
    models = LanguageModel.objects.using("engine").filter(owned_by(provider.tenant_id))
    row = models.filter(slug=slug).first()
    before = None if row is None else state(row)
    if row is None:
        row = LanguageModel(tenant_id=provider.tenant_id, slug=slug, name=slug, hue=next_hue())
    for field, value in given.items():
        setattr(row, field, value)
    row.enabled = True
    row.save(using="engine")
    note(row, before, actor)
    return row


def _deployment(
    provider: Provider, model: LanguageModel, upstream_model: str, priority: int | None, actor: Actor
) -> tuple[Deployment, bool]:
    """The model at the provider, switched on, and whether it is new."""
    named = {"model": model, "provider": provider, "upstream_model": upstream_model}
    row = Deployment.objects.using("engine").filter(**named).first()
    before = None if row is None else state(row)
    if row is None:
        row = Deployment(**named)
    row.tenant_id, row.enabled = provider.tenant_id, True
    if priority is not None:
        row.priority = priority
    row.save(using="engine")
    note(row, before, actor)
    return row, before is None


def next_hue() -> int:
    """The colour that fewest models have."""
    taken = list(LanguageModel.objects.using("engine").values_list("hue", flat=True))
    return min(range(1, _HUES + 1), key=lambda hue: (taken.count(hue), hue))


def reprice(deployment: Deployment, price: NewPrice, actor: Actor) -> bool:
    """Append the price unless it is in force already."""
    wanted = asdict(price)
    if asdict(price_in_force(deployment) or _NO_PRICE) == wanted:
        return False
    version = Price.objects.using("engine").create(tenant_id=deployment.tenant_id, deployment=deployment, **wanted)
    note(version, None, actor)
    return True


def price_in_force(deployment: Deployment) -> NewPrice | None:
    """The price that the deployment's owner asks at this moment; None where there is none."""
    current = (
        Price.objects.using("engine")
        .filter(owned_by(deployment.tenant_id), deployment=deployment, valid_from__lte=Now())
        .order_by("-valid_from", "-id")
        .first()
    )
    return (
        None
        if current is None
        else NewPrice(**{field.name: getattr(current, field.name) for field in fields(NewPrice)})
    )
