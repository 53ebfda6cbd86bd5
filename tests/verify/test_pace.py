"""A tenant's cap on tokens per second, at the doors: its answers wait, streamed and whole, and nobody else's do."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from apps.billing.models import LedgerEntry
from apps.tenants import epochs
from apps.tenants.contracts import Principal
from apps.tenants.models import Tenant
from tests.gateway.conftest import ledger, offered, other_web, web
from tests.product import WebServer

__all__ = ["ledger", "offered", "other_web", "web"]

RATE, TOKENS = 400, 600


def seconds_of(web: WebServer, secret: str, *, stream: bool) -> float:
    began = time.monotonic()
    body = {"model": "gw-long", "messages": [{"role": "user", "content": "Why?"}], "stream": stream}
    headers = {"Authorization": f"Bearer {secret}"}
    answer = httpx.post(f"{web.url}/v1/chat/completions", json=body, headers=headers, timeout=30)
    assert answer.status_code == 200
    assert answer.content.endswith(b"data: [DONE]\n\n") if stream else answer.json()["usage"]["completion_tokens"]
    return time.monotonic() - began


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_a_capped_tenant_waits_and_no_other(
    web: WebServer,
    other_web: WebServer,
    alice: Principal,
    mallory: Principal,
    api_key_of: Callable[[Principal], str],
    ledger: Callable[[object, int], list[LedgerEntry]],
    stream: bool,
) -> None:
    Tenant.objects.using("engine").filter(id=alice.tenant_id).update(max_tokens_per_second=RATE)
    epochs.passed(alice.tenant_id)
    capped, free = api_key_of(alice), api_key_of(mallory)
    began = time.monotonic()
    with ThreadPoolExecutor(3) as together:
        two = [together.submit(seconds_of, server, capped, stream=stream) for server in (web, other_web)]
        others = together.submit(seconds_of, web, free, stream=stream)
        both_seconds = max(one.result() for one in two)
        # Two answers in two processes: what all of it lasts at the cap, less the second that may come at once.
        assert both_seconds >= 2 * TOKENS / RATE - 1.0 - 0.3
        assert others.result() < both_seconds
    assert time.monotonic() - began < 15
    assert [line.output_tokens for line in ledger(alice.tenant_id, 2)] == [TOKENS, TOKENS]
