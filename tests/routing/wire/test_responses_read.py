"""What a body of OpenAI's responses is read as, and what is refused in which words."""

from typing import Any

import pytest
from hypothesis import given, settings

from apps.routing.contracts import Needs
from apps.routing.wire import openai_responses
from apps.routing.wire.fields import NOT_FOR_CALLERS
from tests.routing.wire.bodies import ANY_JSON, PICTURE, reads_or_refuses, refusal, with_something_odd

ASK: dict[str, Any] = {"model": "m", "input": "Hi"}
TOOL = {"type": "function", "name": "look_up", "parameters": {"type": "object"}, "strict": True, "description": "d"}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "look_up", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "none"}
SAID = {
    "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
    "content": [{"type": "output_text", "text": "!", "annotations": [], "logprobs": []}],
}  # fmt: skip
SCHEMA = {"type": "json_schema", "name": "city", "schema": {"type": "object"}, "strict": True}
FULL: dict[str, Any] = {
    "model": "m",
    "instructions": "Be kind.",
    "input": [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "?"},
                {"type": "input_image", "image_url": PICTURE, "detail": "low"},
                {"type": "input_file", "file_data": "data:application/pdf;base64,JVBERg==", "filename": "a.pdf"},
            ],
        },
        {"type": "reasoning", "id": "rs_1", "summary": []},
        SAID,
        CALL,
        {**CALL, "call_id": "call_2"},
        OUTPUT,
        {**OUTPUT, "call_id": "call_2", "output": [{"type": "input_text", "text": "some"}]},
        {"role": "user", "content": "And now?"},
    ],
    "max_output_tokens": 50,
    "temperature": 0.5,
    "top_p": 1,
    "reasoning": {"effort": "low", "summary": "auto"},
    "text": {"format": SCHEMA, "verbosity": "low"},
    "tools": [TOOL],
    "tool_choice": {"type": "function", "name": "look_up"},
    "parallel_tool_calls": False,
    "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
    "top_logprobs": 2,
    "stream": True,
    "store": False,
    "metadata": {"a": "b"},
    "truncation": "disabled",
    "user": "u",
}


def test_the_least_there_is() -> None:
    asked = openai_responses.read(ASK)
    assert asked.prompt.messages == [{"role": "user", "content": "Hi"}]
    assert (asked.prompt.parameters, asked.needs, asked.stream) == ({}, Needs(), False)


def test_everything_there_is_becomes_what_chats_call_it() -> None:
    asked = openai_responses.read(FULL)
    function = {"name": "look_up", "arguments": "{}"}
    file = {"file_data": "data:application/pdf;base64,JVBERg==", "filename": "a.pdf"}
    assert asked.prompt.messages == [
        {"role": "system", "content": "Be kind."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "?"},
                {"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}},
                {"type": "file", "file": file},
            ],
        },
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "!"}],
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": function},
                {"id": "call_2", "type": "function", "function": function},
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "none"},
        {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "some"}]},
        {"role": "user", "content": "And now?"},
    ]
    assert asked.prompt.parameters == {
        "temperature": 0.5,
        "top_p": 1,
        "reasoning_effort": "low",
        "verbosity": "low",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "city", "schema": {"type": "object"}, "strict": True},
        },
        "tools": [{"type": "function", "function": {name: TOOL[name] for name in TOOL if name != "type"}}],
        "tool_choice": {"type": "function", "function": {"name": "look_up"}},
        "parallel_tool_calls": False,
        "logprobs": True,
        "top_logprobs": 2,
    }
    assert asked.needs == Needs(tools=True, vision=True, json_schema=True)
    assert (asked.max_output_tokens, asked.stream) == (50, True)


def test_a_call_without_words_before_it_is_an_answer_of_its_own() -> None:
    asked = openai_responses.read({**ASK, "input": [{"role": "user", "content": "?"}, CALL, OUTPUT]})
    assert [message["role"] for message in asked.prompt.messages] == ["user", "assistant", "tool"]
    assert asked.prompt.messages[1]["content"] is None


def test_where_a_call_goes_is_not_for_callers() -> None:
    for name in (*NOT_FOR_CALLERS, "aws_secret_access_key", "vertex_x", "x-api-key"):
        error = refusal(openai_responses.read, {**ASK, name: "https://example.org"})
        assert error.param == name and "administrator" in error.detail


def _user(*parts: Any) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": list(parts)}]}


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"model": 3}, "model"),
        ({"input": None}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": [{"type": "reasoning"}]}, "input"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input.0"),
        ({"input": [{"type": "web_search_call"}]}, "input.0.type"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input.0.role"),
        ({"input": [{"role": "user", "content": None}]}, "input.0.content"),
        (_user({"type": "text", "text": "x"}), "input.0.content.0.type"),
        (_user({"type": "input_image", "file_id": "f"}), "input.0.content.0.file_id"),
        (_user({"type": "input_image", "image_url": "http://a.org"}), "input.0.content.0.image_url"),
        (_user({"type": "input_file", "file_url": "https://a.org"}), "input.0.content.0.file_url"),
        ({"input": [OUTPUT]}, "input.0.call_id"),
        ({"input": [CALL]}, "input"),
        ({"input": [CALL, {"role": "user", "content": "x"}]}, "input.1"),
        ({"input": [CALL, {**CALL, "call_id": "b"}, OUTPUT, {**CALL, "call_id": "c"}]}, "input.3"),
        ({"input": [{**CALL, "arguments": {}}]}, "input.0.arguments"),
        ({"input": [CALL, {**OUTPUT, "output": 3}]}, "input.1.output"),
        ({"instructions": []}, "instructions"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "c"}, "conversation"),
        ({"background": True}, "background"),
        ({"truncation": "auto"}, "truncation"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"include": ["file_search_call.results"]}, "include.0"),
        ({"include": [[]]}, "include.0"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools.0.function"),
        ({"tool_choice": {"type": "function", "name": "f"}}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "name": "g"}}, "tool_choice.name"),
        ({"text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format.schema"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"messages": []}, "messages"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(changes: dict[str, Any], param: str) -> None:
    assert refusal(openai_responses.read, {**ASK, **changes}).param == param


@given(ANY_JSON)
@settings(max_examples=15, deadline=None)
def test_any_json_is_read_or_refused(body: Any) -> None:
    reads_or_refuses(openai_responses.read, body)
    reads_or_refuses(openai_responses.read, {**ASK, "input": [body]})


def test_anything_odd_in_any_place_is_read_or_refused() -> None:
    for body in with_something_odd(FULL):
        reads_or_refuses(openai_responses.read, body)
