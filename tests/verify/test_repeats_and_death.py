"""A process that dies in the middle of a keyed call: its followers hear of it, and the key is free after its lease."""

import os
import signal
import time
from collections.abc import Callable
from threading import Thread
from uuid import UUID

import httpx

from apps.billing import draining
from apps.billing.models import LedgerEntry
from apps.routing.repeats.store import LEASE_SECONDS
from apps.tenants.contracts import Principal
from tests.gateway.conftest import ledger, offered
from tests.product import web_server

__all__ = ["ledger", "offered"]

BODY = {"model": "gw-slow", "messages": [{"role": "user", "content": "Why do leases need fences?"}], "stream": True}


def test_a_killed_process_frees_its_key(
    offered: None,
    alice: Principal,
    api_key_of: Callable[[Principal], str],
    ledger: Callable[[UUID, int], list[LedgerEntry]],
) -> None:
    headers = {"Authorization": f"Bearer {api_key_of(alice)}", "Idempotency-Key": "dies"}
    followed: list[bytes] = []
    with web_server("uvicorn") as dying, web_server("uvicorn") as other:

        def follow() -> None:
            with httpx.stream(
                "POST", f"{other.url}/v1/chat/completions", json=BODY, headers=headers, timeout=60
            ) as told:
                followed.extend(told.iter_bytes())

        with httpx.stream("POST", f"{dying.url}/v1/chat/completions", json=BODY, headers=headers, timeout=60) as asked:
            next(asked.iter_bytes())
            follower = Thread(target=follow)
            follower.start()
            time.sleep(1.0)
            os.kill(dying.process.pid, signal.SIGKILL)
        killed_at = time.monotonic()
        follower.join(LEASE_SECONDS + 20)
        told = b"".join(followed)
        assert b'"answer_lost"' in told and b"[DONE]" not in told
        again = httpx.post(f"{other.url}/v1/chat/completions", json=BODY, headers=headers, timeout=60)
        assert time.monotonic() - killed_at > LEASE_SECONDS - 6
        assert "idempotency-replayed" not in again.headers and again.content.endswith(b"data: [DONE]\n\n")
        draining.drain_settlements(grace_seconds=0.0)
        assert sorted(line.kind for line in ledger(alice.tenant_id, 2)) == ["absorbed", "charge"]
