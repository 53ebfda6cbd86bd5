"""Four deadlines, each with its own error; what is no token does not move them."""

import socket
import time

import pytest

from apps.routing.contracts import Deadlines
from apps.routing.errors import ConnectFailed, FirstTokenTimeout, GapTimeout, ProviderFailed, TotalTimeout
from apps.routing.providers.base import Progress
from apps.routing.providers.openai_compatible import OpenAICompatible
from tests.processes import Simulator
from tests.routing import scripted
from tests.routing.reception import receive, request

SHORT = Deadlines(connect_seconds=0.3, first_token_seconds=0.4, gap_seconds=0.3, total_seconds=5)


@pytest.mark.parametrize(
    ("model", "error", "seconds"),
    [
        ("bench+fault=hang", FirstTokenTimeout, 0.4),
        ("bench+fault=slow@5", FirstTokenTimeout, 0.4),
        ("bench+fault=keepalive@0.05", FirstTokenTimeout, 0.4),
        ("bench+fault=drip@20", FirstTokenTimeout, 0.4),
        ("bench+tokens=40+fault=silence@10", GapTimeout, 0.3),
    ],
)
async def test_silence_ends_at_its_deadline(
    provider_simulator: Simulator, model: str, error: type[ProviderFailed], seconds: float
) -> None:
    reception = await receive(request(f"{provider_simulator.url}/v1", model, deadlines=SHORT))
    assert type(reception.error) is error
    assert seconds <= reception.seconds < seconds + 0.35


async def test_the_total_deadline_ends_an_answer_that_goes_on_and_on(provider_simulator: Simulator) -> None:
    deadlines = Deadlines(connect_seconds=1, first_token_seconds=1, gap_seconds=1, total_seconds=0.5)
    reception = await receive(request(f"{provider_simulator.url}/v1", "bench+tps=50+tokens=500", deadlines=deadlines))
    assert type(reception.error) is TotalTimeout
    assert 0.5 <= reception.seconds < 0.85
    assert 10 < len(reception.deltas) < 40


async def test_keepalive_comments_between_tokens_do_not_end_a_silence() -> None:
    comments: list[scripted.Step] = [b": still here\n\n", 0.05] * 20
    async with scripted.provider([scripted.STREAM, scripted.text_event("Hi"), *comments, None]) as provider:
        reception = await receive(request(provider.base_url, deadlines=SHORT))
    assert type(reception.error) is GapTimeout
    assert reception.text == "Hi"
    assert 0.3 <= reception.seconds < 0.65


async def test_events_without_a_token_are_no_sign_of_life() -> None:
    role = scripted.event('{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}')
    empty: list[scripted.Step] = [role, 0.05] * 20
    async with scripted.provider([scripted.STREAM, *empty, None]) as provider:
        reception = await receive(request(provider.base_url, deadlines=SHORT))
    assert type(reception.error) is FirstTokenTimeout
    async with scripted.provider([scripted.STREAM, scripted.text_event("Hi"), *empty, None]) as provider:
        reception = await receive(request(provider.base_url, deadlines=SHORT))
    assert type(reception.error) is GapTimeout


async def test_tokens_before_each_gap_ends_keep_an_answer_alive() -> None:
    slow: list[scripted.Step] = [scripted.text_event("a"), 0.2] * 4
    async with scripted.provider([scripted.STREAM, *slow, scripted.FINISH, scripted.USAGE, None]) as provider:
        reception = await receive(request(provider.base_url, deadlines=SHORT))
    assert (reception.error, reception.text) == (None, "aaaa")
    assert reception.seconds > 0.8


async def test_a_slow_reader_is_not_taken_for_a_silent_provider() -> None:
    late: scripted.Script = [0.1, scripted.text_event("b"), scripted.FINISH, scripted.USAGE, None]
    async with scripted.provider([scripted.STREAM, scripted.text_event("a"), *late]) as provider:
        progress = Progress()
        texts = []
        async for delta in OpenAICompatible().answer(request(provider.base_url, deadlines=SHORT), progress):
            texts.append(delta)
            time.sleep(0.5)  # noqa: ASYNC251 - the whole process is held up, longer than the gap
    assert len(texts) == 2
    assert progress.finish_reason == "stop"


async def test_nobody_at_the_address() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: refused at once
        reception = await receive(request(f"http://127.0.0.1:{held.getsockname()[1]}/v1", deadlines=SHORT))
    assert type(reception.error) is ConnectFailed
    assert not reception.progress.sent


async def test_an_address_that_does_not_accept_ends_at_the_connect_deadline() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with socket.create_connection(full.getsockname()), socket.socket() as second:
            second.setblocking(False)
            second.connect_ex(full.getsockname())  # the queue is full now
            reception = await receive(request(f"http://127.0.0.1:{full.getsockname()[1]}/v1", deadlines=SHORT))
    assert type(reception.error) is ConnectFailed
    assert not reception.progress.sent
    assert 0.3 <= reception.seconds < 0.8
