"""What operators can switch off for one tenant: company sign-in and the directory. On unless a flag says otherwise."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest
import waffle
from django.http import HttpRequest
from django.test import Client

from apps.tenants import features, identity_providers, services
from apps.tenants.contracts import Principal, Scope
from apps.tenants.errors import FeatureOff
from apps.tenants.features import Feature
from apps.tenants.identity_providers import Change
from apps.tenants.models import Flag


@pytest.fixture(autouse=True)
def doors() -> None:
    """The real ones: pages, REST and the directory's."""


@contextmanager
def off_for(feature: Feature, principal: Principal) -> Iterator[None]:
    flag = Flag.objects.using("engine").get(name=feature)
    flag.off_for = [*flag.off_for, principal.tenant_id]
    flag.save(using="engine", update_fields=["off_for"])
    try:
        yield
    finally:
        flag.off_for.remove(principal.tenant_id)
        flag.save(using="engine", update_fields=["off_for"])


def change() -> Change:
    return Change(
        slug=f"acme-{uuid4().hex[:8]}",
        kind="entra",
        name="Acme",
        directory_id=str(uuid4()),
        client_id="client",
        secret="not told",
    )


def asked_by(principal: Principal) -> HttpRequest:
    request = HttpRequest()
    request.principal = principal  # type: ignore[attr-defined]
    return request


@pytest.mark.parametrize("feature", Feature)
def test_a_flag_moves_one_tenant_and_no_other(feature: Feature, alice: Principal, mallory: Principal) -> None:
    assert features.is_on(feature, alice.tenant_id)
    with off_for(feature, alice):
        assert not features.is_on(feature, alice.tenant_id)
        assert features.is_on(feature, mallory.tenant_id)
        assert not waffle.flag_is_active(asked_by(alice), feature)
        assert waffle.flag_is_active(asked_by(mallory), feature)
    assert features.is_on(feature, alice.tenant_id)


def test_a_feature_whose_flag_was_removed_is_on(alice: Principal) -> None:
    kept = Flag.objects.using("engine").get(name=Feature.DIRECTORY)
    Flag.objects.using("engine").filter(pk=kept.pk).delete()
    try:
        assert features.is_on(Feature.DIRECTORY, alice.tenant_id)
    finally:
        kept.save(using="engine", force_insert=True)
    assert features.is_on(Feature.DIRECTORY, alice.tenant_id)


def test_company_sign_in_is_closed_where_it_is_off(
    alice: Principal, mallory: Principal, client_of: Callable[[Principal], Client]
) -> None:
    provider, other = identity_providers.add(alice, change()), identity_providers.add(mallory, change())
    browser = client_of(alice)
    with off_for(Feature.COMPANY_SIGN_IN, alice):
        assert identity_providers.by_slug(provider.slug) is None
        assert identity_providers.by_slug(other.slug) == other
        assert Client().get(f"/sso/?workspace={provider.slug}").status_code == 404
        assert Client().get(f"/sso/?workspace={other.slug}").status_code == 200
        with pytest.raises(FeatureOff):
            identity_providers.add(alice, change())
        with pytest.raises(FeatureOff):
            identity_providers.change(alice, provider.id, change())
        shown = browser.get("/settings/workspace/sign-in/").content.decode()
        assert "Company sign-in is switched off" in shown
        assert "Set up another" not in shown
        assert "Identity providers</a>" not in browser.get("/settings/workspace/").content.decode()
        body = {"slug": "x-y-z", "name": "x", "client_id": "x", "issuer": "https://id.example.com"}
        refused = browser.post("/api/v1/identity-providers/", body, content_type="application/json")
        assert (refused.status_code, refused.json()["code"]) == (403, "feature_off")
        assert "switched off" not in client_of(mallory).get("/settings/workspace/sign-in/").content.decode()
    assert identity_providers.by_slug(provider.slug) == provider
    assert "Identity providers</a>" in browser.get("/settings/workspace/").content.decode()


def test_a_directory_keeps_nobody_where_it_is_off(
    alice: Principal, mallory: Principal, client_of: Callable[[Principal], Client]
) -> None:
    keys = {one: services.create_api_key(one, "directory", [Scope.SCIM]).secret for one in (alice, mallory)}

    def asked(principal: Principal) -> int:
        headers = {"Authorization": f"Bearer {keys[principal]}"}
        return Client().get("/scim/v2/Users", headers=headers).status_code

    assert (asked(alice), asked(mallory)) == (200, 200)
    with off_for(Feature.DIRECTORY, alice):
        assert (asked(alice), asked(mallory)) == (403, 200)
        with pytest.raises(FeatureOff):
            services.create_api_key(alice, "directory", [Scope.SCIM])
        page = client_of(alice).get("/settings/workspace/directory/").content.decode()
        assert "The directory is switched off" in page
        assert "Make a key" not in page
        assert "Revoke" in page, "a key can still be ended"
    assert asked(alice) == 200
