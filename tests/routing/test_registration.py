"""Adding providers and offering models: upserts, sealed keys, appended prices."""

import pytest

from apps.problems import NotFound
from apps.routing import provider_keys, services
from apps.routing.contracts import NewPrice
from apps.routing.errors import ProviderAddressRefused, Unpriced
from apps.routing.models import Deployment, LanguageModel, Price, Provider
from apps.tenants.contracts import Principal

URL = "http://ollama:11434/v1"


def _provider(principal: Principal) -> Provider:
    return Provider.objects.using("engine").get(tenant_id=principal.tenant_id)


def _add(principal: Principal, base_url: str = URL, key: str | None = None) -> Provider:
    services.add_provider(name="Lab GPU", base_url=base_url, key=key, tenant_id=principal.tenant_id)
    return _provider(principal)


def test_adding_again_changes_what_is_there(alice: Principal) -> None:
    first = _add(alice, key="sk-one")
    assert (first.slug, first.name, first.base_url, first.enabled) == ("lab-gpu", "Lab GPU", URL, True)
    assert provider_keys.open_key(first.id, first.sealed_key) == "sk-one"
    second = _add(alice, f"{URL}/", key="sk-two")
    assert (second.id, second.base_url) == (first.id, URL)
    assert provider_keys.open_key(second.id, second.sealed_key) == "sk-two"
    assert provider_keys.open_key(_add(alice).id, _provider(alice).sealed_key) == "sk-two", "no key given: it stays"


def test_the_same_name_in_another_tenant_is_another_provider(alice: Principal, mallory: Principal) -> None:
    assert _add(alice).id != _add(mallory).id


def test_a_key_is_not_carried_to_another_address(alice: Principal) -> None:
    before = _add(alice, key="sk-one")
    with pytest.raises(ProviderAddressRefused) as caught:
        _add(alice, "http://evil.example/v1")
    assert caught.value.fields == {"key": ["Give it again for the new address."]}
    assert _provider(alice).base_url == URL
    assert _provider(alice).sealed_key == before.sealed_key
    with pytest.raises(ProviderAddressRefused):
        _add(alice, f"{URL}/other")  # behind one host, paths may lead to different owners
    assert _add(alice, "http://new.example/v1", key="sk-two").base_url == "http://new.example/v1"


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        (" https://api.example.com/openai/v1/ ", "https://api.example.com/openai/v1"),
        ("http://[::1]:9/v1", "http://[::1]:9/v1"),
    ],
)
def test_addresses(alice: Principal, given: str, stored: str) -> None:
    assert _add(alice, given).base_url == stored


@pytest.mark.parametrize(
    "address",
    [
        "",
        "api.example.com/v1",
        "ftp://example.com",
        "file:///etc/passwd",
        "http://",
        "http://user:secret@example.com/v1",
        "http://example.com/v1?x=1",
        "http://example.com/v1#x",
        "http://example.com/a b",
        "http://example.com:99999/v1",
    ],
)
def test_addresses_that_are_refused(alice: Principal, address: str) -> None:
    with pytest.raises(ProviderAddressRefused):
        _add(alice, address)
    assert not Provider.objects.using("engine").filter(tenant_id=alice.tenant_id).exists()


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "schlüssel"])
def test_keys_that_cannot_travel_in_a_header_are_refused(alice: Principal, key: str) -> None:
    with pytest.raises(ProviderAddressRefused):
        _add(alice, key=key)


def test_a_model_is_offered_and_offered_again(alice: Principal) -> None:
    provider = _add(alice)
    price = NewPrice(100, 200)
    first = services.register_model(
        provider_id=provider.id, upstream_model="llama3.2:3b", price=price, name="Llama", context_tokens=8_192, hue=7
    )
    assert (first.created, first.repriced) == (True, True)
    again = services.register_model(
        provider_id=provider.id, upstream_model="llama3.2:3b", price=price, max_output_tokens=512
    )
    assert (again.created, again.repriced) == (False, False)
    assert (again.model_id, again.deployment_id) == (first.model_id, first.deployment_id)
    model = LanguageModel.objects.using("engine").get(id=first.model_id)
    assert (model.slug, model.name, model.hue, model.tenant_id) == ("llama3.2:3b", "Llama", 7, alice.tenant_id)
    assert (model.context_tokens, model.max_output_tokens) == (8_192, 512), "what is not given stays"
    deployment = Deployment.objects.using("engine").get(id=first.deployment_id)
    assert (deployment.model_id, deployment.provider_id, deployment.tenant_id) == (
        model.id,
        provider.id,
        alice.tenant_id,
    )


def test_prices_are_appended_only_where_they_change(alice: Principal) -> None:
    provider = _add(alice)

    def versions(price: NewPrice) -> list[tuple[int, int | None, int, bool]]:
        services.register_model(provider_id=provider.id, upstream_model="up", price=price)
        rows = Price.objects.using("engine").filter(deployment__provider=provider).order_by("valid_from", "id")
        return [
            (
                row.input_nanousd_per_mtok,
                row.cached_input_nanousd_per_mtok,
                row.output_nanousd_per_mtok,
                row.free,
            )
            for row in rows
        ]

    first = (1, None, 2, False)
    assert versions(NewPrice(1, 2)) == [first]
    assert versions(NewPrice(1, 2)) == [first]
    assert versions(NewPrice(1, 2, cached_input_nanousd_per_mtok=1)) == [first, (1, 1, 2, False)]
    assert versions(NewPrice(0, 0, free=True)) == [first, (1, 1, 2, False), (0, None, 0, True)]
    assert versions(NewPrice(1, 2)) == [first, (1, 1, 2, False), (0, None, 0, True), first]


def test_two_zeros_are_no_price(alice: Principal) -> None:
    provider = _add(alice)
    with pytest.raises(Unpriced):
        services.register_model(provider_id=provider.id, upstream_model="up", price=NewPrice(0, 0))
    assert not LanguageModel.objects.using("engine").filter(tenant_id=alice.tenant_id).exists()


def test_an_unknown_provider(alice: Principal) -> None:
    with pytest.raises(NotFound):
        services.register_model(provider_id=alice.tenant_id, upstream_model="up", price=NewPrice(1, 1))
