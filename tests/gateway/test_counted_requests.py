"""What asks no provider counts against the limits of requests per minute all the same, and against nothing else."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx
import pytest

from apps.billing import services as billing
from apps.billing.clients import limits
from apps.billing.models import LedgerEntry
from apps.limits.contracts import Cold, Level, Scope, ScopeLimits
from apps.tenants import services as tenants
from apps.tenants.contracts import Principal
from tests.product import WebServer

Ledger = Callable[[UUID, int], list[LedgerEntry]]
SAID = [{"role": "user", "content": "hello"}]
CHAT: dict[str, Any] = {"model": "gw-quick", "messages": SAID}


def held(tenant_id: UUID) -> int:
    scope = ScopeLimits(Scope(Level.TENANT, str(tenant_id)), parallel_calls=9)
    overview = limits().peek(tenant_id, [scope])
    assert not isinstance(overview, Cold)
    return overview.allowances[0].used


def ask(web: WebServer, secret: str, path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
    return httpx.post(web.url + path, json=body, headers={"Authorization": f"Bearer {secret}", **headers}, timeout=20)


def test_counting_tokens_is_a_request_of_each_limit_per_minute(web: WebServer, alice: Principal) -> None:
    key = tenants.create_api_key(alice, "counts")
    # Neither money nor calls at once: counting needs none, also where answers have used all of them up.
    billing.set_quota(tenant_id=alice.tenant_id, requests_per_minute=100, parallel_calls=0, budget_day_nanousd=0)
    billing.set_quota(tenant_id=alice.tenant_id, api_key_id=key.id, requests_per_minute=3)
    path = "/v1/messages/count_tokens"
    told = [ask(web, key.secret, path, CHAT) for _ in range(4)]
    assert [one.status_code for one in told] == [200, 200, 200, 429]
    assert [one.headers["x-ratelimit-remaining-requests"] for one in told] == ["2", "1", "0", "0"]
    assert told[3].json()["error"]["type"] == "rate_limit_error" and int(told[3].headers["retry-after"]) >= 1
    assert ask(web, tenants.create_api_key(alice, "other").secret, path, CHAT).status_code == 200
    # What is refused consumes nothing.
    assert ask(web, key.secret, path, CHAT | {"model": "gw-none"}).status_code == 404
    assert held(alice.tenant_id) == 0
    billing.drain_settlements()
    assert not LedgerEntry.objects.using("engine").filter(tenant_id=alice.tenant_id)


@pytest.mark.parametrize("stream", [False, True])
def test_being_told_again_is_a_request_too(web: WebServer, alice: Principal, ledger: Ledger, stream: bool) -> None:
    key = tenants.create_api_key(alice, "again").secret
    billing.set_quota(tenant_id=alice.tenant_id, requests_per_minute=3)
    body = CHAT | {"stream": stream}
    told = [ask(web, key, "/v1/chat/completions", body, **{"Idempotency-Key": "one"}) for _ in range(4)]
    assert [one.status_code for one in told] == [200, 200, 200, 429]
    assert [one.headers.get("idempotency-replayed") for one in told] == [None, "true", "true", None]
    assert [one.headers["x-ratelimit-remaining-requests"] for one in told] == ["2", "1", "0", "0"]
    assert told[0].content == told[2].content
    assert told[3].json()["error"]["code"] == "rate_limit_exceeded"
    assert len(ledger(alice.tenant_id, 1)) == 1
    assert billing.differences(alice.tenant_id) == [] and held(alice.tenant_id) == 0
