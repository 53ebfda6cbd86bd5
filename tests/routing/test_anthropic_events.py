"""What one event of Anthropic's stream means."""

from typing import Any

import orjson
import pytest

from apps.routing.contracts import ReasoningDelta, TextDelta, ToolCallCompleted, ToolCallStarted, Usage
from apps.routing.errors import ProviderOverloaded
from apps.routing.providers.anthropic_events import EventReader
from apps.routing.providers.base import Delta, Progress


def _read(*events: Any, text_tool: str | None = None) -> tuple[list[Delta], Progress]:
    progress = Progress()
    reader = EventReader(progress, lambda error: ProviderOverloaded(str(error)), text_tool=text_tool)
    payloads = [event if isinstance(event, bytes) else orjson.dumps(event) for event in events]
    return [delta for payload in payloads for delta in reader.take(payload)], progress


def _start(index: int = 0, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def _delta(index: int = 0, **delta: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def _stop(index: int = 0) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def _end(reason: str, **usage: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason}, **({"usage": usage} if usage else {})}


TEXT = _delta(type="text_delta", text="Hi é")


def test_text_and_thoughts() -> None:
    deltas, progress = _read(
        _start(type="thinking", thinking=""),
        _delta(type="thinking_delta", thinking="Hm"),
        _delta(type="signature_delta", signature="c2ln"),
        _stop(),
        _start(1, type="redacted_thinking", data="eA"),
        _stop(1),
        _start(2, type="text", text=""),
        _delta(2, type="text_delta", text="Hi é"),
        _delta(2, type="citations_delta", citation={}),
        _delta(2, type="text_delta", text=""),
        _stop(2),
    )
    assert deltas == [ReasoningDelta("Hm"), TextDelta("Hi é")]
    assert (progress.deltas, progress.received_bytes, progress.skipped_events) == (2, 7, 0)


def test_tool_calls_are_told_at_their_start_and_when_their_block_ends() -> None:
    deltas, progress = _read(
        _start(0, type="tool_use", id="toolu_a", name="weather", input={}),
        _delta(0, type="input_json_delta", partial_json=""),
        _delta(0, type="input_json_delta", partial_json='{"city":'),
        _delta(0, type="input_json_delta", partial_json='"Oslo"}'),
        _stop(0),
        _start(1, type="tool_use", id="toolu_b", name="time", input={}),
        _stop(1),
        _start(2, type="tool_use", id="toolu_c", name="whole", input={"x": 1}),
        _end("tool_use", output_tokens=5),
    )
    assert deltas == [
        ToolCallStarted("toolu_a", "weather"),
        ToolCallCompleted("toolu_a", "weather", '{"city":"Oslo"}'),
        ToolCallStarted("toolu_b", "time"),
        ToolCallCompleted("toolu_b", "time", "{}"),
        ToolCallStarted("toolu_c", "whole"),
        ToolCallCompleted("toolu_c", "whole", '{"x":1}'),
    ]
    assert progress.finish_reason == "tool_calls"


def test_the_input_of_the_tool_that_stands_for_the_answer_is_its_text() -> None:
    deltas, progress = _read(
        _start(type="tool_use", id="toolu_a", name="verdict", input={}),
        _delta(type="input_json_delta", partial_json='{"a":1}'),
        _stop(),
        _end("tool_use", output_tokens=5),
        text_tool="verdict",
    )
    assert (deltas, progress.finish_reason) == ([TextDelta('{"a":1}')], "stop")


@pytest.mark.parametrize(
    ("reason", "finish_reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("something_new", "stop"),
    ],
)
def test_stop_reasons(reason: str, finish_reason: str) -> None:
    assert _read(_end(reason))[1].finish_reason == finish_reason


def _begin(**usage: Any) -> dict[str, Any]:
    return {"type": "message_start", "message": {"usage": usage}}


def test_the_text_that_ended_an_answer() -> None:
    event = {"type": "message_delta", "delta": {"stop_reason": "stop_sequence", "stop_sequence": "END"}}
    _, progress = _read(event)
    assert (progress.finish_reason, progress.stop_sequence) == ("stop", "END")
    assert _read(_end("end_turn"))[1].stop_sequence is None


def test_usage_adds_the_parts_of_the_input_and_takes_the_last_word_on_the_output() -> None:
    begin = _begin(input_tokens=10, cache_creation_input_tokens=200, cache_read_input_tokens=3_000, output_tokens=2)
    _, progress = _read(begin, TEXT)
    assert (progress.usage, progress.usage_is_final) == (
        Usage(3_210, 2, cached_tokens=3_000, cache_write_tokens=200),
        False,
    )
    _, progress = _read(begin, TEXT, _end("end_turn", output_tokens=40))
    assert (progress.usage, progress.usage_is_final) == (
        Usage(3_210, 40, cached_tokens=3_000, cache_write_tokens=200),
        True,
    )


def test_usage_of_the_end_may_correct_that_of_the_beginning() -> None:
    told = {"input_tokens": 12, "cache_read_input_tokens": 5, "output_tokens": 9}
    _, progress = _read(
        _begin(input_tokens=0, output_tokens=0),
        _end("end_turn", **told, output_tokens_details={"thinking_tokens": 4}),
    )
    assert progress.usage == Usage(17, 9, cached_tokens=5, reasoning_tokens=4)


def test_without_a_last_word_the_usage_is_not_final() -> None:
    _, progress = _read(_begin(input_tokens=10, output_tokens=1), TEXT, _end("end_turn"))
    assert (progress.usage, progress.usage_is_final) == (Usage(10, 1), False)


def test_what_is_not_known_is_passed_over() -> None:
    deltas, progress = _read(
        {"type": "ping"}, {"type": "something_new"}, _start(type="server_tool_use", id="s", name="web_search"), TEXT
    )
    assert (deltas, progress.skipped_events) == ([TextDelta("Hi é")], 0)


@pytest.mark.parametrize(
    "payload",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"type":"content_block_delta","index":0}',
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":7}}',
        b'{"type":"content_block_delta","index":9,"delta":{"type":"input_json_delta","partial_json":"x"}}',
        b'{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"x"}}',
        b'{"type":"message_start","message":{"usage":{"input_tokens":-1}}}',
    ],
)
def test_an_event_that_cannot_be_read_is_skipped_and_counted(payload: bytes) -> None:
    deltas, progress = _read(payload, TEXT)
    assert deltas == [TextDelta("Hi é")]
    assert (progress.skipped_events, progress.usage, progress.deltas) == (1, None, 1)


def test_an_error_event_is_raised() -> None:
    with pytest.raises(ProviderOverloaded, match="Overloaded"):
        _read(TEXT, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})


def _whole(document: Any, text_tool: str | None = None) -> tuple[list[Delta], Progress]:
    progress = Progress()
    reader = EventReader(progress, lambda error: ProviderOverloaded(str(error)), text_tool=text_tool)
    return list(reader.take_whole(document)), progress


def test_a_message_in_one_piece_is_its_deltas_at_once() -> None:
    document = {
        "type": "message",
        "content": [
            {"type": "thinking", "thinking": "Hm", "signature": "c2ln"},
            {"type": "text", "text": "Hi é"},
            {"type": "tool_use", "id": "a", "name": "look", "input": {"at": 1}},
        ],
        "stop_reason": "stop_sequence",
        "stop_sequence": "END",
        "usage": {"input_tokens": 3, "cache_read_input_tokens": 2, "output_tokens": 5},
    }
    deltas, progress = _whole(document)
    assert deltas == [
        ReasoningDelta("Hm"),
        TextDelta("Hi é"),
        ToolCallStarted("a", "look"),
        ToolCallCompleted("a", "look", '{"at":1}'),
    ]
    assert progress.usage == Usage(input_tokens=5, output_tokens=5, cached_tokens=2)
    assert (progress.finish_reason, progress.stop_sequence, progress.usage_is_final) == ("stop", "END", True)


def test_an_answer_asked_for_as_a_tools_input_comes_as_text() -> None:
    content = [{"type": "tool_use", "id": "a", "name": "answer", "input": {"at": 1}}]
    document = {"type": "message", "content": content, "stop_reason": "tool_use", "usage": {"output_tokens": 5}}
    deltas, progress = _whole(document, text_tool="answer")
    assert (deltas, progress.finish_reason) == ([TextDelta('{"at":1}')], "stop")


@pytest.mark.parametrize("document", [None, [], 7, {}, {"type": "message"}, {"type": "message", "content": [7]}])
def test_what_is_no_message_has_no_end(document: Any) -> None:
    deltas, progress = _whole(document)
    assert (deltas, progress.finish_reason) == ([], None)


def test_an_error_in_one_piece_is_raised() -> None:
    with pytest.raises(ProviderOverloaded):
        _whole({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}})
