"""`Idempotency-Key` at the stateless doors, over two processes: one call, one charge, one answer, however often."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.request import urlopen
from uuid import UUID, uuid4

import httpx
import pytest
import redis
from django.conf import settings
from openai import OpenAI

from apps.billing import services as billing
from apps.billing.models import LedgerEntry
from apps.tenants import services as tenants
from apps.tenants.contracts import Principal
from tests.gateway.conftest import ClientOf
from tests.processes import Simulator
from tests.product import WebServer, eventually

QUESTION = [{"role": "user", "content": "Why do leases need fences?"}]
BODY = {"model": "gw-keyed", "messages": QUESTION}
STREAM = {**BODY, "stream": True}
CHAT = "/v1/chat/completions"
Ledger = Callable[[UUID, int], list[LedgerEntry]]


@dataclass
class Asking:
    """Somebody with a key, before both processes."""

    urls: tuple[str, str]
    secret: str

    def headers(self, key: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret}", "Idempotency-Key": key}

    def post(self, key: str, body: dict[str, Any], path: str = CHAT, place: int = 0) -> httpx.Response:
        return httpx.post(self.urls[place] + path, json=body, headers=self.headers(key), timeout=20)

    def until_told(self, key: str, body: dict[str, Any], path: str = CHAT) -> httpx.Response:
        """As clients do that try again after a 409."""
        answers: list[httpx.Response] = []

        def told() -> bool:
            answers.append(self.post(key, body, path, place=len(answers) % 2))
            return answers[-1].status_code != 409

        eventually(told)
        return answers[-1]


@pytest.fixture
def asking(
    web: WebServer, other_web: WebServer, alice: Principal, api_key_of: Callable[[Principal], str]
) -> Iterator[Asking]:
    yield Asking((web.url, other_web.url), api_key_of(alice))


@pytest.fixture
def asked_upstream(provider_simulator: Simulator) -> Callable[[], int]:
    """How many calls the simulator has been sent since the test began."""
    since = time.time()

    def count() -> int:
        with urlopen(f"{provider_simulator.url}/control/bill?since={since}", timeout=5) as response:
            return len(json.load(response)["calls"])

    return count


@pytest.mark.parametrize("body", [BODY, STREAM], ids=["whole", "streamed"])
async def test_fifty_at_once_are_one_call(
    asking: Asking, alice: Principal, ledger: Ledger, asked_upstream: Callable[[], int], body: dict[str, Any]
) -> None:
    async with httpx.AsyncClient(timeout=20) as client:

        async def ask(number: int) -> httpx.Response:
            while True:
                url = asking.urls[number % 2] + CHAT
                answer = await client.post(url, json=body, headers=asking.headers("fifty"))
                if answer.status_code != 409:
                    return answer
                assert answer.headers["retry-after"] == "1"
                assert answer.json()["error"]["code"] == "still_answering"
                await asyncio.sleep(0.2)

        answers = await asyncio.gather(*(ask(number) for number in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert [answer.headers.get("idempotency-replayed") for answer in answers].count("true") == 49
    assert len({answer.headers["x-request-id"] for answer in answers}) == 50
    assert len({(answer.headers["content-type"], answer.headers["x-switchboard-route"]) for answer in answers}) == 1
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


def test_whoever_gave_up_waiting_for_a_whole_answer_finds_it(
    asking: Asking, alice: Principal, ledger: Ledger, asked_upstream: Callable[[], int]
) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(asking.urls[0] + CHAT, json=BODY, headers=asking.headers("impatient"), timeout=0.3)
    again = asking.until_told("impatient", BODY)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
    assert again.json()["usage"]["completion_tokens"] == 30
    assert len(ledger(alice.tenant_id, 1)) == asked_upstream() == 1


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
    assert "x-ratelimit-limit-requests" in first.headers and "x-ratelimit-limit-requests" not in again.headers
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


@pytest.mark.parametrize("key", ["", "k" * 256, "a\tb", "schl\xfcssel", "blank\xa0"])
def test_a_key_is_1_to_255_printable_characters(asking: Asking, key: str) -> None:
    headers = [(b"Authorization", f"Bearer {asking.secret}".encode()), (b"Idempotency-Key", key.encode("latin-1"))]
    answer = httpx.post(asking.urls[0] + CHAT, json=BODY, headers=headers)
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


def test_a_stream_that_broke_off_is_asked_for_anew(asking: Asking, alice: Principal, ledger: Ledger) -> None:
    body = {"model": "gw-breaks", "messages": QUESTION, "stream": True}
    for _ in range(2):
        cut = asking.post("breaks", body)
        assert cut.status_code == 200 and b"[DONE]" not in cut.content and b'"error"' in cut.content
        assert "idempotency-replayed" not in cut.headers
    assert {line.kind for line in ledger(alice.tenant_id, 2)} == {"absorbed"}


def test_a_kept_answer_is_told_to_no_revoked_key(
    web: WebServer, other_web: WebServer, alice: Principal, ledger: Ledger
) -> None:
    made = tenants.create_api_key(alice, "soon gone")
    asking = Asking((web.url, other_web.url), made.secret)
    body = {"model": "gw-quick", "messages": QUESTION}
    assert [asking.post("kept", body, place=place).status_code for place in (0, 1)] == [200, 200]
    billing.set_quota(tenant_id=alice.tenant_id, requests_per_minute=0)
    assert asking.post("kept", body, place=1).status_code == 200, "a replay consumes nothing"
    tenants.revoke_api_key(alice, made.id)
    assert [asking.post("kept", body, place=place).status_code for place in (1, 0)] == [401, 401]
    assert len(ledger(alice.tenant_id, 1)) == 1


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
