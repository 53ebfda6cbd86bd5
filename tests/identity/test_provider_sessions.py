"""What a company's sign-in opened ends with it, whoever closes it, and nothing else does."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import Client

from apps.tenants import identity_providers, sign_in_log
from apps.tenants.contracts import Principal
from apps.tenants.edge import company_sign_in
from apps.tenants.identity_providers import Change, Provider
from apps.tenants.models import AuditEntry, IdentityProvider
from apps.tenants.oauth_keys import read_keys
from tests.identity.conftest import SECRET, Company, Journey, set_up
from tests.identity.programs import Program, signing_key
from tests.people import session_of

_KEYS = read_keys(signing_key())


@pytest.fixture(autouse=True)
def authorisation_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "IDP_OIDC_PRIVATE_KEYS", [{"pem": pem} for pem in _KEYS])


def is_in(browser: Client) -> bool:
    return bool(browser.get("/api/v1/accounts/me/").status_code == 200)


def as_it_is(provider: Provider, company: Company, **changed: Any) -> Change:
    given = Change(provider.slug, provider.name, provider.kind, provider.client_id, f"{company.address}/acme")
    return replace(given, **changed)


def switched_off(company: Company, provider: Provider, by: Principal) -> None:
    identity_providers.change(by, provider.id, as_it_is(provider, company, enabled=False))


def turned_elsewhere(company: Company, provider: Provider, by: Principal) -> None:
    there = as_it_is(provider, company, issuer=f"{company.address}/other", secret=SECRET)
    identity_providers.change(by, provider.id, there)


def removed(company: Company, provider: Provider, by: Principal) -> None:
    identity_providers.remove(by, provider.id)


def by_an_operator(company: Company, provider: Provider, by: Principal) -> None:
    row = IdentityProvider.objects.using("engine").get(id=provider.id)
    row.enabled = False
    row.save(using="engine", update_fields=["enabled"])


@pytest.mark.parametrize("close", [switched_off, turned_elsewhere, removed, by_an_operator])
def test_sessions_and_programs_end_with_the_provider(
    company: Company,
    provider: Provider,
    alice: Principal,
    close: Callable[[Company, Provider, Principal], None],
) -> None:
    journey, elsewhere = Journey(provider), Journey(set_up(company, alice))
    other, here = Program(), Program()
    journey.sign_in(company.person())
    elsewhere.sign_in(company.person())
    mine, pair = session_of(alice), here.sign_in(journey.client)
    renewed = here.renew(pair["refresh_token"]).json()
    kept = other.sign_in(elsewhere.client)
    waiting = here.agree(journey.client)
    key = journey.client.session.session_key
    assert is_in(journey.client) and here.opens(renewed["access_token"])
    close(company, provider, alice)
    assert not is_in(journey.client)
    assert not Session.objects.filter(session_key=key).exists()
    assert not here.opens(renewed["access_token"])
    assert here.renew(renewed["refresh_token"]).json()["error"] == "invalid_grant"
    assert here.redeem(waiting).json()["error"] == "invalid_grant", "not redeemed in time"
    assert is_in(elsewhere.client) and is_in(mine) and other.opens(kept["access_token"]), "nothing else ends"


def test_what_ended_is_told(company: Company, provider: Provider, alice: Principal) -> None:
    for _ in range(2):
        journey = Journey(provider)
        journey.sign_in(company.person())
    Program().sign_in(journey.client)
    identity_providers.change(alice, provider.id, as_it_is(provider, company, name="Acme Ltd"))
    assert is_in(journey.client), "another name ends nothing"
    switched_off(company, provider, alice)
    identity_providers.change(alice, provider.id, as_it_is(provider, company))
    assert not is_in(journey.client), "switching on again brings nothing back"
    rows = AuditEntry.objects.using("engine").filter(tenant_id=alice.tenant_id, action="identity_provider.changed")
    ended = rows.get(data__enabled=False).data
    assert (ended["sessions_ended"], ended["token_families_ended"]) == (2, 1)
    again = Journey(provider)
    again.sign_in(company.person())
    assert is_in(again.client)


@pytest.mark.parametrize("close", [switched_off, turned_elsewhere, removed])
def test_who_is_on_the_way_when_it_closes_does_not_come_in(
    company: Company,
    provider: Provider,
    alice: Principal,
    monkeypatch: pytest.MonkeyPatch,
    close: Callable[[Company, Provider, Principal], None],
) -> None:
    """The provider is open when the company's answer comes, and another when the session begins."""
    journey, record = Journey(provider), company_sign_in.record_authentication

    def closed_meanwhile(*given: Any, **named: Any) -> None:
        close(company, provider, alice)
        record(*given, **named)

    monkeypatch.setattr(company_sign_in, "record_authentication", closed_meanwhile)
    answer = journey.sign_in(company.person())
    assert answer.status_code == 403
    assert not is_in(journey.client)
    assert "_auth_user_id" not in journey.client.session


def test_beginning_with_a_companys_word_is_told(company: Company, provider: Provider) -> None:
    journey = Journey(provider)
    journey.sign_in(company.person())
    person = journey.client.get("/api/v1/accounts/me/").json()["user_id"]
    rows = AuditEntry.objects.using("engine").filter(tenant_id=provider.tenant_id, action="session.opened")
    assert [(row.target_id, row.data) for row in rows if row.data] == [
        (person, {"identity_provider_id": str(provider.id)})
    ]
    journey.client.post("/logout/")
    sign_in_log.tell_notes()
    ended = AuditEntry.objects.using("engine").filter(tenant_id=provider.tenant_id, action="session.ended")
    assert ended.count() == 1
