"""Four providers through litellm, as they document their streams and errors, replayed over real sockets.

`litellm_fixtures/NAME.wire` is what the provider sends, `NAME.json` what must come of it. Bedrock's binary events are
written as text and encoded here. The package is imported once, in this folder alone: it takes seconds.
"""

import asyncio
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from apps.routing.contracts import (
    Deadlines,
    Prompt,
    ReasoningDelta,
    TextDelta,
    ToolCallCompleted,
    ToolCallStarted,
    Usage,
)
from apps.routing.errors import (
    ConnectFailed,
    FirstTokenTimeout,
    GapTimeout,
    ProviderMisconfigured,
    ProviderOverloaded,
    StreamCut,
    TotalTimeout,
)
from apps.routing.providers import litellm
from apps.routing.providers.base import Progress, Request
from tests.routing import scripted
from tests.routing.reception import Reception, receive, request
from tests.verify import event_stream

FIXTURES = Path(__file__).parent / "litellm_fixtures"
NAMES = sorted(path.stem for path in FIXTURES.glob("*.json"))
TEXTS = ["bedrock_text", "gemini_text", "mistral_thinking", "ollama_text"]
MISTRAL = "mistral/mistral-small-latest"
KEY = "sk-canary-0123456789abcdef"
SHORT = Deadlines(connect_seconds=0.5, first_token_seconds=0.5, gap_seconds=0.4, total_seconds=5)
ADAPTER = litellm.LiteLLM()

# Its clients belong to an event loop; one loop for all, as a worker has it.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("litellm")]


@pytest.fixture(scope="module", autouse=True)
def loaded() -> Iterator[None]:
    """Imported where no loop runs and no other host can be reached; afterwards this process is as it was."""
    litellm.load()
    yield
    litellm._library = None


def _asked(base_url: str, model: str, **fields: Any) -> Request:
    asked = request(base_url, model, key=KEY, **fields)
    return replace(asked, access=replace(asked.access, trusted=True))


def _fixture(name: str) -> tuple[dict[str, Any], bytes, bytes]:
    """What is expected, the head and the body as they go on the wire."""
    expected = json.loads((FIXTURES / f"{name}.json").read_text())
    text = (FIXTURES / f"{name}.wire").read_bytes().decode()
    kind = expected.get("content_type", "text/event-stream")
    body = event_stream.encoded(text) if kind.endswith("eventstream") else text.encode()
    headers = {"Content-Type": kind, "Connection": "close", **expected.get("headers", {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return expected, f"HTTP/1.1 {expected.get('status', 200)} Whatever\r\n{lines}\r\n".encode(), body


def _pieces(wire: bytes, size: int) -> list[scripted.Step]:
    """Without a pause the pieces would be one again before they are read."""
    pieces: list[scripted.Step] = []
    for start in range(0, len(wire), size):
        pieces += [wire[start : start + size], 0.0]
    return pieces


def _said(reception: Reception, kind: type[TextDelta] | type[ReasoningDelta]) -> str:
    return "".join(delta.text for delta in reception.deltas if isinstance(delta, kind))


def _calls(reception: Reception) -> list[list[Any]]:
    calls = [one for one in reception.deltas if isinstance(one, ToolCallCompleted)]
    started = [one for one in reception.deltas if isinstance(one, ToolCallStarted)]
    assert [(one.call_id, one.name) for one in started] == [(one.call_id, one.name) for one in calls]
    assert len({one.call_id for one in calls}) == len(calls)
    return [[one.name, json.loads(one.arguments)] for one in calls]


@pytest.mark.parametrize("size", [65_536, 7], ids=["whole", "torn"])
@pytest.mark.parametrize("name", NAMES)
async def test_a_provider_is_understood(name: str, size: int) -> None:
    expected, head, body = _fixture(name)
    async with scripted.provider([*_pieces(head + body, size), None]) as provider:
        reception = await receive(_asked(provider.base_url, expected["model"]), ADAPTER)
    assert len(provider.requests) == 1, "it never repeats a call by itself"
    assert b"x-switchboard-attempt: " in provider.requests[0].lower()
    if "path" in expected:
        assert provider.requests[0].startswith(f"POST {expected['path']} ".encode())
    assert _said(reception, TextDelta) == expected.get("text", "")
    assert _said(reception, ReasoningDelta) == expected.get("reasoning", "")
    progress = reception.progress
    if "error" in expected:
        assert reception.error is not None
        assert reception.error.code == expected["error"], reception.error.detail
        assert reception.error.retry_after_seconds == expected.get("retry_after_seconds")
        assert progress.refused is (expected.get("status", 200) != 200)
        return
    assert reception.error is None
    assert _calls(reception) == expected.get("tools", [])
    assert progress.finish_reason == expected["finish_reason"]
    told = Usage(**expected["usage"]) if expected["usage"] else None
    assert (progress.usage, progress.usage_is_final) == (told, told is not None)
    if told is not None:
        # Parts of the input do not overlap, and thoughts are part of the output.
        assert told.cached_tokens + told.cache_write_tokens <= told.input_tokens
        assert told.reasoning_tokens <= told.output_tokens


async def test_four_formats_are_there_with_everything_that_can_happen() -> None:
    kinds = {name: sum(one.startswith(name) for one in NAMES) for name in ("bedrock", "gemini", "mistral", "ollama")}
    assert all(number >= 3 for number in kinds.values())
    assert len(NAMES) >= 20


@pytest.mark.parametrize("share", [0.35, 0.6])
@pytest.mark.parametrize("name", TEXTS)
async def test_a_stream_that_is_cut_is_not_finished(name: str, share: float) -> None:
    expected, head, body = _fixture(name)
    cut = body[: int(len(body) * share)]
    async with scripted.provider([head + cut, 0.02, None]) as provider:
        reception = await receive(_asked(provider.base_url, expected["model"]), ADAPTER)
    assert isinstance(reception.error, StreamCut)
    assert reception.progress.finish_reason is None
    assert expected["text"].startswith(reception.text)
    assert not reception.progress.usage_is_final


async def test_an_answer_is_whole_where_nothing_follows_its_finish() -> None:
    """The connection stays open and silent: the usage is waited for as long as elsewhere, and not longer."""
    async with scripted.provider([scripted.STREAM, scripted.text_event("Hi"), scripted.FINISH]) as provider:
        reception = await receive(_asked(provider.base_url, MISTRAL), ADAPTER)
    assert (reception.text, reception.error, reception.progress.finish_reason) == ("Hi", None, "stop")
    assert reception.progress.usage is None
    assert reception.seconds < 3


@pytest.mark.parametrize(
    ("script", "error", "seconds"),
    [
        ([], FirstTokenTimeout, 0.5),
        ([scripted.STREAM], FirstTokenTimeout, 0.5),
        ([scripted.STREAM, *[b": still here\n\n", 0.1] * 20], FirstTokenTimeout, 0.5),
        ([scripted.STREAM, scripted.text_event("Hi")], GapTimeout, 0.4),
    ],
    ids=["no head", "no token", "comments alone", "silent in its answer"],
)
async def test_silence_ends_at_its_deadline(
    script: Sequence[scripted.Step], error: type[Exception], seconds: float
) -> None:
    async with scripted.provider(script) as provider:
        reception = await receive(_asked(provider.base_url, MISTRAL, deadlines=SHORT), ADAPTER)
        assert type(reception.error) is error
        assert seconds <= reception.seconds < seconds + 0.5
        await _hung_up(provider)


async def test_the_total_deadline_ends_an_answer_that_goes_on_and_on() -> None:
    script = [scripted.STREAM, *[scripted.text_event("word "), 0.05] * 60]
    deadlines = replace(SHORT, total_seconds=0.6)
    async with scripted.provider(script) as provider:
        reception = await receive(_asked(provider.base_url, MISTRAL, deadlines=deadlines), ADAPTER)
        assert type(reception.error) is TotalTimeout
        assert 0.6 <= reception.seconds < 1.1
        assert reception.text.startswith("word word ")
        await _hung_up(provider)


async def test_whoever_stops_reading_hangs_up_at_once() -> None:
    async with scripted.provider([scripted.STREAM, scripted.text_event("Hi")]) as provider:
        answer = ADAPTER.answer(_asked(provider.base_url, MISTRAL), Progress())
        assert await anext(answer) == TextDelta("Hi")
        await answer.aclose()
        await _hung_up(provider)


async def _hung_up(provider: scripted.Provider) -> None:
    """The provider notices: nobody pays for what nobody reads."""
    for _ in range(100):
        if not provider.open:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the call upstream is still open")


async def test_no_connection_is_told_apart_and_nothing_was_sent() -> None:
    async with scripted.provider([]) as provider:
        gone = provider.base_url
    reception = await receive(_asked(gone, MISTRAL), ADAPTER)
    assert isinstance(reception.error, ConnectFailed)
    assert not reception.progress.sent
    assert reception.seconds < 1


async def test_a_failing_provider_is_asked_once() -> None:
    answer = b"HTTP/1.1 500 Whatever\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    async with scripted.provider([answer, None]) as provider:
        reception = await receive(_asked(provider.base_url, MISTRAL), ADAPTER)
    assert isinstance(reception.error, ProviderOverloaded)
    assert len(provider.requests) == 1


async def test_many_small_chunks_become_few_frames_and_lose_nothing() -> None:
    words = [f"w{number} " for number in range(300)]
    script: list[scripted.Step] = [scripted.STREAM]
    for word in words:
        script += [scripted.text_event(word), 0.001]
    async with scripted.provider([*script, scripted.FINISH, scripted.USAGE, scripted.DONE, None]) as provider:
        reception = await receive(_asked(provider.base_url, MISTRAL), ADAPTER)
    assert reception.text == "".join(words)
    assert reception.progress.usage == Usage(7, 3)
    assert len(reception.deltas) <= 2 + reception.seconds / 0.02


async def test_events_that_cannot_be_read_never_pass_for_an_answer() -> None:
    broken = scripted.event('{"choices":[{"index":0,"delta":{"content":')
    script = [scripted.STREAM, scripted.text_event("Hi"), broken, scripted.text_event(" there"), None]
    async with scripted.provider(script) as provider:
        reception = await receive(_asked(provider.base_url, MISTRAL), ADAPTER)
    assert reception.error is not None
    assert reception.error.retryable
    assert reception.progress.finish_reason is None


async def test_a_workspaces_own_provider_is_not_called() -> None:
    async with scripted.provider([scripted.STREAM, None]) as provider:
        asked = _asked(provider.base_url, MISTRAL)
        reception = await receive(replace(asked, access=replace(asked.access, trusted=False)), ADAPTER)
    assert isinstance(reception.error, ProviderMisconfigured)
    assert not provider.connections


@pytest.mark.parametrize("name", ["gemini_bad_key", "mistral_thinking", "mistral_context", "bedrock_rate_limit"])
async def test_neither_key_nor_prompt_is_written_anywhere(
    name: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    expected, head, body = _fixture(name)
    secret = "the-prompt-canary-of-this-test"
    prompt = Prompt([{"role": "user", "content": secret}])
    with caplog.at_level(logging.DEBUG):
        async with scripted.provider([head + body, None]) as provider:
            reception = await receive(_asked(provider.base_url, expected["model"], prompt=prompt), ADAPTER)
    assert secret.encode() in provider.requests[0]
    written = capfd.readouterr()
    told = reception.error.detail if reception.error else ""
    for text in (caplog.text, written.out, written.err, told):
        assert KEY not in text
        assert secret not in text


async def test_nothing_listens_in_and_nothing_is_repeated() -> None:
    library = litellm._library
    # “cache” is its own name for nothing: it adds that by itself where no cache is set up.
    assert (library.callbacks, library.failure_callback, library.cache) == ([], [], None)
    assert set(library.success_callback) <= {"cache"}
    assert (library.num_retries, library.telemetry) == (0, False)
