"""More of `tests/gateway/test_repeats.py`: what takes longer."""

import asyncio
from collections.abc import Callable
from uuid import UUID, uuid4

import httpx
import pytest
import redis
from django.conf import settings
from openai import OpenAI

from apps.billing.models import LedgerEntry
from apps.tenants import services as tenants
from apps.tenants.contracts import Principal
from tests.gateway.asking import CHAT, Asking
from tests.gateway.conftest import ClientOf, asked_upstream, asking, client_of, ledger, offered, other_web, web
from tests.product import WebServer, eventually, web_server

__all__ = ["asked_upstream", "asking", "client_of", "ledger", "offered", "other_web", "web"]

QUESTION = [{"role": "user", "content": "Why do leases need fences?"}]
BODY = {"model": "gw-keyed", "messages": QUESTION}
STREAM = {**BODY, "stream": True}
Ledger = Callable[[UUID, int], list[LedgerEntry]]


async def test_fifty_at_once_for_a_whole_answer_are_one_call(
    asking: Asking, alice: Principal, ledger: Ledger, asked_upstream: Callable[[], int]
) -> None:
    await asking.fifty(BODY)
    (line,) = await asyncio.to_thread(ledger, alice.tenant_id, 1)
    assert (line.kind, line.output_tokens, line.estimated) == ("charge", 30, False)
    assert asked_upstream() == 1


def test_whoever_gave_up_waiting_for_a_whole_answer_finds_it(
    asking: Asking, alice: Principal, ledger: Ledger, asked_upstream: Callable[[], int]
) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(asking.urls[0] + CHAT, json=BODY, headers=asking.headers("impatient"), timeout=0.3)
    again = asking.until_told("impatient", BODY)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
    assert again.json()["usage"]["completion_tokens"] == 30
    assert len(ledger(alice.tenant_id, 1)) == asked_upstream() == 1


def test_official_clients_may_send_a_key(client_of: ClientOf, alice: Principal, other_web: WebServer) -> None:
    made = tenants.create_api_key(alice, "shared by two programs").secret
    here: OpenAI = client_of(alice, key=made)
    there: OpenAI = client_of(alice, other_web, key=made)
    extra = {"Idempotency-Key": str(uuid4())}
    streams = [
        [one.model_dump() for one in client.chat.completions.create(**STREAM, extra_headers=extra)]
        for client in (here, there)
    ]
    assert streams[0] == streams[1]
    assert streams[0][-1]["choices"][0]["finish_reason"] == "stop"


def test_a_stream_that_broke_off_is_asked_for_anew(asking: Asking, alice: Principal, ledger: Ledger) -> None:
    body = {"model": "gw-breaks", "messages": QUESTION, "stream": True}
    for _ in range(2):
        cut = asking.post("breaks", body)
        assert cut.status_code == 200 and b"[DONE]" not in cut.content and b'"error"' in cut.content
        assert "idempotency-replayed" not in cut.headers
    assert {line.kind for line in ledger(alice.tenant_id, 2)} == {"absorbed"}


def forget(tenant_id: UUID) -> int:
    """What a Redis that lost everything would have forgotten of the tenant's keys."""
    with redis.Redis.from_url(settings.REDIS_URL) as server:
        names = list(server.scan_iter(f"{settings.REDIS_PREFIX}{{t:{tenant_id}}}:repeat*", count=1000))
        return int(server.delete(*names)) if names else 0


def test_a_running_call_claims_its_key_again_when_redis_forgot_it(
    asking: Asking, alice: Principal, ledger: Ledger, asked_upstream: Callable[[], int]
) -> None:
    headers = asking.headers("forgotten")
    with httpx.stream("POST", asking.urls[0] + CHAT, json=STREAM, headers=headers, timeout=20) as first:
        pieces = first.iter_bytes()
        told = next(pieces)
        assert forget(alice.tenant_id)
        eventually(lambda: b"state" in _entry(alice.tenant_id))
        again = asking.post("forgotten", STREAM, place=1)
        told += b"".join(pieces)
    assert again.content == told and told.endswith(b"data: [DONE]\n\n")
    assert len(ledger(alice.tenant_id, 1)) == asked_upstream() == 1
    # What had been answered before is a new call after such a loss, and charged as one.
    assert forget(alice.tenant_id)
    assert "idempotency-replayed" not in asking.post("forgotten", STREAM).headers
    assert len(ledger(alice.tenant_id, 2)) == asked_upstream() == 2


def _entry(tenant_id: UUID) -> dict[bytes, bytes]:
    with redis.Redis.from_url(settings.REDIS_URL) as server:
        pattern = f"{settings.REDIS_PREFIX}{{t:{tenant_id}}}:repeat:*"
        for name in server.scan_iter(pattern, count=1000):
            if not name.endswith(b":said"):
                return server.hgetall(name)  # type: ignore[return-value]
    return {}


def test_a_process_that_is_stopped_lets_a_call_end_that_nobody_waits_for(
    offered: None,
    alice: Principal,
    api_key_of: Callable[[Principal], str],
    ledger: Ledger,
    asked_upstream: Callable[[], int],
) -> None:
    with web_server("uvicorn") as stopped, web_server("uvicorn") as other:
        here = Asking((stopped.url, other.url), api_key_of(alice))
        with httpx.stream("POST", stopped.url + CHAT, json=STREAM, headers=here.headers("stopped")) as cut:
            next(cut.iter_bytes())
        stopped.process.stop(15)
        again = here.post("stopped", STREAM, place=1)
    assert again.headers["idempotency-replayed"] == "true" and again.content.endswith(b"data: [DONE]\n\n")
    assert len(ledger(alice.tenant_id, 1)) == asked_upstream() == 1
