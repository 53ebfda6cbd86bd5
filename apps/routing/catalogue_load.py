"""A catalogue file made true: an upsert of everything it names, in one transaction, with every change audited.

What the file does not name is left alone, and so is what an entry does not say. Nothing is ever deleted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from apps.problems import Problem
from apps.routing import provider_keys
from apps.routing.catalogue_amounts import price_text
from apps.routing.catalogue_audit import COMMAND_LINE, note, state
from apps.routing.catalogue_file import CatalogueFile, DeploymentEntry, ModelEntry, PolicyEntry, ProviderEntry
from apps.routing.catalogue_sections import Faults
from apps.routing.models import Deployment, LanguageModel, Provider, RoutingPolicy
from apps.routing.registration import (
    checked_adapter,
    checked_base_url,
    checked_key,
    next_hue,
    one_writer,
    owned_by,
    price_in_force,
    reprice,
)
from apps.routing.selectors import invalidate
from apps.tenants.audit import Actor

Row = TypeVar("Row", Provider, LanguageModel, Deployment, RoutingPolicy)


@dataclass(frozen=True, slots=True)
class Change:
    """`what` is added, changed or repriced; `details` say it column by column."""

    what: str
    kind: str
    name: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Loaded:
    """What loading changed, or would change; how many entries were as the file says; which providers wait for what."""

    changes: tuple[Change, ...]
    unchanged: int
    waiting: tuple[str, ...]


def load_catalogue(
    file: CatalogueFile,
    *,
    environment: Mapping[str, str],
    tenant_id: UUID | None = None,
    dry_run: bool = False,
    actor: Actor = COMMAND_LINE,
) -> Loaded:
    """Bring the catalogue to what the file says. A dry run does the same and takes it back.

    `environment` holds the keys and addresses that the file names. Raises `CatalogueFileRefused` for names that nothing
    has, for an address or key that cannot be used, and for a provider that moves without its key.
    """
    with transaction.atomic(using="engine"):
        one_writer()
        loading = _Loading(file, environment, tenant_id, actor)
        loading.run()
        if dry_run:
            transaction.set_rollback(True, using="engine")
    if not dry_run:
        invalidate(tenant_id)
    return Loaded(tuple(loading.changes), loading.unchanged, tuple(loading.waiting))


class _Loading:
    def __init__(
        self, file: CatalogueFile, environment: Mapping[str, str], tenant_id: UUID | None, actor: Actor
    ) -> None:
        self._file, self._environment, self._tenant_id, self._actor = file, environment, tenant_id, actor
        self._faults = Faults()
        self._providers: dict[str, Provider] = {}
        self.changes: list[Change] = []
        self.unchanged = 0
        self.waiting: list[str] = []

    def run(self) -> None:
        self._check_names()
        self._faults.settle()
        for provider in self._file.providers:
            self._provider(provider)
        self._faults.settle()
        for model in self._file.models:
            self._model(model)
        for policy in self._file.policies:
            self._policy(policy)

    def _check_names(self) -> None:
        """Names that entries point at must be in the file or in the catalogue already."""
        own = owned_by(self._tenant_id)
        seen = own | Q(tenant__isnull=True)
        stored = Provider.objects.using("engine").filter(own)
        self._providers = {row.slug: row for row in stored}
        providers = {one.slug for one in self._file.providers} | set(self._providers)
        models = {one.slug for one in self._file.models}
        models |= set(LanguageModel.objects.using("engine").filter(seen).values_list("slug", flat=True))
        for model in self._file.models:
            for kind, slugs in model.values.get("fallbacks", {}).items():
                self._known(slugs, models, f"{model.place}.fallbacks.{kind}", "model")
            for one in model.deployments:
                self._known([one.provider], providers, f"{one.place}.provider", "provider")
        for policy in self._file.policies:
            self._known(policy.values.get("models_chosen_from", ()), models, f"{policy.place}.models", "model")
            self._known(policy.values.get("weights", ()), models, f"{policy.place}.weights", "model")
            if policy.slug in models:
                self._faults.add(f"{policy.place}.slug", "is a model's name, which a policy cannot take over")

    def _known(self, named: Any, known: set[str], place: str, what: str) -> None:
        for one in named:
            if one not in known:
                self._faults.add(place, f"there is no {what} “{one}”")

    def _provider(self, entry: ProviderEntry) -> None:
        row = self._providers.get(entry.slug)
        before = None if row is None else state(row)
        if row is None:
            row = Provider(tenant_id=self._tenant_id, slug=entry.slug, name=entry.slug)
        adapter = entry.values.get("adapter", row.adapter)
        try:
            checked_adapter(adapter, self._tenant_id)
            key = checked_key(self._environment.get(entry.key_env, "")) if entry.key_env else ""
            given = self._environment.get(entry.base_url_env, "").strip() if entry.base_url_env else ""
            address = checked_base_url(given, adapter) if given else _address(entry, row)
        except Problem as refused:
            self._faults.add(entry.place, f"is refused, with what the environment says: {refused.detail}")
            return
        waited = _lacks(entry, row, entry.base_url if before is None else row.base_url, "")
        moves = before is not None and row.base_url != address
        if moves and row.sealed_key and not key:
            self._faults.add(entry.place, f"the address changes, so give the key again in {entry.key_env or 'key_env'}")
            return
        key_given = bool(key) and not provider_keys.holds(row.id, row.sealed_key, key)
        if key and (key_given or moves):
            row.sealed_key = provider_keys.seal(row.id, key)
        lacks = _lacks(entry, row, address, given)
        switched_on = True if waited else row.enabled
        for name, value in {"enabled": switched_on, **entry.values, "base_url": address}.items():
            setattr(row, name, value)
        if lacks:
            row.enabled = False
            self.waiting.append(f"Provider {entry.slug} is switched off: {' and '.join(lacks)} not set.")
        self._save(row, before, "provider", entry.slug, key_given=key_given)
        self._providers[entry.slug] = row

    def _model(self, entry: ModelEntry) -> None:
        row = LanguageModel.objects.using("engine").filter(owned_by(self._tenant_id), slug=entry.slug).first()
        before = None if row is None else state(row)
        if row is None:
            row = LanguageModel(tenant_id=self._tenant_id, slug=entry.slug, name=entry.slug, hue=next_hue())
        _set(row, entry.values)
        self._save(row, before, "model", entry.slug)
        for one in entry.deployments:
            self._deployment(row, one)

    def _deployment(self, model: LanguageModel, entry: DeploymentEntry) -> None:
        named = {"model": model, "provider": self._providers[entry.provider], "upstream_model": entry.upstream_model}
        row = Deployment.objects.using("engine").filter(**named).first()
        before = None if row is None else state(row)
        if row is None:
            row = Deployment(tenant_id=self._tenant_id, **named)
        _set(row, entry.values)
        name = f"{model.slug} at {entry.provider} ({entry.upstream_model})"
        self._save(row, before, "deployment", name)
        old = price_in_force(row)
        if reprice(row, entry.price, self._actor):
            told = price_text(entry.price) if old is None else f"{price_text(old)} -> {price_text(entry.price)}"
            self.changes.append(Change("repriced" if old else "added", "price", name, (told,)))

    def _policy(self, entry: PolicyEntry) -> None:
        row = RoutingPolicy.objects.using("engine").filter(owned_by(self._tenant_id), slug=entry.slug).first()
        before = None if row is None else state(row)
        if row is None:
            row = RoutingPolicy(tenant_id=self._tenant_id, slug=entry.slug, name=entry.slug)
        _set(row, entry.values)
        self._save(row, before, "policy", entry.slug)

    def _save(
        self, row: Row, before: Mapping[str, Any] | None, kind: str, name: str, *, key_given: bool = False
    ) -> None:
        """Write the row if anything of it changed, and say so in the audit chain and in the result."""
        after = state(row)
        details = (
            []
            if before is None
            else [
                f"{column}: {_shown(before[column])} -> {_shown(after[column])}"
                for column in after
                if before[column] != after[column]
            ]
        )
        if key_given:
            details.append("key given")
        if before is not None and not details:
            self.unchanged += 1
            return
        row.save(using="engine")
        note(row, before, self._actor, key_given=key_given)
        self.changes.append(Change("added" if before is None else "changed", kind, name, tuple(details)))


def _set(row: LanguageModel | Deployment | RoutingPolicy, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(row, name, value)


def _address(entry: ProviderEntry, row: Provider) -> str:
    """Where the environment names no address: the one that is stored, if the file leaves it to the environment."""
    return row.base_url if entry.base_url_env and row.base_url else entry.base_url


def _lacks(entry: ProviderEntry, row: Provider, address: str, given: str) -> list[str]:
    """Names of the variables without which the provider cannot be called. One that works is not asked again."""
    lacks = []
    if entry.key_env and not row.sealed_key:
        lacks.append(entry.key_env)
    running = bool(row.base_url) and row.enabled
    if entry.base_url_env and not given and not running and address == entry.base_url:
        lacks.append(entry.base_url_env)
    return lacks


def _shown(value: Any) -> str:
    return "nothing" if value in (None, "", [], {}) else str(value)
