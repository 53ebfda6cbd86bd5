"""The authorisation server: a program signs in by code and PKCE, and what it was given ends when it should."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jwt
import pytest
from allauth.idp.oidc.models import Client as OAuthClient
from allauth.idp.oidc.models import Token
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import Client

from apps.accounts.models import User
from apps.tenants.contracts import Principal
from apps.tenants.models import AuditEntry, Membership
from apps.tenants.oauth_keys import read_keys
from tests.identity.conftest import query_of
from tests.identity.programs import AUTHORIZE, REDIRECT_URI, Program, challenge_of, signing_key
from tests.people import PASSWORD, session_of

_KEYS = read_keys(",".join(signing_key() for _ in range(2)))


@pytest.fixture(autouse=True)
def set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "IDP_OIDC_PRIVATE_KEYS", [{"pem": pem} for pem in _KEYS])


@pytest.fixture
def phone(bob: Principal) -> Client:
    return session_of(bob)


def test_a_program_signs_in_and_opens_our_doors_in_that_tenant(phone: Client, bob: Principal) -> None:
    program = Program()
    given = program.sign_in(phone)
    assert given["token_type"] == "Bearer" and given["expires_in"] <= 300
    me = program.get("/api/v1/accounts/me/", given["access_token"]).json()
    assert (me["user_id"], me["tenant_id"], me["via"]) == (str(bob.user_id), str(bob.tenant_id), "oauth")
    assert program.get("/v1/models", given["access_token"]).status_code == 200
    told = program.get("/identity/o/api/userinfo", given["access_token"]).json()
    assert told == {"sub": str(bob.user_id), "email": bob.user_email, "email_verified": False, "name": bob.user_name}
    page = program.get("/settings/keys/", given["access_token"])
    assert page.status_code == 403


def test_the_id_token_holds_under_the_first_published_key(phone: Client, bob: Principal) -> None:
    program = Program()
    document = program.client.get("/.well-known/openid-configuration").json()
    keys = program.client.get("/.well-known/jwks.json").json()["keys"]
    assert len(keys) == 2 and document["issuer"] == settings.BASE_URL
    assert document["jwks_uri"].endswith("/.well-known/jwks.json")
    id_token = program.sign_in(phone)["id_token"]
    assert jwt.get_unverified_header(id_token)["kid"] == keys[0]["kid"]
    key = jwt.PyJWK.from_dict(keys[0], algorithm="RS256")
    claims = jwt.decode(id_token, key, algorithms=["RS256"], audience=program.id, issuer=document["issuer"])
    assert (claims["sub"], claims["nonce"]) == (str(bob.user_id), "n-456")


def test_only_what_is_offered_is_announced(client: Client) -> None:
    document = client.get("/.well-known/openid-configuration").json()
    assert document["response_types_supported"] == ["code"]
    assert document["grant_types_supported"] == ["authorization_code", "refresh_token"]
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert client.get("/identity/o/device").status_code == 404
    assert client.post("/identity/o/api/device/code").status_code == 404


@pytest.mark.parametrize(
    "changed",
    [
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": None},
        {"code_challenge": None},
        {"response_type": "token"},
        {"response_type": "id_token token"},
        {"redirect_uri": "com.example.app:/elsewhere"},
        {"redirect_uri": f"{REDIRECT_URI}?more=1"},
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": None},
        {"client_id": "nobody"},
    ],
    ids=str,
)
def test_a_request_that_is_not_as_registered_is_told_here(phone: Client, changed: dict[str, Any]) -> None:
    """On a page of ours: a redirect would go to whoever asks."""
    answer = phone.get(Program().request(**changed))
    assert answer.status_code == 400 and "Location" not in answer


def test_a_program_on_this_machine_may_use_any_port(phone: Client) -> None:
    program = Program()
    OAuthClient.objects.using("engine").filter(id=program.id).update(redirect_uris="http://127.0.0.1/back")
    assert phone.get(program.request(redirect_uri="http://127.0.0.1:40123/back")).status_code == 200
    for wrong in ("http://127.0.0.1:40123/", "http://127.0.0.1.evil.example/back", "http://a@127.0.0.1/back"):
        assert phone.get(program.request(redirect_uri=wrong)).status_code == 400


def test_nobody_agrees_without_a_session_or_by_saying_no(phone: Client, visitor: Client) -> None:
    program = Program()
    answer = visitor.get(program.request())
    assert answer.status_code == 302 and answer["Location"].startswith("/login/?next=/identity/o/authorize")
    page = phone.get(program.request())
    assert "com.example.app:" in page["Content-Security-Policy"]
    form = {"request": page.context["form"]["request"].value(), "scopes": ["openid"], "action": "cancel"}
    assert query_of(phone.post(AUTHORIZE, form)["Location"])["error"] == "access_denied"
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = phone.cookies
    assert strict.post(AUTHORIZE, form | {"action": "grant"}).status_code == 403
    silent = phone.get(program.request(prompt="none"))
    code = query_of(silent["Location"]).get("code") if silent.status_code == 302 else None
    assert code is None or program.redeem(code).status_code == 400


def test_consent_given_for_one_workspace_is_not_for_another(phone: Client, bob: Principal, mallory: Principal) -> None:
    Membership.objects.using("engine").create(tenant_id=mallory.tenant_id, user_id=bob.user_id, role="member")
    page = phone.get(Program().request())
    session = phone.session
    session["tenant_id"] = str(mallory.tenant_id)
    session.save()
    form = {"request": page.context["form"]["request"].value(), "scopes": ["chat"], "action": "grant"}
    assert phone.post(AUTHORIZE, form).status_code == 409


def test_a_code_needs_its_verifier_its_program_and_its_address(phone: Client) -> None:
    program, other = Program(), Program()
    wrong: list[dict[str, str]] = [
        {"code_verifier": "x" * 50},
        {"code_verifier": ""},
        {"code_verifier": challenge_of(program.verifier)},
        {"redirect_uri": "com.example.app:/elsewhere"},
        {"client_id": other.id},
    ]
    for changed in wrong:
        assert program.redeem(program.agree(phone), **changed).status_code in (400, 401), changed


def test_a_code_that_comes_twice_ends_what_it_gave(phone: Client) -> None:
    program = Program()
    code = program.agree(phone)
    given = program.redeem(code).json()
    assert program.opens(given["access_token"])
    assert program.redeem(code).status_code == 400
    assert not program.opens(given["access_token"])
    assert program.renew(given["refresh_token"]).status_code == 400


def test_a_code_redeemed_at_once_by_many_gives_one_pair_at_most(phone: Client) -> None:
    program = Program()
    code = program.agree(phone)

    def redeem(_: int) -> int:
        try:
            return int(Program(program.id, program.verifier).redeem(code).status_code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(redeem, range(8))).count(200) == 1


def test_refresh_tokens_rotate_and_reuse_ends_the_family(phone: Client) -> None:
    program = Program()
    first = program.sign_in(phone)
    second = program.renew(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"] and program.opens(second["access_token"])
    assert program.renew(first["refresh_token"]).status_code == 400
    assert not program.opens(second["access_token"]) and not program.opens(first["access_token"])
    assert program.renew(second["refresh_token"]).status_code == 400


def test_of_many_renewals_at_once_one_wins(phone: Client) -> None:
    program = Program()
    given = program.sign_in(phone)

    def renew(_: int) -> int:
        try:
            return int(Program(program.id).renew(given["refresh_token"]).status_code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(renew, range(12))).count(200) <= 1
    assert not program.opens(given["access_token"])


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
def test_a_revoked_token_takes_the_family_along(phone: Client, which: str) -> None:
    program, other = Program(), Program()
    given, kept = program.sign_in(phone), other.sign_in(phone)
    answer = program.client.post("/identity/o/api/revoke", {"token": given[which], "client_id": program.id})
    assert answer.status_code == 200
    assert not program.opens(given["access_token"]) and program.renew(given["refresh_token"]).status_code == 400
    assert other.opens(kept["access_token"])


def test_a_suspended_member_and_a_changed_password_end_it(phone: Client, bob: Principal) -> None:
    program = Program()
    given, membership = program.sign_in(phone), Membership.objects.using("engine").filter(user_id=bob.user_id)
    membership.update(suspended_at="2026-01-01T00:00Z")
    assert not program.opens(given["access_token"]) and program.renew(given["refresh_token"]).status_code == 400
    assert program.get("/identity/o/api/userinfo", given["access_token"]).status_code == 401
    membership.update(suspended_at=None)
    again = program.sign_in(session_of(bob))
    user = User.objects.get(id=bob.user_id)
    user.set_password(PASSWORD + " and more")
    user.save(update_fields=["password"])
    assert not program.opens(again["access_token"]) and program.renew(again["refresh_token"]).status_code == 400


def test_scopes_open_their_doors_alone_and_make_no_key(phone: Client) -> None:
    program = Program()
    chat = program.sign_in(phone, scope="openid chat")["access_token"]
    assert program.get("/v1/models", chat).status_code == 200
    assert program.get("/api/v1/api-keys/", chat).status_code in (401, 403)
    manage = program.sign_in(phone, scope="manage")["access_token"]
    assert program.get("/v1/models", manage).status_code in (401, 403)
    key = program.client.post(
        "/api/v1/api-keys/",
        {"name": "more"},
        content_type="application/json",
        headers={"Authorization": f"Bearer {manage}"},
    )
    assert key.status_code == 403
    identity = program.sign_in(phone, scope="openid email")["access_token"]
    assert not program.opens(identity)
    assert program.get("/identity/o/api/userinfo", identity).status_code == 200


def test_a_token_asked_for_less_of_what_it_rests_on_opens_nothing(phone: Client) -> None:
    program = Program()
    code = program.agree(phone)
    answer = program.redeem(code, resource="urn:switchboard:tenant:00000000-0000-7000-8000-000000000000")
    assert answer.status_code == 400
    hashes = Token.objects.filter(client_id=program.id).count()
    assert hashes == 0


def test_it_is_listed_among_ones_programs_and_ended_there(phone: Client) -> None:
    program = Program()
    given = program.sign_in(phone)
    listed = phone.get("/api/v1/accounts/tokens/").json()
    assert [one["client"] for one in listed] == ["Pocket"]
    phone.delete(f"/api/v1/accounts/tokens/{listed[0]['id']}/")
    assert not program.opens(given["access_token"])


def test_without_a_key_there_is_no_server(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "IDP_OIDC_PRIVATE_KEYS", [])
    assert client.get("/.well-known/openid-configuration").status_code == 404
    assert client.get(f"{AUTHORIZE}?client_id=x").status_code == 404


def test_operators_register_programs(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("create_oauth_client", "Phone", "--redirect-uri", "com.example.phone:/back")
    client_id = capsys.readouterr().out.split()[1]
    made = OAuthClient.objects.get(id=client_id)
    assert (made.type, made.response_types) == ("public", "code")
    made_entry = AuditEntry.objects.using("engine").filter(action="oauth_client.made", target_id=client_id)
    assert made_entry.get().data["name"] == "Phone"
    for wrong in (
        "javascript:alert(1)",
        "http://evil.example/",
        "https://*.example/",
        "https://a@b.example/",
        "app:/x",
    ):
        with pytest.raises(CommandError):
            call_command("create_oauth_client", "Phone", "--redirect-uri", wrong)


@pytest.mark.parametrize("wrong", ["", "AAAA", signing_key()[:-8], signing_key() + ",x"])
def test_a_signing_key_that_cannot_be_read_is_told_without_showing_it(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"\Akey \d is not") as told:
        read_keys(wrong)
    assert wrong[:20] == "" or wrong[:20] not in str(told.value)
