"""What one event of a chat stream means, in the dialects of several providers."""

from typing import Any

import orjson
import pytest

from apps.routing.contracts import ReasoningDelta, TextDelta, ToolCallCompleted, ToolCallStarted, Usage
from apps.routing.errors import ProviderOverloaded
from apps.routing.providers.base import Delta, Progress
from apps.routing.providers.chat_chunks import ChunkReader


def _read(*chunks: Any) -> tuple[list[Delta], Progress]:
    progress = Progress()
    reader = ChunkReader(progress, lambda error: ProviderOverloaded(str(error)))
    payloads = [chunk if isinstance(chunk, bytes) else orjson.dumps(chunk) for chunk in chunks]
    return [delta for payload in payloads for delta in reader.take(payload)], progress


def _delta(reason: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


@pytest.mark.parametrize(
    ("delta", "meaning"),
    [
        ({"content": "Hi"}, [TextDelta("Hi")]),
        ({"role": "assistant", "content": "Hi"}, [TextDelta("Hi")]),
        ({"role": "assistant", "content": ""}, []),
        ({"content": None}, []),
        ({"reasoning_content": "Hm"}, [ReasoningDelta("Hm")]),
        ({"reasoning": "Hm", "content": "Hi"}, [ReasoningDelta("Hm"), TextDelta("Hi")]),
        ({"refusal": "No"}, [TextDelta("No")]),
        ({}, []),
    ],
)
def test_deltas_of_text(delta: dict[str, Any], meaning: list[Delta]) -> None:
    deltas, progress = _read(_delta(**delta))
    assert deltas == meaning
    assert progress.deltas == len(meaning)
    assert progress.received_bytes == len("".join(getattr(one, "text", "") for one in meaning))
    assert progress.skipped_events == 0


def test_likelihoods_stay_with_their_text() -> None:
    tokens = [{"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []}]
    choice = {"index": 0, "delta": {"content": "Hi"}, "finish_reason": None, "logprobs": {"content": tokens}}
    assert _read({"choices": [choice]})[0] == [TextDelta("Hi", tuple(tokens))]
    assert _read({"choices": [{**choice, "logprobs": {"content": ["odd"]}}]})[0] == [TextDelta("Hi")]
    assert _read({"choices": [{**choice, "finish_reason": "stop", "logprobs": {"content": tokens}}]})[0] == [
        TextDelta("Hi", tuple(tokens))
    ]


@pytest.mark.parametrize(("told", "kept"), [("END", "END"), (128_009, None), (None, None)])
def test_the_text_that_ended_an_answer(told: Any, kept: str | None) -> None:
    ending = {"index": 0, "delta": {}, "finish_reason": "stop", "stop_reason": told}
    assert _read({"choices": [ending]})[1].stop_sequence == kept


def test_bytes_are_counted_not_characters() -> None:
    assert _read(_delta(content="é😀"))[1].received_bytes == 6


def test_other_choices_are_not_read() -> None:
    deltas, progress = _read({"choices": [{"index": 1, "delta": {"content": "Hi"}, "finish_reason": "stop"}]})
    assert (deltas, progress.finish_reason) == ([], None)


def test_a_tool_call_is_told_at_its_start_and_when_its_arguments_are_whole() -> None:
    deltas, progress = _read(
        _delta(tool_calls=[{"index": 0, "id": "call_a", "function": {"name": "weather", "arguments": ""}}]),
        _delta(tool_calls=[{"index": 0, "function": {"arguments": '{"city":'}}]),
        _delta(tool_calls=[{"index": 1, "id": "call_b", "function": {"name": "time", "arguments": "{}"}}]),
        _delta(tool_calls=[{"index": 0, "function": {"arguments": '"Oslo"}'}}]),
        _delta("tool_calls"),
    )
    assert deltas == [
        ToolCallStarted("call_a", "weather"),
        ToolCallStarted("call_b", "time"),
        ToolCallCompleted("call_a", "weather", '{"city":"Oslo"}'),
        ToolCallCompleted("call_b", "time", "{}"),
    ]
    assert progress.finish_reason == "tool_calls"
    assert progress.received_bytes == len('{"city":"Oslo"}{}')


def test_whole_tool_calls_that_share_an_index_and_lack_ids_stay_apart() -> None:
    deltas, _ = _read(
        _delta(tool_calls=[{"id": "a", "function": {"name": "one", "arguments": {"x": 1}}}]),
        _delta(tool_calls=[{"id": "b", "function": {"name": "two", "arguments": ""}}]),
        _delta(tool_calls=[{"function": {"arguments": "{}"}}]),
        _delta("tool_calls"),
    )
    assert deltas[2:] == [ToolCallCompleted("a", "one", '{"x":1}'), ToolCallCompleted("b", "two", "{}")]


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ({"prompt_tokens": 7, "completion_tokens": 3}, Usage(7, 3)),
        (
            {
                "prompt_tokens": 7,
                "completion_tokens": 5,
                "total_tokens": 12,
                "prompt_tokens_details": {"cached_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 2},
            },
            Usage(7, 5, cached_tokens=4, reasoning_tokens=2),
        ),
        # Thoughts counted beside the output instead of in it.
        (
            {
                "prompt_tokens": 7,
                "completion_tokens": 3,
                "total_tokens": 15,
                "completion_tokens_details": {"reasoning_tokens": 5},
            },
            Usage(7, 8, reasoning_tokens=5),
        ),
        ({"prompt_tokens": 7, "completion_tokens": 3, "prompt_cache_hit_tokens": 9}, Usage(7, 3, cached_tokens=7)),
        ({"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": None}, Usage(7, 3)),
    ],
)
def test_usage(told: dict[str, Any], usage: Usage) -> None:
    _, progress = _read({"choices": [], "usage": told})
    assert (progress.usage, progress.usage_is_final) == (usage, True)


def test_usage_told_along_the_way_is_not_final_until_nothing_follows_it() -> None:
    told = {"prompt_tokens": 7, "completion_tokens": 1}
    chunk = {**_delta(content="a"), "usage": told}
    assert _read(chunk)[1].usage_is_final
    assert not _read(chunk, _delta(content="b"))[1].usage_is_final


@pytest.mark.parametrize(
    "payload",
    [
        b"{",
        b"\xff",
        b"[]",
        b'"text"',
        b'{"choices":7}',
        b'{"choices":[{"delta":{"content":["no text"]}}]}',
        b'{"choices":[],"usage":{"prompt_tokens":-1}}',
        b'{"choices":[],"usage":{"prompt_tokens":"many"}}',
        b'{"choices":[],"usage":{"prompt_tokens":1e30}}',
        b'{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":100000001}}',
        b'{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}}]}',
    ],
)
def test_an_event_that_cannot_be_read_is_skipped_and_counted(payload: bytes) -> None:
    deltas, progress = _read(payload, _delta(content="sound"))
    assert deltas == [TextDelta("sound")]
    assert (progress.skipped_events, progress.usage) == (1, None)


@pytest.mark.parametrize(
    "chunk",
    [{"error": {"message": "broken"}}, {"error": "broken"}, {"object": "error", "message": "broken", "code": 500}],
)
def test_an_error_event_is_raised(chunk: dict[str, Any]) -> None:
    with pytest.raises(ProviderOverloaded, match="broken"):
        _read(chunk)


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("stop", "stop"),
        ("model_length", "length"),
        ("eos", "eos"),
        ("x" * 41, "other"),
        ("a\x00", "other"),
        (7, "other"),
    ],
)
def test_a_finish_reason_is_a_word_that_can_be_stored(told: Any, kept: str) -> None:
    assert _read(_delta(told, content="sound"))[1].finish_reason == kept


def _whole(document: Any) -> tuple[list[Delta], Progress]:
    progress = Progress()
    reader = ChunkReader(progress, lambda error: ProviderOverloaded(str(error)))
    return list(reader.take_whole(document)), progress


def test_an_answer_in_one_piece_is_its_deltas_at_once() -> None:
    calls = [
        {"id": "a", "type": "function", "function": {"name": "look", "arguments": '{"at":1}'}},
        {"id": "b", "type": "function", "function": {"name": "look", "arguments": "{}"}},
    ]
    message = {"role": "assistant", "content": "Hi", "reasoning_content": "Hm", "refusal": None, "tool_calls": calls}
    document = {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
    }
    deltas, progress = _whole(document)
    assert deltas == [
        ReasoningDelta("Hm"),
        TextDelta("Hi"),
        ToolCallStarted("a", "look"),
        ToolCallStarted("b", "look"),
        ToolCallCompleted("a", "look", '{"at":1}'),
        ToolCallCompleted("b", "look", "{}"),
    ]
    assert (progress.finish_reason, progress.usage, progress.usage_is_final) == ("tool_calls", Usage(9, 4), True)


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "text",
        7,
        {},
        {"choices": []},
        {"choices": [{}]},
        {"choices": [None]},
        {"choices": [{"message": None}]},
        {"choices": [{"message": {"tool_calls": [7]}, "finish_reason": "stop"}]},
    ],
)
def test_what_is_no_answer_has_no_end(document: Any) -> None:
    deltas, progress = _whole(document)
    assert (deltas, progress.finish_reason) == ([], None)


def test_an_error_in_one_piece_is_raised() -> None:
    with pytest.raises(ProviderOverloaded):
        _whole({"error": {"message": "busy"}})
    with pytest.raises(ProviderOverloaded):
        _whole({"choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "error"}]})
