"""Answers in the form of OpenAI's responses, read back by OpenAI's own client."""

from typing import Any

import httpx
import openai
import orjson
import pytest
from hypothesis import given, settings

from apps.routing.contracts import (
    Chunk,
    ReasoningDelta,
    Restarted,
    Screened,
    TextDelta,
    ToolCallCompleted,
    ToolCallStarted,
)
from apps.routing.errors import AllAttemptsFailed, GapTimeout, StreamBroken
from apps.routing.wire import openai_responses
from apps.routing.wire.asked import Asked
from tests.routing.wire.chunks import answers, called, finished, streamed, text_of

LOGPROBS = ({"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []},)


class Wire:
    """What the client's transport answers with."""

    content = b""

    def answer(self, request: httpx.Request) -> httpx.Response:
        kind = "text/event-stream" if orjson.loads(request.content).get("stream") else "application/json"
        return httpx.Response(200, content=self.content, headers={"content-type": kind})


@pytest.fixture(scope="module")
def wire() -> Wire:
    return Wire()


@pytest.fixture(scope="module")
def client(wire: Wire) -> openai.OpenAI:
    http = httpx.Client(transport=httpx.MockTransport(wire.answer))
    return openai.OpenAI(api_key="k", base_url="http://x/v1", max_retries=0, http_client=http)


def _asked(**more: Any) -> Asked:
    return openai_responses.read({"model": "m", "input": "Hi", **more})


def _writer(asked: Asked) -> openai_responses.Writer:
    return openai_responses.Writer(asked, call_id="1", created=1_700_000_000)


def _told(wire: Wire, client: openai.OpenAI, content: bytes) -> list[Any]:
    """The events as the client reads them, which puts a picture of the response together from them, and is strict."""
    wire.content = content
    with client.responses.stream(model="m", input="Hi") as stream:
        return list(stream)


@given(answers())
@settings(max_examples=15, deadline=None)
def test_a_stream_and_a_document_say_the_same_to_the_official_client(
    client: openai.OpenAI, wire: Wire, chunks: list[Chunk]
) -> None:
    events = _told(wire, client, streamed(_writer(_asked(stream=True)), chunks))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    whole = _writer(_asked())
    assert streamed(whole, chunks) == b""
    wire.content = orjson.dumps(whole.document())
    document = client.responses.create(model="m", input="Hi")
    last = events[-1].response
    assert events[-1].type == f"response.{document.status}"
    plain = {"exclude": {"output": {"__all__": {"parsed_arguments": True, "content": {"__all__": {"parsed"}}}}}}
    assert last.model_dump(**plain) == document.model_dump(**plain)
    assert document.output_text == text_of(chunks)
    deltas = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert deltas == document.output_text
    done = [event.item.model_dump() for event in events if event.type == "response.output_item.done"]
    assert sorted(one["id"] for one in done) == sorted(one.id or "" for one in document.output)
    assert document.usage is not None
    assert document.usage.total_tokens == document.usage.input_tokens + document.usage.output_tokens


def _events(content: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(event.split(b"\ndata: ")[1]) for event in content.split(b"\n\n") if event]


def test_the_events_of_thoughts_words_and_a_call() -> None:
    chunks: list[Chunk] = [ReasoningDelta("Hm"), TextDelta("Well"), *called("call_1", "f", '{"a":1}'), finished()]
    events = _events(streamed(_writer(_asked(stream=True)), chunks))
    assert [event["type"].removeprefix("response.") for event in events] == [
        "created", "in_progress",
        "output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta",
        "reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done",
        "output_item.added", "content_part.added", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done",
        "output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done",
        "completed",
    ]  # fmt: skip
    assert [item["type"] for item in events[-1]["response"]["output"]] == ["reasoning", "message", "function_call"]
    assert events[0]["response"]["output"] == []
    assert events[0]["response"]["status"] == "in_progress"


def test_calls_side_by_side_keep_their_places() -> None:
    started = [ToolCallStarted("a", "f"), ToolCallStarted("b", "g")]
    chunks: list[Chunk] = [
        *started,
        ToolCallCompleted("b", "g", "{}"),
        ToolCallCompleted("a", "f", '{"x":1}'),
        finished(),
    ]
    writer = _writer(_asked(stream=True))
    done = [one for one in _events(streamed(writer, chunks)) if one["type"] == "response.output_item.done"]
    assert [(one["output_index"], one["item"]["call_id"]) for one in done] == [(1, "b"), (0, "a")]
    assert [one["arguments"] for one in writer.document()["output"]] == ['{"x":1}', "{}"]


def test_a_call_whose_arguments_never_came_is_not_complete() -> None:
    writer = _writer(_asked())
    streamed(writer, [ToolCallStarted("a", "f"), finished("length")])
    assert writer.document()["output"][0]["status"] == "incomplete"


@pytest.mark.parametrize(
    ("reason", "status", "details"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", "incomplete", {"reason": "content_filter"}),
    ],
)
def test_why_an_answer_ended(reason: str, status: str, details: dict[str, str] | None) -> None:
    writer = _writer(_asked())
    streamed(writer, [TextDelta("Hi"), finished(reason)])
    document = writer.document()
    assert (document["status"], document["incomplete_details"]) == (status, details)


def test_a_response_repeats_what_was_asked() -> None:
    writer = _writer(_asked(instructions="Be kind.", temperature=0.5, metadata={"a": "b"}, max_output_tokens=9))
    streamed(writer, [finished()])
    document = writer.document()
    asked = {name: document[name] for name in ("instructions", "temperature", "metadata", "max_output_tokens", "store")}
    assert asked == {
        "instructions": "Be kind.", "temperature": 0.5, "metadata": {"a": "b"}, "max_output_tokens": 9, "store": False,
    }  # fmt: skip


def test_likelihoods_come_where_they_were_asked_for() -> None:
    chunks: list[Chunk] = [TextDelta("Hi", LOGPROBS), finished()]
    writer = _writer(_asked(include=["message.output_text.logprobs"]))
    streamed(writer, chunks)
    assert writer.document()["output"][0]["content"][0]["logprobs"] == list(LOGPROBS)
    assert b"-0.1" not in streamed(_writer(_asked(stream=True)), chunks)


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
    assert [item["type"] for item in whole.document()["output"]] == ["message"]
    with pytest.raises(StreamBroken):
        streamed(_writer(_asked(stream=True)), chunks)


def test_what_was_screened_is_not_told() -> None:
    assert _writer(_asked(stream=True)).chunk(0, Screened(())) == b""


def test_a_failure_is_the_last_event(client: openai.OpenAI, wire: Wire) -> None:
    writer = _writer(_asked(stream=True))
    problem = AllAttemptsFailed(GapTimeout("It fell silent."), 2)
    said = writer.begin() + writer.keep_alive + writer.chunk(0, TextDelta("Hi")) + writer.failed(problem)
    last = _told(wire, client, said)[-1]
    assert (last.type, last.response.status, last.response.error.code) == ("response.failed", "failed", "server_error")
    assert "It fell silent" in last.response.error.message
