"""`POST /v1/chat/completions`, asked by OpenAI's own client."""

from collections.abc import Callable
from decimal import Decimal
from uuid import UUID

import httpx
import openai
import pytest
from openai import OpenAI

from apps.billing import services as billing
from apps.billing.models import LedgerEntry
from apps.tenants import services as tenants
from apps.tenants.contracts import Principal
from tests.gateway.conftest import ClientOf
from tests.processes import Simulator
from tests.product import WebServer, eventually

QUESTION = [{"role": "user", "content": "Why do leases need fences?"}]
Ledger = Callable[[UUID, int], list[LedgerEntry]]


def test_a_whole_answer_is_told_and_charged(client: OpenAI, alice: Principal, ledger: Ledger) -> None:
    raw = client.chat.completions.with_raw_response.create(model="gw-quick", messages=QUESTION)
    answer = raw.parse()
    choice, usage = answer.choices[0], answer.usage
    assert (choice.finish_reason, choice.message.role) == ("stop", "assistant")
    assert choice.message.content
    assert usage is not None and usage.completion_tokens == 12
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert raw.headers["x-switchboard-route"].startswith('"gw-quick";asked="gw-quick";provider="Simulator behind')
    assert raw.headers["x-request-id"]
    assert raw.headers["x-ratelimit-limit-requests"] == "600"
    assert raw.headers["x-ratelimit-remaining-requests"] == "599"
    (line,) = ledger(alice.tenant_id, 1)
    assert (line.kind, line.model, line.estimated) == ("charge", "gw-quick", False)
    assert (line.input_tokens, line.output_tokens) == (usage.prompt_tokens, 12)
    assert line.amount_nanousd == line.input_tokens * 100 + 12 * 400
    assert line.user_id == alice.user_id


def test_a_streamed_answer_says_the_same(client: OpenAI, alice: Principal, ledger: Ledger) -> None:
    whole = client.chat.completions.create(model="gw-quick", messages=QUESTION)
    pieces = list(
        client.chat.completions.create(
            model="gw-quick", messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    assert text == whole.choices[0].message.content
    assert pieces[0].choices[0].delta.role == "assistant"
    assert [piece.choices[0].finish_reason for piece in pieces if piece.choices][-1] == "stop"
    assert pieces[-1].choices == []
    assert pieces[-1].usage == whole.usage
    assert {piece.id for piece in pieces} == {pieces[0].id}
    assert [line.kind for line in ledger(alice.tenant_id, 2)] == ["charge", "charge"]


def test_several_answers_are_several_calls(client: OpenAI, alice: Principal, ledger: Ledger) -> None:
    answer = client.chat.completions.create(model="gw-quick", messages=QUESTION, n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert all(choice.message.content for choice in answer.choices)
    assert answer.usage is not None and answer.usage.completion_tokens == 36
    assert [line.kind for line in ledger(alice.tenant_id, 3)] == ["charge"] * 3


@pytest.mark.parametrize("way", ["whole", "told"])
def test_of_several_answers_one_fails(
    client: OpenAI, alice: Principal, ledger: Ledger, provider_simulator: Simulator, way: str
) -> None:
    """Asked whole, the caller is told no answer and pays for none; of a stream what was told to its end is paid for."""
    # The third call, and whatever repeats it.
    rule = {"model": rf"bench-several-{way}.*", "kind": "die@30", "after": 2}
    httpx.post(f"{provider_simulator.url}/control/faults", json=rule).raise_for_status()
    told = ""
    with pytest.raises(openai.APIError):
        for piece in client.chat.completions.create(
            model=f"gw-several-{way}", messages=QUESTION, n=3, stream=way == "told"
        ):
            told += "".join(choice.delta.content or "" for choice in piece.choices)
    lines = ledger(alice.tenant_id, 3)
    charged = [line for line in lines if line.kind == "charge"]
    assert [line.output_tokens for line in lines].count(40) == 2
    assert bool(told) == (way == "told")
    assert [line.output_tokens for line in charged] == ([40, 40] if way == "told" else [])


def test_what_breaks_off_early_is_answered_by_the_next(client: OpenAI, alice: Principal, ledger: Ledger) -> None:
    """The first place dies after nine tokens; the second says the same words from the start, and goes on."""
    answer = client.chat.completions.create(model="gw-rescued", messages=QUESTION)
    assert answer.usage is not None and answer.usage.completion_tokens == 40
    assert sorted(line.kind for line in ledger(alice.tenant_id, 2)) == ["absorbed", "charge"]


def test_a_cut_stream_never_looks_finished(client: OpenAI, alice: Principal, ledger: Ledger) -> None:
    stream = client.chat.completions.create(model="gw-breaks", messages=QUESTION, stream=True)
    pieces = []
    with pytest.raises(openai.APIError) as failed:
        pieces += list(stream)
    assert failed.value.code
    assert not any(choice.finish_reason for piece in pieces for choice in piece.choices)
    assert {line.kind for line in ledger(alice.tenant_id, 1)} == {"absorbed"}


def test_who_hangs_up_on_a_whole_answer_pays_for_what_may_be_written(
    web: WebServer, alice: Principal, ledger: Ledger
) -> None:
    """Nothing of it came, and the provider has written at its pace all the same."""
    headers = {"Authorization": f"Bearer {tenants.create_api_key(alice, 'hasty').secret}"}
    with pytest.raises(httpx.ReadTimeout):
        body = {"model": "gw-slow", "messages": QUESTION, "max_tokens": 50}
        httpx.post(f"{web.url}/v1/chat/completions", json=body, headers=headers, timeout=0.6)
    (line,) = ledger(alice.tenant_id, 1)
    assert (line.kind, line.estimated) == ("charge", True)
    assert 0.3 * 20 <= line.output_tokens <= 50
    assert line.amount_nanousd == line.input_tokens * 100 + line.output_tokens * 400


def test_who_hangs_up_pays_for_what_came_and_no_more(
    client: OpenAI, alice: Principal, ledger: Ledger, web: WebServer
) -> None:
    with client.chat.completions.create(model="gw-endless", messages=QUESTION, stream=True) as stream:
        for _ in range(6):
            next(stream)
    (line,) = ledger(alice.tenant_id, 1)
    assert (line.kind, line.estimated) == ("charge", True)
    assert 4 <= line.output_tokens < 400
    eventually(lambda: billing.budget_left(alice) is not None)


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({"model": "gw-none", "messages": QUESTION}, 404, "model_not_found", "model"),
        ({"model": "gw-quick", "messages": []}, 400, "invalid_request", "messages"),
        ({"model": "gw-quick", "messages": QUESTION, "api_base": "http://169.254.169.254"}, 400, None, "api_base"),
        ({"model": "gw-quick", "messages": QUESTION, "temperature": "warm"}, 400, None, "temperature"),
        ({"model": "gw-refuses", "messages": QUESTION}, None, None, None),
        ({"model": "gw-silent", "messages": QUESTION, "stream": True}, None, None, None),
    ],
)
def test_what_is_refused_is_told_in_openais_words(
    web: WebServer,
    alice: Principal,
    api_key_of: Callable[[Principal], str],
    body: dict[str, object],
    status: int | None,
    code: str | None,
    param: str | None,
) -> None:
    headers = {"Authorization": f"Bearer {api_key_of(alice)}"}
    response = httpx.post(f"{web.url}/v1/chat/completions", json=body, headers=headers, timeout=20)
    error = response.json()["error"]
    assert response.status_code == status or (status is None and response.status_code >= 400)
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"] and error["code"] == (code or error["code"])
    assert error["param"] == param or param is None
    assert response.headers["cache-control"] == "no-store"


def test_strangers_and_wrong_methods_are_refused(web: WebServer) -> None:
    url = f"{web.url}/v1/chat/completions"
    nobody = httpx.post(url, json={"model": "gw-quick", "messages": QUESTION})
    assert (nobody.status_code, nobody.json()["error"]["code"]) == (401, "invalid_api_key")
    assert nobody.headers["www-authenticate"].startswith("Bearer")
    forged = httpx.post(url, json={}, headers={"Authorization": "Bearer sk-sb-aaaaaaaaaa-" + "x" * 43})
    assert forged.status_code in (400, 401)
    fetched = httpx.get(url)
    assert (fetched.status_code, fetched.headers["allow"]) == (405, "POST")
    broken = httpx.post(url, content=b"{", headers={"Authorization": "Bearer x"})
    assert broken.status_code in (400, 401)


def test_a_revoked_key_opens_nothing_in_any_process(
    web: WebServer, other_web: WebServer, client_of: ClientOf, alice: Principal
) -> None:
    made = tenants.create_api_key(alice, "soon gone")
    here, there = (client_of(alice, server, made.secret) for server in (web, other_web))
    for client in (here, there):
        assert client.chat.completions.create(model="gw-quick", messages=QUESTION).choices
    tenants.revoke_api_key(alice, made.id)
    for client in (here, there):
        with pytest.raises(openai.AuthenticationError):
            client.chat.completions.create(model="gw-quick", messages=QUESTION)


def test_a_limit_of_requests_says_when_it_is_over(client: OpenAI, alice: Principal) -> None:
    billing.set_quota(tenant_id=alice.tenant_id, requests_per_minute=1)
    client.chat.completions.create(model="gw-quick", messages=QUESTION)
    with pytest.raises(openai.RateLimitError) as refused:
        client.chat.completions.create(model="gw-quick", messages=QUESTION)
    told = refused.value.response.headers
    assert refused.value.code == "rate_limit_exceeded"
    assert 1 <= int(told["retry-after"]) <= 60
    assert (told["x-ratelimit-limit-requests"], told["x-ratelimit-remaining-requests"]) == ("1", "0")


def test_a_budget_admits_no_more_than_it_covers(client: OpenAI, alice: Principal, ledger: Ledger) -> None:
    billing.set_quota(tenant_id=alice.tenant_id, budget_day_nanousd=0)
    with pytest.raises(openai.RateLimitError) as refused:
        client.chat.completions.create(model="gw-quick", messages=QUESTION)
    assert refused.value.code == "insufficient_quota"
    billing.set_quota(tenant_id=alice.tenant_id, budget_day_nanousd=int(Decimal("0.01") * 1_000_000_000))
    assert client.chat.completions.create(model="gw-quick", messages=QUESTION, max_tokens=20).choices
