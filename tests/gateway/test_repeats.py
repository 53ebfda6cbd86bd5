"""`Idempotency-Key` at the stateless doors, over two processes: one call, one charge, one answer, however often."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import httpx
import pytest

from apps.billing import services as billing
from apps.billing.models import LedgerEntry
from apps.tenants import services as tenants
from apps.tenants.contracts import Principal
from tests.gateway.asking import CHAT, Asking
from tests.product import WebServer

QUESTION = [{"role": "user", "content": "Why do leases need fences?"}]
STREAM = {"model": "gw-keyed", "messages": QUESTION, "stream": True}
Ledger = Callable[[UUID, int], list[LedgerEntry]]


async def test_fifty_at_once_are_one_call(
    asking: Asking, alice: Principal, ledger: Ledger, asked_upstream: Callable[[], int]
) -> None:
    await asking.fifty(STREAM)
    (line,) = await asyncio.to_thread(ledger, alice.tenant_id, 1)
    assert (line.kind, line.output_tokens, line.estimated) == ("charge", 30, False)
    assert asked_upstream() == 1


def test_whoever_hung_up_gets_the_whole_answer_and_pays_once(
    asking: Asking, alice: Principal, ledger: Ledger, asked_upstream: Callable[[], int]
) -> None:
    headers = asking.headers("hung up")
    with httpx.stream("POST", asking.urls[0] + CHAT, json=STREAM, headers=headers, timeout=20) as cut:
        first = next(cut.iter_bytes())
    again = asking.post("hung up", STREAM, place=1)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.content.startswith(first) and again.content.endswith(b"data: [DONE]\n\n")
    kept = asking.post("hung up", STREAM)
    assert (kept.content, kept.headers["idempotency-replayed"]) == (again.content, "true")
    (line,) = ledger(alice.tenant_id, 1)
    assert (line.kind, line.output_tokens, line.estimated) == ("charge", 30, False)
    assert asked_upstream() == 1


MESSAGE = {"model": "gw-quick", "messages": QUESTION, "max_tokens": 100}
DOORS = {
    CHAT: {"model": "gw-quick", "messages": QUESTION},
    "/v1/responses": {"model": "gw-quick", "input": "Why?"},
    "/v1/messages": MESSAGE,
}


@pytest.mark.parametrize("path", DOORS)
def test_the_same_again_is_told_and_another_request_is_not(
    asking: Asking, alice: Principal, ledger: Ledger, path: str
) -> None:
    body = DOORS[path]
    first, again = asking.post("one key", body, path), asking.post("one key", dict(reversed(body.items())), path, 1)
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert "idempotency-replayed" not in first.headers and again.headers["idempotency-replayed"] == "true"
    assert "x-ratelimit-limit-requests" in first.headers and "x-ratelimit-limit-requests" in again.headers
    for other in ({**body, "model": "gw-keyed"}, {**body, "stream": True}, {**body, "temperature": 0.5}):
        refused = asking.post("one key", other, path, 1)
        assert refused.status_code == 422 and refused.json()["error"]["message"]
    assert asking.post("another key", body, path).json()["id"] != first.json()["id"]
    assert len(ledger(alice.tenant_id, 2)) == 2


def test_a_key_is_nobody_elses_and_no_other_doors(
    asking: Asking, bob: Principal, mallory: Principal, alice: Principal, api_key_of: Callable[[Principal], str]
) -> None:
    told = [asking.post("shared", MESSAGE)]
    others = [Asking(asking.urls, api_key_of(person)) for person in (bob, mallory, alice)]
    told += [other.post("shared", MESSAGE) for other in others]
    told += [asking.post("shared", MESSAGE, "/v1/messages")]
    assert [answer.status_code for answer in told] == [200] * 5
    assert len({answer.json()["id"] for answer in told}) == 5
    assert not any("idempotency-replayed" in answer.headers for answer in told)


@pytest.mark.parametrize("key", ["", "k" * 256, "a\tb", "schl\xfcssel", "blank\xa0"])
def test_a_key_is_1_to_255_printable_characters(asking: Asking, key: str) -> None:
    headers = [(b"Authorization", f"Bearer {asking.secret}".encode()), (b"Idempotency-Key", key.encode("latin-1"))]
    answer = httpx.post(asking.urls[0] + CHAT, json=STREAM, headers=headers)
    assert answer.status_code == 400 and "Idempotency-Key" in answer.json()["error"]["message"]


def test_what_was_refused_frees_its_key(asking: Asking, alice: Principal, ledger: Ledger) -> None:
    good = {"model": "gw-quick", "messages": QUESTION}
    for wrong in ({"model": "gw-none", "messages": QUESTION}, {"model": "gw-quick", "messages": []}):
        assert asking.post("refused", wrong).status_code in (400, 404)
    billing.set_quota(tenant_id=alice.tenant_id, budget_day_nanousd=0)
    assert asking.post("refused", good).status_code == 429
    billing.set_quota(tenant_id=alice.tenant_id, budget_day_nanousd=None)
    assert asking.post("refused", {"model": "gw-silent", "messages": QUESTION}).status_code >= 500
    answer = asking.post("refused", good)
    assert answer.status_code == 200 and "idempotency-replayed" not in answer.headers
    assert [line.kind for line in ledger(alice.tenant_id, 2)].count("charge") == 1


def test_a_kept_answer_is_told_to_no_revoked_key(
    web: WebServer, other_web: WebServer, alice: Principal, ledger: Ledger
) -> None:
    made = tenants.create_api_key(alice, "soon gone")
    asking = Asking((web.url, other_web.url), made.secret)
    body = {"model": "gw-quick", "messages": QUESTION}
    assert [asking.post("kept", body, place=place).status_code for place in (0, 1)] == [200, 200]
    billing.set_quota(tenant_id=alice.tenant_id, budget_day_nanousd=0, tokens_per_minute=0, parallel_calls=0)
    assert asking.post("kept", body, place=1).status_code == 200, "a replay costs nothing"
    tenants.revoke_api_key(alice, made.id)
    assert [asking.post("kept", body, place=place).status_code for place in (1, 0)] == [401, 401]
    assert len(ledger(alice.tenant_id, 1)) == 1
