"""What a tenant is offered, read under its own scope."""

import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from apps.routing import selectors, services
from apps.routing.contracts import NewPrice, ProviderAccess
from apps.routing.models import Deployment, LanguageModel, Price, Provider
from apps.tenants.contracts import Principal
from apps.tenants.models import Tenant

PRICE = NewPrice(1_250_000_000, 10_000_000_000, cached_input_nanousd_per_mtok=125_000_000)


def _offer(principal: Principal | None, slug: str, **fields: Any) -> Provider:
    """One model of a provider of its own, for the principal's tenant or for all."""
    tenant_id = principal.tenant_id if principal else None
    provider_id = services.add_provider(
        name=f"Provider of {slug}", base_url="http://127.0.0.1:9/v1", key=f"key of {slug}".replace(" ", "-"),
        tenant_id=tenant_id, simulated=fields.pop("simulated", False),
    )  # fmt: skip
    services.register_model(
        provider_id=provider_id, upstream_model=f"up-{slug}", slug=slug, **{"price": PRICE, **fields}
    )
    return Provider.objects.using("engine").get(id=provider_id)


def _slugs(principal: Principal) -> list[str]:
    selectors.invalidate(principal.tenant_id)
    return [card.slug for card in selectors.models_for(principal)]


def _change(rows: Any, **values: Any) -> None:
    assert rows.using("engine").update(**values) == 1


def test_a_card_shows_the_model_and_the_price_of_its_first_deployment(alice: Principal) -> None:
    _offer(alice, "m", name="Em", description="Good.", hue=5, context_tokens=9, max_output_tokens=8, simulated=True)
    (card,) = [card for card in selectors.models_for(alice) if card.slug == "m"]
    assert (card.name, card.description, card.hue, card.simulated, card.reasoning) == ("Em", "Good.", 5, True, False)
    assert (card.context_tokens, card.max_output_tokens) == (9, 8)
    assert (card.input_usd_per_mtok, card.output_usd_per_mtok) == (Decimal("1.25"), Decimal("10"))


def test_a_tenants_own_models_are_nobody_elses(alice: Principal, mallory: Principal) -> None:
    provider = _offer(alice, "mine")
    deployment = Deployment.objects.using("engine").get(provider=provider)
    assert "mine" in _slugs(alice)
    assert "mine" not in _slugs(mallory)
    assert selectors.snapshot(mallory.tenant_id).access(deployment.id) is None
    assert selectors.snapshot(alice.tenant_id).access(deployment.id) == ProviderAccess(
        "http://127.0.0.1:9/v1", "key-of-mine", trusted=False
    )


def test_a_key_is_stored_sealed_and_shown_nowhere(alice: Principal) -> None:
    provider = _offer(alice, "m")
    deployment = Deployment.objects.using("engine").get(provider=provider)
    assert "key-of-m" not in provider.sealed_key
    access = selectors.snapshot(alice.tenant_id).access(deployment.id)
    assert access is not None
    assert access.key == "key-of-m"
    assert "key-of-m" not in repr(access) + repr(selectors.snapshot(alice.tenant_id))


@pytest.fixture
def slug() -> Iterator[str]:
    """The slug of a model offered to all. Its rows are taken away again: every tenant would see them."""
    slug = f"common-{uuid4()}"
    _offer(None, slug, name="Common")
    yield slug
    LanguageModel.objects.using("engine").filter(tenant=None, slug=slug).delete()
    Provider.objects.using("engine").filter(tenant=None, name=f"Provider of {slug}").delete()


def test_what_is_offered_to_all_is_offered_to_each(alice: Principal, mallory: Principal, slug: str) -> None:
    assert slug in _slugs(alice)
    assert slug in _slugs(mallory)


def test_a_tenants_own_model_hides_the_common_one_of_that_name(alice: Principal, mallory: Principal, slug: str) -> None:
    _offer(alice, slug, name="Own")
    assert selectors.catalogue(alice.tenant_id).models[slug].name == "Own"
    assert selectors.catalogue(mallory.tenant_id).models[slug].name == "Common"
    # Switched off, it does not send its traffic to the common one unasked.
    _change(LanguageModel.objects.filter(tenant_id=alice.tenant_id, slug=slug), enabled=False)
    assert slug not in _slugs(alice)
    assert slug in _slugs(mallory)


@pytest.mark.parametrize("switched_off", ["model", "deployment", "provider"])
def test_what_is_switched_off_is_not_offered(alice: Principal, switched_off: str) -> None:
    provider = _offer(alice, "m")
    rows: dict[str, Any] = {
        "model": LanguageModel.objects.filter(tenant_id=alice.tenant_id),
        "deployment": Deployment.objects.filter(provider=provider),
        "provider": Provider.objects.filter(id=provider.id),
    }
    assert "m" in _slugs(alice)
    _change(rows[switched_off], enabled=False)
    assert "m" not in _slugs(alice)


def test_a_tenant_may_be_held_to_a_list(alice: Principal) -> None:
    _offer(alice, "m1")
    _offer(alice, "m2")
    _change(Tenant.objects.filter(id=alice.tenant_id), allowed_models=["m2", "unknown"])
    assert _slugs(alice) == ["m2"]
    _change(Tenant.objects.filter(id=alice.tenant_id), allowed_models=[])
    assert {"m1", "m2"} <= set(_slugs(alice))


def test_lists_keep_their_order(alice: Principal) -> None:
    for slug, position, name in (("c", 2, "C"), ("b", 1, "Z"), ("a", 1, "A")):
        _offer(alice, slug, position=position, name=name)
    assert [slug for slug in _slugs(alice) if slug in "abc"] == ["a", "b", "c"]


def test_the_price_in_force_counts(alice: Principal) -> None:
    provider = _offer(alice, "m")
    deployment = Deployment.objects.using("engine").get(provider=provider)
    Price.objects.using("engine").create(
        tenant_id=alice.tenant_id,
        deployment=deployment,
        input_nanousd_per_mtok=7,
        output_nanousd_per_mtok=8,
        valid_from="2999-01-01T00:00:00Z",
    )

    def price() -> tuple[int, int, int]:
        selectors.invalidate(alice.tenant_id)
        first = selectors.catalogue(alice.tenant_id).models["m"].first_deployment
        assert first is not None
        assert first.price is not None
        found = first.price
        return found.input_nanousd_per_mtok, found.cached_input_nanousd_per_mtok, found.output_nanousd_per_mtok

    assert price() == (1_250_000_000, 125_000_000, 10_000_000_000)
    services.register_model(provider_id=provider.id, upstream_model="up-m", slug="m", price=NewPrice(5, 6))
    assert price() == (5, 5, 6), "without a price of its own, cached input costs what input costs"


def test_an_unpriced_model_is_listed_without_a_price(alice: Principal) -> None:
    provider = _offer(alice, "m")
    Price.objects.using("engine").filter(deployment__provider=provider).delete()
    selectors.invalidate(alice.tenant_id)
    (card,) = [card for card in selectors.models_for(alice) if card.slug == "m"]
    assert (card.input_usd_per_mtok, card.output_usd_per_mtok) == (None, None)


def test_the_snapshot_is_kept_for_a_moment_and_forgotten_on_request(
    alice: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert selectors.snapshot_in_memory(alice.tenant_id) is None
    provider = _offer(alice, "m")
    known = selectors.snapshot(alice.tenant_id)
    _change(Provider.objects.filter(id=provider.id), enabled=False)
    assert selectors.snapshot(alice.tenant_id) is known
    assert selectors.snapshot_in_memory(alice.tenant_id) is known
    later = time.monotonic() + selectors.SNAPSHOT_TTL_SECONDS
    monkeypatch.setattr("apps.routing.selectors.time.monotonic", lambda: later)
    assert selectors.snapshot_in_memory(alice.tenant_id) is None
    assert "m" not in selectors.catalogue(alice.tenant_id).models
