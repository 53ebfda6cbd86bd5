"""Signing in with one's company, at a real provider in a process of its own."""

from typing import Any
from uuid import uuid4

import pytest
from allauth.socialaccount.models import SocialAccount

from apps.accounts.models import User
from apps.tenants import identity_providers, selectors
from apps.tenants.contracts import Principal
from apps.tenants.identity_providers import Change, InvalidIdentityProvider, Provider
from apps.tenants.models import AuditEntry, Membership
from tests.identity.conftest import DIRECTORY, SECRET, Company, Journey, query_of, set_up
from tests.people import new_member, session_of

OTHER_DIRECTORY = "99999999-2222-4333-8444-555555555555"


def me(journey: Journey) -> dict[str, Any]:
    answer = journey.client.get("/api/v1/accounts/me/")
    assert answer.status_code == 200, answer.content
    return dict(answer.json())


def nobody(journey: Journey) -> bool:
    return bool(journey.client.get("/api/v1/accounts/me/").status_code == 401)


def test_first_sign_in_makes_a_member_and_the_next_finds_them(company: Company, provider: Provider) -> None:
    erika, journey = company.person(), Journey(provider)
    answer = journey.sign_in(erika)
    assert answer.status_code == 302 and answer["Location"] == "/chat/", answer.content
    told = me(journey)
    assert (told["email"], told["role"], told["tenant_id"]) == (erika.email, "member", str(provider.tenant_id))
    user = User.objects.get(id=told["user_id"])
    assert not user.has_usable_password()
    assert SocialAccount.objects.get(user=user).provider == str(provider.id)
    joined = AuditEntry.objects.using("engine").get(tenant_id=provider.tenant_id, action="member.joined")
    assert joined.data["identity_provider_id"] == str(provider.id)
    again = Journey(provider)
    again.sign_in(erika)
    assert me(again)["user_id"] == told["user_id"]
    assert SocialAccount.objects.filter(user=user).count() == 1


def test_the_way_there_asks_for_s256_a_nonce_and_a_state_of_its_own(provider: Provider) -> None:
    first, second = query_of(Journey(provider).to_company()), query_of(Journey(provider).to_company())
    assert first["code_challenge_method"] == "S256" and first["response_type"] == "code"
    for name in ("code_challenge", "nonce", "state"):
        assert len(first[name]) >= 16 and first[name] != second[name]


def test_another_browsers_or_a_used_state_is_refused(company: Company, provider: Provider) -> None:
    erika, journey, thief = company.person(), Journey(provider), Journey(provider)
    back = journey.back(erika, journey.to_company())
    thief.to_company()
    assert thief.client.get(back).status_code == 403 and nobody(thief)
    assert journey.client.get(back.replace("state=", "state=x")).status_code == 403
    assert journey.client.get(back).status_code == 302
    assert journey.client.get(back).status_code == 403


def test_a_code_is_good_for_its_own_sign_in_alone(company: Company, provider: Provider) -> None:
    """Somebody else's code, put into one's own journey: the verifier does not fit."""
    erika, mallory = company.person(), company.person()
    victim, attacker = Journey(provider), Journey(provider)
    stolen = query_of(victim.back(erika, victim.to_company()))["code"]
    own = query_of(attacker.back(mallory, attacker.to_company()))
    answer = attacker.client.get(f"/sso/{provider.slug}/callback/", {"code": stolen, "state": own["state"]})
    assert answer.status_code == 403 and nobody(attacker)


@pytest.mark.parametrize(
    "faults",
    [
        {"claims": {"nonce": "another"}},
        {"without": ["nonce"]},
        {"claims": {"iss": "https://issuer.example"}},
        {"claims": {"aud": "another-client"}},
        {"claims": {"exp": 1_000_000_000}},
        {"claims": {"azp": "another-client"}},
        {"without": ["sub"]},
        {"tamper": {"email": "boss@company.example"}},
        {"tamper": {}, "unsigned": True},
        {"tamper": {"sub": "1"}, "unsigned": True},
    ],
    ids=lambda faults: "-".join(f"{name}:{','.join(faults[name])}" for name in faults if faults[name] is not True),
)
def test_an_id_token_that_does_not_hold_is_refused(
    company: Company, provider: Provider, faults: dict[str, Any]
) -> None:
    erika, journey = company.person(), Journey(provider)
    company.control(faults=faults)
    if faults == {"tamper": {}, "unsigned": True}:
        company.control(faults={"tamper": {"name": "same"}, "unsigned": True})
    answer = journey.sign_in(erika)
    assert answer.status_code == 403 and nobody(journey)
    assert not User.objects.filter(email=erika.email).exists()
    company.control(faults={})
    assert Journey(provider).sign_in(erika).status_code == 302


def test_an_issuer_that_calls_itself_otherwise_is_refused(company: Company, provider: Provider) -> None:
    company.control(faults={"issuer": "https://issuer.example"})
    answer = Journey(provider).client.get(f"/sso/{provider.slug}/")
    assert answer.status_code == 503


def test_an_address_that_has_an_account_is_never_joined(company: Company, provider: Provider, bob: Principal) -> None:
    erika, journey = company.person(email=bob.user_email), Journey(provider)
    answer = journey.sign_in(erika)
    assert answer.status_code == 409 and nobody(journey)
    assert b"connect" in answer.content
    assert not SocialAccount.objects.filter(provider=str(provider.id)).exists()


def test_a_suspended_member_is_refused_and_not_made_again(company: Company, provider: Provider) -> None:
    erika, journey = company.person(), Journey(provider)
    journey.sign_in(erika)
    membership = Membership.objects.using("engine").get(tenant_id=provider.tenant_id, user__email=erika.email)
    Membership.objects.using("engine").filter(id=membership.id).update(suspended_at="2026-01-01T00:00Z")
    later = Journey(provider)
    assert later.sign_in(erika).status_code == 403 and nobody(later) and nobody(journey)
    Membership.objects.using("engine").filter(id=membership.id).delete()
    assert Journey(provider).sign_in(erika).status_code == 403
    assert not Membership.objects.using("engine").filter(user__email=erika.email).exists()


def test_the_same_subject_at_two_tenants_providers_is_two_people(
    company: Company, alice: Principal, mallory: Principal
) -> None:
    ours, theirs = set_up(company, alice), set_up(company, mallory, issuer="other")
    erika, journey = company.person(), Journey(ours)
    journey.sign_in(erika)
    other = company.person(login=f"mallory-{uuid4().hex[:8]}")
    company.control(faults={"claims": {"sub": erika.sub, "email": other.email}})
    intruder = Journey(theirs)
    assert intruder.sign_in(other).status_code == 302
    assert me(intruder)["user_id"] != me(journey)["user_id"]
    assert me(intruder)["tenant_id"] == str(mallory.tenant_id) != me(journey)["tenant_id"]


def test_a_companys_session_works_in_its_tenant_alone(
    company: Company, provider: Provider, alice: Principal, mallory: Principal
) -> None:
    erika, journey = company.person(), Journey(provider)
    journey.sign_in(erika)
    user_id = me(journey)["user_id"]
    Membership.objects.using("engine").create(tenant_id=mallory.tenant_id, user_id=user_id, role="admin")
    session = journey.client.session
    session["tenant_id"] = str(mallory.tenant_id)  # as a switch of workspaces would
    session.save()
    assert me(journey)["tenant_id"] == str(alice.tenant_id)
    Membership.objects.using("engine").filter(tenant_id=alice.tenant_id, user_id=user_id).delete()
    assert nobody(journey) and Journey(provider).sign_in(erika).status_code == 403


def test_entra_is_keyed_on_directory_and_object(company: Company, alice: Principal) -> None:
    entra = set_up(company, alice, kind="entra", issuer=f"{DIRECTORY}/v2.0", directory_id=DIRECTORY)
    erika, journey = company.person(), Journey(entra)
    assert journey.sign_in(erika).status_code == 302
    oid = f"00000000-0000-4000-8000-{int(erika.sub):012d}"
    assert SocialAccount.objects.get(user_id=me(journey)["user_id"]).uid == f"{DIRECTORY}:{oid}"
    for claims in ({"tid": OTHER_DIRECTORY}, {"tid": ""}, {"oid": ""}):
        company.control(faults={"claims": claims})
        refused = Journey(entra)
        assert refused.sign_in(company.person()).status_code == 403 and nobody(refused)


@pytest.mark.parametrize("directory", ["common", "organizations", "consumers", "", f"{DIRECTORY}/../common"])
def test_entra_for_everybody_is_refused(company: Company, alice: Principal, directory: str) -> None:
    with pytest.raises(InvalidIdentityProvider) as refused:
        set_up(company, alice, kind="entra", issuer=f"{directory}/v2.0", directory_id=directory)
    assert "directory_id" in (refused.value.fields or {})


def test_connecting_takes_the_password_and_stays_ones_own(company: Company, provider: Provider, bob: Principal) -> None:
    erika = company.person(email=bob.user_email)
    journey = Journey(provider, session_of(bob))
    address = f"/settings/company-sign-in/{provider.id}/connect/"
    assert journey.client.post(address, {"password": "wrong password"}).status_code == 400
    onward = journey.client.post(address, {"password": "correct horse battery staple"})
    assert onward.status_code == 200, onward.content
    there = onward["Refresh"].removeprefix("0; url=")
    assert journey.client.get(journey.back(erika, there))["Location"] == "/settings/company-sign-in/"
    later = Journey(provider)
    assert later.sign_in(erika).status_code == 302 and me(later)["user_id"] == str(bob.user_id)
    # A session that the company opened adds no way in past it.
    assert later.client.post(address, {"password": "correct horse battery staple"}).status_code == 403
    page = later.client.get("/settings/company-sign-in/")
    assert page.status_code == 200 and b"Connected" in page.content


def test_a_connection_begun_by_one_person_is_not_ended_by_another(
    company: Company, provider: Provider, alice: Principal, bob: Principal
) -> None:
    journey = Journey(provider, session_of(bob))
    onward = journey.client.post(
        f"/settings/company-sign-in/{provider.id}/connect/", {"password": "correct horse battery staple"}
    )
    back = journey.back(company.person(), onward["Refresh"].removeprefix("0; url="))
    states = journey.client.session["socialaccount_states"]
    other = session_of(alice)
    session = other.session
    session["socialaccount_states"] = states
    session.save()
    assert other.get(back).status_code == 403
    assert not SocialAccount.objects.filter(provider=str(provider.id)).exists()


def test_a_closed_or_unknown_sign_in_is_not_there(company: Company, provider: Provider, alice: Principal) -> None:
    journey = Journey(provider)
    assert journey.client.get("/sso/nobody-has-this/").status_code == 404
    assert journey.client.get("/sso/", {"workspace": provider.slug}).status_code == 200
    change = Change(slug="", kind="", name="Acme", issuer=provider.issuer, client_id=provider.client_id, enabled=False)
    identity_providers.change(alice, provider.id, change)
    assert journey.client.get(f"/sso/{provider.slug}/").status_code == 404


def test_administrators_set_it_up_and_the_secret_stays_inside(
    company: Company, provider: Provider, alice: Principal, mallory: Principal
) -> None:
    client, address = session_of(alice), "/api/v1/identity-providers/"
    listed = client.get(address)
    assert listed.status_code == 200 and SECRET not in listed.content.decode()
    assert listed.json()[0]["has_secret"] is True
    assert SECRET not in client.get("/settings/workspace/sign-in/").content.decode()
    assert SECRET not in client.get(f"/settings/workspace/sign-in/{provider.id}/").content.decode()
    same = {"name": "Acme Ltd", "issuer": provider.issuer, "client_id": provider.client_id}
    one = f"{address}{provider.id}/"
    assert client.put(one, same, content_type="application/json").status_code == 200
    moved = same | {"issuer": f"{company.address}/evil"}
    refused = client.put(one, moved, content_type="application/json")
    assert refused.status_code == 400 and "secret" in refused.json()["errors"]
    assert client.put(one, moved | {"secret": "another"}, content_type="application/json").status_code == 200
    assert identity_providers.secret_of(provider) == "another"
    assert session_of(mallory).get(one).status_code == 404
    assert session_of(mallory).delete(one).status_code == 404
    entries = AuditEntry.objects.using("engine").filter(tenant_id=alice.tenant_id, target_kind="identity_provider")
    assert [entry.action.partition(".")[2] for entry in entries.order_by("seq")] == ["added", "changed", "changed"]
    assert SECRET not in str([entry.data for entry in entries])
    assert client.delete(one).status_code == 204


@pytest.mark.parametrize("role", ["billing_admin", "member", "viewer"])
def test_others_may_not_set_it_up(provider: Provider, alice: Principal, role: str) -> None:
    client = session_of(new_member(alice, "Carol", role))
    assert client.get("/api/v1/identity-providers/").status_code == 403
    assert client.delete(f"/api/v1/identity-providers/{provider.id}/").status_code == 403
    assert client.get("/settings/workspace/sign-in/").status_code == 403
    assert selectors.principal_for(alice.user_id, alice.tenant_id) is not None
