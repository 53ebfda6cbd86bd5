"""Keys that open some doors and reach some models, and keys that have ended, at a real server and beside it."""

from collections.abc import Callable, Iterator
from uuid import UUID, uuid4

import httpx
import pytest
import redis
from django.conf import settings

from apps.billing.models import LedgerEntry
from apps.routing import services as routing
from apps.routing.models import LanguageModel, RoutingPolicy
from apps.tenants import membership, teams
from apps.tenants import services as tenants
from apps.tenants.contracts import Principal, Scope
from tests.gateway.conftest import PRICE
from tests.processes import Simulator
from tests.product import WebServer

SAID = [{"role": "user", "content": "Why do leases need fences?"}]
GATEWAY = {
    "completions": ("POST", "/v1/chat/completions"),
    "responses": ("POST", "/v1/responses"),
    "messages": ("POST", "/v1/messages"),
    "embeddings": ("POST", "/v1/embeddings"),
}
OTHERS = {
    "native": ("POST", "/v1/chat/messages"),
    "list": ("GET", "/v1/models"),
    "me": ("GET", "/api/v1/accounts/me/"),
    "change": ("PATCH", "/api/v1/accounts/me/"),
}
OPENED = {
    Scope.CHAT: {*GATEWAY, "native", "list"},
    **{Scope(name): {name, "list"} for name in GATEWAY},
    Scope.READ: {"list", "me"},
    Scope.MANAGE: {"me", "change"},
    Scope.SCIM: set(),
}
Ledger = Callable[[UUID, int], list[LedgerEntry]]


@pytest.fixture
def program(web: WebServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=web.url, timeout=20) as client:
        yield client


@pytest.fixture
def models(offered: None, provider_simulator: Simulator, alice: Principal) -> str:
    """The tenant's own models: `-broken` always fails and falls back to `-spare`; `-good` answers; `-both` is a policy
    of the three. Returns what their names begin with."""
    name = f"kb-{uuid4().hex[:8]}"
    provider_id = routing.add_provider(
        name=name, base_url=f"{provider_simulator.url}/v1", key="any", simulated=True, tenant_id=alice.tenant_id
    )
    for kind, upstream in (
        ("broken", "bench+fault=500"),
        ("spare", "bench+tokens=4+tps=0"),
        ("good", "bench+tokens=5+tps=0"),
    ):
        routing.register_model(provider_id=provider_id, upstream_model=upstream, price=PRICE, slug=f"{name}-{kind}")
    LanguageModel.objects.using("engine").filter(slug=f"{name}-broken").update(fallbacks={"any": [f"{name}-spare"]})
    RoutingPolicy.objects.using("engine").create(
        tenant_id=alice.tenant_id,
        slug=f"{name}-both",
        name="Both",
        kind="fixed",
        models_chosen_from=[f"{name}-{kind}" for kind in ("broken", "spare", "good")],
    )
    return name


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def completed(program: httpx.Client, key: str, model: str) -> httpx.Response:
    return program.post("/v1/chat/completions", json={"model": model, "messages": SAID}, headers=bearer(key))


def test_each_scope_opens_its_doors_and_no_other(program: httpx.Client, alice: Principal) -> None:
    """An open door finds fault with an empty body; a closed one says so before reading it."""
    for scope, opened in OPENED.items():
        key = tenants.create_api_key(alice, f"only {scope}", {scope}).secret
        for name, (method, path) in {**GATEWAY, **OTHERS}.items():
            answer = program.request(method, path, headers=bearer(key), json=None if method == "GET" else {})
            assert answer.status_code == (403 if name not in opened else 200 if method == "GET" else 400), (scope, name)


def test_a_key_reaches_its_models_alone_at_every_door(
    program: httpx.Client, alice: Principal, models: str, ledger: Ledger
) -> None:
    good, other = f"{models}-good", f"{models}-spare"
    key = tenants.create_api_key(alice, "narrow", models=[good]).secret
    doors = {
        "/v1/chat/completions": {"messages": SAID},
        "/v1/responses": {"input": "hello"},
        "/v1/messages": {"messages": SAID, "max_tokens": 20},
        "/v1/messages/count_tokens": {"messages": SAID},
    }
    for path, body in doors.items():
        assert program.post(path, json={**body, "model": good}, headers=bearer(key)).status_code == 200, path
        for model in (other, "gw-quick", f"{models}-both"):
            assert program.post(path, json={**body, "model": model}, headers=bearer(key)).status_code == 403, path
    told = completed(program, key, other).json()["error"]
    assert told["code"] == "model_not_allowed" and other in told["message"]
    assert completed(program, key, "kb-nowhere").status_code == 404
    for model, status in ((good, 202), (other, 403)):
        asked = {"message": "hello", "models": [model]}
        headers = {**bearer(key), "Prefer": "respond-async"}
        assert program.post("/v1/chat/messages", json=asked, headers=headers).status_code == status
    listed = program.get("/v1/models", headers=bearer(key)).json()["data"]
    assert [one["id"] for one in listed] == [good]
    assert [one["slug"] for one in program.get("/api/v1/models/", headers=bearer(key)).json()] == [good]
    assert program.get(f"/v1/models/{other}", headers=bearer(key)).status_code == 404
    assert {line.model for line in ledger(alice.tenant_id, 3)} == {good}


def test_no_fallback_and_no_policy_leads_out_of_a_keys_models(
    program: httpx.Client, alice: Principal, models: str, ledger: Ledger
) -> None:
    broken, spare, good, both = (f"{models}-{kind}" for kind in ("broken", "spare", "good", "both"))
    bound = {
        "no fallback": [broken],
        "with fallback": [broken, spare],
        "policy": [both, good],
        "policy, no answer": [both, broken],
        "not the policy": [broken, spare, good],
    }
    keys = {name: tenants.create_api_key(alice, name, models=slugs).secret for name, slugs in bound.items()}
    assert completed(program, keys["no fallback"], broken).status_code >= 500
    assert {line.model for line in ledger(alice.tenant_id, 1)} == {broken}
    assert completed(program, keys["with fallback"], broken).json()["model"] == spare
    assert completed(program, keys["policy"], both).json()["model"] == good
    assert completed(program, keys["policy, no answer"], both).status_code >= 500
    assert completed(program, keys["not the policy"], both).status_code == 403
    paid = [line.model for line in ledger(alice.tenant_id, 5) if line.kind == "charge"]
    assert sorted(paid) == sorted([spare, good])


def test_one_header_counts_and_no_other_names_anybody(
    program: httpx.Client, alice: Principal, mallory: Principal
) -> None:
    narrow = tenants.create_api_key(alice, "narrow", {"embeddings"}).secret
    wide = tenants.create_api_key(alice, "wide").secret
    said = {"model": "gw-quick", "messages": SAID}

    def status(*headers: tuple[str, str]) -> int:
        return program.post("/v1/chat/completions", json=said, headers=list(headers)).status_code

    for scheme in ("Bearer", "bearer", "BEARER", "bEARER "):
        assert status(("Authorization", f"{scheme} {narrow}"), ("X-Api-Key", wide)) == 403
        assert status(("X-Api-Key", wide), ("Authorization", f"{scheme} {narrow}")) == 403
    assert status(("Authorization", f"Bearer {wide}"), ("X-Api-Key", narrow)) == 200
    for said_twice in ("Authorization", "X-Api-Key"):
        shown = [("Bearer " if said_twice == "Authorization" else "") + key for key in (wide, narrow)]
        for first, second in (shown, shown[::-1]):
            assert status((said_twice, first), (said_twice, second)) == 401
    for nobody in (
        ("Api-Key", wide),
        ("Ocp-Apim-Subscription-Key", wide),
        ("X-Forwarded-User", alice.user_email),
        ("X-Forwarded-Authorization", f"Bearer {wide}"),
        ("Proxy-Authorization", f"Bearer {wide}"),
        ("Remote-User", alice.user_email),
        ("Cookie", f"Authorization=Bearer {wide}; x-api-key={wide}"),
    ):
        assert status(nobody) == 401, nobody
        assert status(("X-Api-Key", narrow), nobody) == 403, nobody
    assert status(("Authorization", "Bearer"), ("X-Api-Key", wide)) == 401
    assert program.get(f"/v1/models?api_key={wide}&key={wide}").status_code == 401


@pytest.mark.parametrize("how", ["revoked", "rotated", "earlier secret ended", "left the team", "Redis lost"])
def test_what_has_ended_is_refused_by_the_next_admission_of_every_process(
    program: httpx.Client, other_web: WebServer, alice: Principal, bob: Principal, how: str
) -> None:
    team_id = teams.create_team(alice, "Search")
    (place,) = [one.id for one in membership.members(alice) if one.user_id == bob.user_id]
    teams.add_member(alice, team_id, place)
    key = tenants.create_api_key(bob, "app", team_id=team_id)
    newest = key
    if how == "earlier secret ended":
        newest = tenants.rotate_api_key(bob, key.id, 3600)
    with httpx.Client(base_url=other_web.url, timeout=20) as beside:
        both = (program, beside)
        assert [completed(one, key.secret, "gw-quick").status_code for one in both] == [200, 200]
        match how:
            case "rotated":
                newest = tenants.rotate_api_key(bob, key.id, 0)
            case "earlier secret ended":
                tenants.end_earlier_secret(bob, key.id, key.prefix)
            case "left the team":
                teams.remove_member(alice, team_id, place)
            case _:
                tenants.revoke_api_key(bob, key.id)
        if how == "Redis lost":
            forget(alice.tenant_id)
        assert [completed(one, key.secret, "gw-quick").status_code for one in both] == [401, 401]
        if newest is not key:
            assert [completed(one, newest.secret, "gw-quick").status_code for one in both] == [200, 200]


def forget(tenant_id: UUID) -> None:
    """What Redis knows of a tenant, as a lost server would."""
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        names = list(client.scan_iter(match=f"{settings.REDIS_PREFIX}{{t:{tenant_id}}}:*", count=1000))
        assert names, "there was something to lose"
        client.delete(*names)
