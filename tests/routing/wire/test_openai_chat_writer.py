"""Answers in OpenAI's form, read back by OpenAI's own client."""

from typing import Any

import httpx
import openai
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.problems import Problem
from apps.routing.contracts import Chunk, ReasoningDelta, Restarted, Screened, TextDelta, ToolCallCompleted, Usage
from apps.routing.errors import AllAttemptsFailed, GapTimeout, StreamBroken
from apps.routing.wire import openai_chat
from apps.routing.wire.asked import Asked
from tests.routing.wire.chunks import USAGE, answers, called, finished, streamed, text_of

LOGPROBS = ({"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []},)


def _asked(**more: Any) -> Asked:
    return openai_chat.read({"model": "m", "messages": [{"role": "user", "content": "Hi"}], **more})


def _writer(asked: Asked) -> openai_chat.Writer:
    return openai_chat.Writer(asked, call_id="1", created=1_700_000_000)


def _client(content: bytes, kind: str = "text/event-stream", status: int = 200) -> openai.OpenAI:
    answer = httpx.Response(status, content=content, headers={"content-type": kind})
    transport = httpx.MockTransport(lambda request: answer)
    return openai.OpenAI(
        api_key="k", base_url="http://x/v1", max_retries=0, http_client=httpx.Client(transport=transport)
    )


@pytest.fixture(scope="module")
def wire() -> dict[str, bytes]:
    """What the client's transport answers with."""
    return {}


@pytest.fixture(scope="module")
def client(wire: dict[str, bytes]) -> openai.OpenAI:
    """One client for many answers: to make one takes longer than to read an answer."""

    def answer(request: httpx.Request) -> httpx.Response:
        kind = "text/event-stream" if orjson.loads(request.content).get("stream") else "application/json"
        return httpx.Response(200, content=wire["content"], headers={"content-type": kind})

    http = httpx.Client(transport=httpx.MockTransport(answer))
    return openai.OpenAI(api_key="k", base_url="http://x/v1", max_retries=0, http_client=http)


def _read_stream(client: openai.OpenAI) -> tuple[list[dict[str, Any]], Any]:
    """The choices as they come together from their deltas, and the usage."""
    choices: dict[int, dict[str, Any]] = {}
    usage = None
    for chunk in client.chat.completions.create(model="m", messages=[], stream=True):
        assert (chunk.id, chunk.object) == ("chatcmpl-1", "chat.completion.chunk")
        usage = chunk.usage or usage
        for choice in chunk.choices:
            held = choices.setdefault(choice.index, {"text": "", "thoughts": "", "calls": {}, "reason": None})
            held["text"] += choice.delta.content or ""
            held["thoughts"] += getattr(choice.delta, "reasoning_content", None) or ""
            held["reason"] = choice.finish_reason or held["reason"]
            for call in choice.delta.tool_calls or ():
                there = held["calls"].setdefault(call.index, {"id": call.id, "name": "", "arguments": ""})
                assert call.function is not None
                there["name"] += call.function.name or ""
                there["arguments"] += call.function.arguments or ""
    return [choices[index] for index in sorted(choices)], usage


def _of_document(completion: Any) -> list[dict[str, Any]]:
    return [
        {
            "text": choice.message.content or "",
            "thoughts": getattr(choice.message, "reasoning_content", ""),
            "calls": {
                place: {"id": call.id, "name": call.function.name, "arguments": call.function.arguments}
                for place, call in enumerate(choice.message.tool_calls or ())
            },
            "reason": choice.finish_reason,
        }
        for choice in completion.choices
    ]


@given(st.lists(answers(), min_size=1, max_size=2))
@settings(max_examples=15, deadline=None)
def test_a_stream_and_a_document_say_the_same_to_the_official_client(
    client: openai.OpenAI, wire: dict[str, bytes], many: list[list[Chunk]]
) -> None:
    options = {"stream": True, "stream_options": {"include_usage": True}}
    wire["content"] = streamed(_writer(_asked(n=len(many), **options)), *many)
    choices, usage = _read_stream(client)
    whole = _writer(_asked(n=len(many)))
    assert streamed(whole, *many) == b""
    wire["content"] = orjson.dumps(whole.document())
    completion = client.chat.completions.create(model="m", messages=[])
    assert choices == _of_document(completion)
    assert [one["text"] for one in choices] == [text_of(one) for one in many]
    assert usage == completion.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_usage_is_not_told_to_who_did_not_ask() -> None:
    said = streamed(_writer(_asked(stream=True)), [TextDelta("Hi"), finished()])
    assert b"usage" not in said and said.endswith(b"data: [DONE]\n\n")


def test_usage_is_one_chunk_without_choices_and_null_before() -> None:
    asked = _asked(stream=True, stream_options={"include_usage": True})
    events = streamed(_writer(asked), [TextDelta("Hi"), finished()]).split(b"\n\n")
    *before, last = [orjson.loads(event[6:]) for event in events if event and event != b"data: [DONE]"]
    assert [chunk["usage"] for chunk in before] == [None] * 3
    assert last["choices"] == []
    assert last["usage"]["prompt_tokens"] == 100
    assert last["usage"]["prompt_tokens_details"] == {"cached_tokens": 60, "cache_write_tokens": 10, "audio_tokens": 0}
    assert last["usage"]["completion_tokens_details"]["reasoning_tokens"] == 15


def test_several_answers_cost_what_each_of_them_costs() -> None:
    writer = _writer(_asked(n=3))
    streamed(writer, *[[TextDelta("Hi"), finished()]] * 3)
    assert writer.document()["usage"]["total_tokens"] == 3 * (USAGE.input_tokens + USAGE.output_tokens)


def test_likelihoods_come_where_they_were_asked_for() -> None:
    chunks: list[Chunk] = [TextDelta("Hi", LOGPROBS), finished()]
    writer = _writer(_asked(logprobs=True))
    streamed(writer, chunks)
    assert writer.document()["choices"][0]["logprobs"] == {"content": list(LOGPROBS), "refusal": None}
    said = streamed(_writer(_asked(logprobs=True, stream=True)), chunks)
    stream = _client(said).chat.completions.create(model="m", messages=[], stream=True)
    held = [chunk.choices[0].logprobs for chunk in stream]
    assert [one.content[0].token for one in held if one and one.content] == ["Hi"]
    assert b"-0.1" not in streamed(_writer(_asked(stream=True)), chunks)


def test_a_call_that_is_told_whole() -> None:
    writer = _writer(_asked(stream=True))
    said = writer.chunk(0, ToolCallCompleted("call_1", "f", '{"a":1}'))
    (call,) = orjson.loads(said[6:])["choices"][0]["delta"]["tool_calls"]
    assert call == {
        "index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'},
    }  # fmt: skip


def test_calls_with_one_id_keep_their_own_arguments() -> None:
    writer = _writer(_asked())
    streamed(writer, [*called("same", "f", '{"a":1}'), *called("same", "g", '{"b":2}'), finished("tool_calls")])
    held = writer.document()["choices"][0]["message"]
    assert [call["function"] for call in held["tool_calls"]] == [
        {"name": "f", "arguments": '{"a":1}'},
        {"name": "g", "arguments": '{"b":2}'},
    ]
    assert held["content"] is None


def test_what_was_screened_is_not_told() -> None:
    assert _writer(_asked(stream=True)).chunk(0, Screened(())) == b""


def test_an_answer_that_begins_anew_can_still_be_told_at_once_but_not_streamed() -> None:
    chunks: list[Chunk] = [ReasoningDelta("?"), TextDelta("No"), Restarted("cut"), TextDelta("Yes"), finished()]
    whole = _writer(_asked())
    streamed(whole, chunks)
    assert whole.document()["choices"][0]["message"]["content"] == "Yes"
    with pytest.raises(StreamBroken):
        streamed(_writer(_asked(stream=True)), chunks)


def test_a_failure_in_the_stream_is_raised_by_the_official_client() -> None:
    writer = _writer(_asked(stream=True))
    problem = AllAttemptsFailed(GapTimeout("It fell silent."), 2)
    said = writer.begin() + writer.chunk(0, TextDelta("Hi")) + writer.failed(problem)
    stream = _client(said).chat.completions.create(model="m", messages=[], stream=True)
    with pytest.raises(openai.APIError, match="It fell silent") as raised:
        list(stream)
    assert (raised.value.code, raised.value.type) == ("all_attempts_failed", "server_error")
    assert b"[DONE]" not in said


class _Slow(Problem):
    status, code, retryable = 429, "too_many_parallel_calls", True


class _Tokens(Problem):
    status, code, retryable = 429, "tokens_rate_limit_exceeded", True


class _Spent(Problem):
    status, code = 429, "insufficient_quota"


@pytest.mark.parametrize(
    ("problem", "kind", "code"),
    [
        (_Slow("Slow."), "requests", "rate_limit_exceeded"),
        (_Tokens("Slow."), "tokens", "rate_limit_exceeded"),
        (_Spent("Spent."), "insufficient_quota", "insufficient_quota"),
    ],
)
def test_limits_are_told_apart_as_openai_tells_them(problem: Problem, kind: str, code: str) -> None:
    body = orjson.dumps(openai_chat.error_document(problem, "r"))
    with pytest.raises(openai.RateLimitError) as raised:
        _client(body, "application/json", 429).chat.completions.create(model="m", messages=[])
    assert (raised.value.type, raised.value.code) == (kind, code)


def test_an_answer_without_any_usage_is_told_as_none() -> None:
    writer = _writer(_asked())
    streamed(writer, [finished(usage=Usage(0, 0))])
    assert writer.document()["usage"]["total_tokens"] == 0
    assert writer.document()["choices"][0]["message"]["content"] == ""
