"""Answers in Anthropic's form, read back by Anthropic's own client."""

from typing import Any

import anthropic
import httpx2
import orjson
import pytest
from hypothesis import given, settings

from apps.problems import Problem
from apps.routing.contracts import (
    Chunk,
    ReasoningDelta,
    Restarted,
    Screened,
    TextDelta,
    ToolCallCompleted,
    ToolCallStarted,
)
from apps.routing.errors import AllAttemptsFailed, GapTimeout, NoCandidates, StreamBroken, UnknownModel
from apps.routing.wire import anthropic_messages
from apps.routing.wire.asked import Asked
from tests.routing.wire.chunks import answers, called, finished, streamed, text_of

ASK: dict[str, Any] = {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}]}


def _asked(**more: Any) -> Asked:
    return anthropic_messages.read({**ASK, **more})


def _writer(asked: Asked) -> anthropic_messages.Writer:
    return anthropic_messages.Writer(asked, call_id="1")


class Wire:
    """What the client's transport answers with."""

    content = b""
    status = 200

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        kind = "text/event-stream" if orjson.loads(request.content).get("stream") else "application/json"
        return httpx2.Response(self.status, content=self.content, headers={"content-type": kind})


@pytest.fixture(scope="module")
def wire() -> Wire:
    return Wire()


@pytest.fixture(scope="module")
def client(wire: Wire) -> anthropic.Anthropic:
    http = httpx2.Client(transport=httpx2.MockTransport(wire.answer))
    return anthropic.Anthropic(api_key="k", base_url="http://x", max_retries=0, http_client=http)


def _told(wire: Wire, client: anthropic.Anthropic, content: bytes) -> anthropic.types.Message:
    """The message as the client puts it together from the stream."""
    wire.content, wire.status = content, 200
    with client.messages.stream(**ASK) as stream:
        return stream.get_final_message()


def _whole(wire: Wire, client: anthropic.Anthropic, chunks: list[Chunk]) -> anthropic.types.Message:
    writer = _writer(_asked())
    assert streamed(writer, chunks) == b""
    wire.content, wire.status = orjson.dumps(writer.document()), 200
    return client.messages.create(**ASK)


def _plain(message: anthropic.types.Message) -> dict[str, Any]:
    # What the client adds to its own picture of a stream.
    return message.model_dump(exclude={"content": {"__all__": {"parsed_output", "citations", "caller"}}})


@given(answers())
@settings(max_examples=15, deadline=None)
def test_a_stream_and_a_document_say_the_same_to_the_official_client(
    client: anthropic.Anthropic, wire: Wire, chunks: list[Chunk]
) -> None:
    told = _told(wire, client, streamed(_writer(_asked(stream=True)), chunks))
    whole = _whole(wire, client, chunks)
    assert _plain(told) == _plain(whole)
    assert "".join(block.text for block in told.content if block.type == "text") == text_of(chunks)
    calls = [orjson.loads(one.arguments or "{}") for one in chunks if isinstance(one, ToolCallCompleted)]
    assert [block.input for block in told.content if block.type == "tool_use"] == calls


def test_the_parts_of_the_prompt_are_counted_once(client: anthropic.Anthropic, wire: Wire) -> None:
    usage = _told(wire, client, streamed(_writer(_asked(stream=True)), [TextDelta("Hi"), finished()])).usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (30, 60, 10)
    assert usage.output_tokens == 40
    assert usage.output_tokens_details is not None and usage.output_tokens_details.thinking_tokens == 15


@pytest.mark.parametrize(
    ("reason", "more", "told"),
    [
        ("stop", {}, ("end_turn", None)),
        ("length", {}, ("max_tokens", None)),
        ("content_filter", {}, ("refusal", None)),
        ("tool_calls", {}, ("tool_use", None)),
        ("stop", {"stop_sequence": "END"}, ("stop_sequence", "END")),
        ("stop", {"stop_sequence": "not asked for"}, ("end_turn", None)),
        ("length", {"stop_sequence": "END"}, ("max_tokens", None)),
        ("whatever", {}, ("end_turn", None)),
    ],
)
def test_why_an_answer_ended(reason: str, more: dict[str, Any], told: tuple[str, str | None]) -> None:
    writer = _writer(_asked(stop_sequences=["END"]))
    streamed(writer, [TextDelta("Hi"), finished(reason, **more)])
    document = writer.document()
    assert (document["stop_reason"], document["stop_sequence"]) == told


def test_a_call_that_was_demanded_is_a_call_whatever_the_provider_says() -> None:
    writer = _writer(_asked())
    streamed(writer, [*called("a", "f", "{}"), finished("stop")])
    assert writer.document()["stop_reason"] == "tool_use"


def _events(content: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(event.split(b"\ndata: ")[1]) for event in content.split(b"\n\n") if event]


def test_blocks_come_one_after_the_other_though_calls_come_side_by_side() -> None:
    writer = _writer(_asked(stream=True))
    first = writer.chunk(0, ToolCallStarted("a", "f"))
    assert _events(first)[0]["content_block"] == {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    assert writer.chunk(0, ToolCallStarted("b", "g")) == writer.chunk(0, TextDelta("Hi")) == b""
    rest = writer.chunk(0, ToolCallCompleted("a", "f", '{"x":1}')) + writer.chunk(0, ToolCallCompleted("b", "g", ""))
    rest += writer.chunk(0, finished("tool_calls"))
    assert [(one["type"], one.get("index")) for one in _events(rest)] == [
        ("content_block_delta", 0),
        ("content_block_stop", 0),
        ("content_block_start", 1),
        ("content_block_delta", 1),
        ("content_block_stop", 1),
        ("content_block_start", 2),
        ("content_block_delta", 2),
        ("content_block_stop", 2),
        ("message_delta", None),
    ]
    assert [block["type"] for block in writer.document()["content"]] == ["tool_use", "tool_use", "text"]
    assert [block.get("input") for block in writer.document()["content"]] == [{"x": 1}, {}, None]


def test_calls_whose_input_never_came_are_closed_with_the_message() -> None:
    writer = _writer(_asked(stream=True))
    begun = [ToolCallStarted("a", "f"), ToolCallStarted("b", "g"), TextDelta("Hi"), finished("length")]
    events = _events(streamed(writer, begun))
    starts = [one["index"] for one in events if one["type"] == "content_block_start"]
    stops = [one["index"] for one in events if one["type"] == "content_block_stop"]
    assert starts == stops == [0, 1, 2]


@pytest.mark.parametrize(("arguments", "held"), [('{"a":', {"arguments": '{"a":'}), ("[1]", {"arguments": [1]})])
def test_input_that_is_no_object_is_kept(arguments: str, held: dict[str, Any]) -> None:
    writer = _writer(_asked())
    streamed(writer, [*called("a", "f", arguments), finished("tool_calls")])
    assert writer.document()["content"][0]["input"] == held


def test_what_was_screened_is_not_told() -> None:
    assert _writer(_asked(stream=True)).chunk(0, Screened(())) == b""


def test_an_answer_that_begins_anew_can_still_be_told_at_once_but_not_streamed() -> None:
    chunks: list[Chunk] = [
        ReasoningDelta("?"),
        ToolCallStarted("a", "f"),
        Restarted("cut"),
        TextDelta("Yes"),
        finished(),
    ]
    whole = _writer(_asked())
    streamed(whole, chunks)
    assert whole.document()["content"] == [{"type": "text", "text": "Yes"}]
    with pytest.raises(StreamBroken):
        streamed(_writer(_asked(stream=True)), chunks)


def test_a_failure_in_the_stream_is_raised_by_the_official_client(client: anthropic.Anthropic, wire: Wire) -> None:
    writer = _writer(_asked(stream=True))
    problem = AllAttemptsFailed(GapTimeout("It fell silent."), 2)
    said = writer.begin() + writer.keep_alive + writer.chunk(0, TextDelta("Hi")) + writer.failed(problem)
    assert b"message_stop" not in said
    with pytest.raises(anthropic.APIStatusError, match="It fell silent"):
        _told(wire, client, said)


class _Slow(Problem):
    status, code, retryable = 429, "rate_limit_exceeded", True


@pytest.mark.parametrize(
    ("problem", "error", "kind"),
    [
        (_Slow("Slow."), anthropic.RateLimitError, "rate_limit_error"),
        (UnknownModel("No."), anthropic.NotFoundError, "not_found_error"),
        (NoCandidates("None."), anthropic.APIStatusError, "overloaded_error"),
    ],
)
def test_problems_are_errors_of_the_official_client(
    client: anthropic.Anthropic, wire: Wire, problem: Problem, error: type[Exception], kind: str
) -> None:
    wire.content = orjson.dumps(anthropic_messages.error_document(problem, "req_1"))
    wire.status = problem.status
    with pytest.raises(error) as raised:
        client.messages.create(**ASK)
    body: Any = raised.value.body  # type: ignore[attr-defined]
    assert (body["error"]["type"], body["request_id"]) == (kind, "req_1")
