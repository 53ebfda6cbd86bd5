"""What a body of Anthropic's messages is read as, and what is refused in which words."""

from typing import Any

import pytest
from hypothesis import given, settings

from apps.routing.contracts import Needs
from apps.routing.wire import anthropic_messages
from apps.routing.wire.fields import NOT_FOR_CALLERS
from tests.routing.wire.bodies import ANY_JSON, reads_or_refuses, refusal, with_something_odd

MARK = {"cache_control": {"type": "ephemeral"}}
ASK: dict[str, Any] = {"model": "m", "max_tokens": 4_000, "messages": [{"role": "user", "content": "Hi"}]}
TOOL = {"name": "look_up", "description": "Looks up.", "input_schema": {"type": "object"}, **MARK}
USE = {"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": {"q": "é"}}
THOUGHT = {"type": "thinking", "thinking": "Hm", "signature": "s"}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "none", "is_error": True}
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
BY_ADDRESS = {"type": "image", "source": {"type": "url", "url": "https://a.org/b.png"}}
PDF = {
    "type": "document", "title": "A", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
}  # fmt: skip
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
FULL: dict[str, Any] = {
    "model": "m",
    "max_tokens": 4_000,
    "system": [{"type": "text", "text": "Be kind.", **MARK}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "?", **MARK}, PICTURE, BY_ADDRESS, PDF]},
        {"role": "assistant", "content": [THOUGHT, {"type": "text", "text": "!"}, USE]},
        {"role": "user", "content": [RESULT, {"type": "text", "text": "And now?"}]},
    ],
    "stop_sequences": ["END"],
    "stream": True,
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 5,
    "tools": [TOOL],
    "tool_choice": {"type": "tool", "name": "look_up", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 2_000},
    "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": SCHEMA}},
    "metadata": {"user_id": "u"},
    "service_tier": "auto",
}  # fmt: skip


def test_the_least_there_is() -> None:
    asked = anthropic_messages.read(ASK)
    assert (asked.model, asked.max_output_tokens, asked.stream, asked.n) == ("m", 4_000, False, 1)
    assert (asked.prompt.messages, asked.prompt.parameters) == (ASK["messages"], {})
    assert asked.needs == Needs()


def test_everything_there_is_becomes_what_openai_calls_it() -> None:
    asked = anthropic_messages.read(FULL)
    assert asked.prompt.messages == [
        {"role": "system", "content": [{"type": "text", "text": "Be kind.", **MARK}]},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "?", **MARK},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
                {"type": "image_url", "image_url": {"url": "https://a.org/b.png"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERg==", "filename": "A"}},
            ],
        },
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "!"}],
            "tool_calls": [
                {"id": "toolu_1", "type": "function", "function": {"name": "look_up", "arguments": '{"q":"é"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "toolu_1", "content": "none", "is_error": True},
        {"role": "user", "content": [{"type": "text", "text": "And now?"}]},
    ]
    function = {"name": "look_up", "description": "Looks up.", "parameters": {"type": "object"}}
    assert asked.prompt.parameters == {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 5,
        "stop": ["END"],
        "tools": [{"type": "function", "function": function, **MARK}],
        "tool_choice": {"type": "function", "function": {"name": "look_up"}},
        "parallel_tool_calls": False,
        "reasoning_effort": "high",
        "thinking": {"type": "enabled", "budget_tokens": 2_000},
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}},
    }
    assert asked.needs == Needs(tools=True, vision=True, json_schema=True)
    assert asked.stream


@pytest.mark.parametrize(
    ("given", "passed_on"),
    [
        ({"thinking": {"type": "disabled"}}, {}),
        ({"thinking": {"type": "adaptive"}}, {"reasoning_effort": "high"}),
        ({"output_config": {"effort": "low"}}, {"reasoning_effort": "low"}),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}}, {}),
        ({"tool_choice": {"type": "auto"}}, {}),
        ({"tools": []}, {}),
        ({"system": None, "metadata": None, "temperature": None, "stop_sequences": []}, {}),
    ],
)
def test_what_is_asked_in_other_words(given: dict[str, Any], passed_on: dict[str, Any]) -> None:
    assert anthropic_messages.read({**ASK, **given}).prompt.parameters == passed_on


@pytest.mark.parametrize(("tokens", "effort"), [(1_024, "low"), (4_096, "medium"), (20_000, "high")])
def test_a_budget_of_thoughts_is_an_effort_to_others(tokens: int, effort: str) -> None:
    body = {**ASK, "max_tokens": 30_000, "thinking": {"type": "enabled", "budget_tokens": tokens}}
    assert anthropic_messages.read(body).prompt.parameters["reasoning_effort"] == effort


@pytest.mark.parametrize(
    ("choice", "said"),
    [("auto", "auto"), ("any", "required"), ("none", "none")],
)
def test_the_choice_of_tools(choice: str, said: str) -> None:
    asked = anthropic_messages.read({**ASK, "tools": [TOOL], "tool_choice": {"type": choice}})
    assert asked.prompt.parameters["tool_choice"] == said


def test_a_mark_of_the_request_is_one_of_its_last_message() -> None:
    asked = anthropic_messages.read({**ASK, **MARK})
    assert asked.prompt.messages == [{"role": "user", "content": "Hi", **MARK}]


def test_an_answer_that_was_begun_stays_the_last_message() -> None:
    begun = {"role": "assistant", "content": "The answer is"}
    assert anthropic_messages.read({**ASK, "messages": [*ASK["messages"], begun]}).prompt.messages[-1] == begun


def test_where_a_call_goes_is_not_for_callers() -> None:
    for name in (*NOT_FOR_CALLERS, "aws_secret_access_key", "vertex_x", "x-api-key"):
        error = refusal(anthropic_messages.read, {**ASK, name: "https://example.org"})
        assert error.param == name and "administrator" in error.detail


def _user(*blocks: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(blocks)}]}


def _turns(*turns: Any) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def _image(**source: Any) -> dict[str, Any]:
    return _user({"type": "image", "source": source})


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"model": ""}, "model"),
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        (_user(), "messages.0.content"),
        (_user("Hi"), "messages.0.content.0"),
        (_user({"type": "text"}), "messages.0.content.0.text"),
        (_user({"type": "video"}), "messages.0.content.0.type"),
        (_user({"type": "tool_use"}), "messages.0.content.0.type"),
        (_user(RESULT), "messages.0.content.0.tool_use_id"),
        (_image(type="file", file_id="f"), "messages.0.content.0.source.type"),
        (_image(type="url", url="http://a.org/b.png"), "messages.0.content.0.source.url"),
        (_image(type="base64", media_type="image/tiff", data="AAAA"), "messages.0.content.0.source.media_type"),
        (_image(type="base64", media_type="image/png", data=""), "messages.0.content.0.source.data"),
        (_image(type="base64", media_type="image/png"), "messages.0.content.0.source"),
        (_user({**PDF, "citations": {"enabled": True}}), "messages.0.content.0.citations"),
        (_user({**PDF, "source": {"type": "url", "url": "https://a.org"}}), "messages.0.content.0.source.type"),
        (_turns(("user", "Hi"), ("assistant", [USE])), "messages"),
        (_turns(("user", "Hi"), ("assistant", [USE]), ("user", "Well?")), "messages.2.content"),
        (_turns(("user", "Hi"), ("assistant", [USE]), ("assistant", "Well.")), "messages.2.content"),
        (_turns(("user", "Hi"), ("assistant", [USE]), ("user", [RESULT, RESULT])), "messages.2.content.1.tool_use_id"),
        (_turns(("user", "Hi"), ("assistant", [{**USE, "input": "{}"}])), "messages.1.content.0.input"),
        (_turns(("assistant", [{"type": "server_tool_use"}])), "messages.0.content.0.type"),
        (_turns(("assistant", [{"type": "thinking", "thinking": "Hm"}])), "messages"),
        ({"system": 3}, "system"),
        ({"system": [PICTURE]}, "system.0.type"),
        ({"temperature": 1.5}, "temperature"),
        ({"top_k": 0}, "top_k"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"stop_sequences": [""]}, "stop_sequences"),
        ({"speed": "fast"}, "speed"),
        ({"container": "c"}, "container"),
        ({"mcp_servers": []}, "mcp_servers"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools.0.type"),
        ({"tools": [{"name": "no spaces", "input_schema": {}}]}, "tools.0.name"),
        ({"tools": [{"name": "f"}]}, "tools.0.input_schema"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "g"}}, "tool_choice.name"),
        ({"tools": [TOOL], "tool_choice": {}}, "tool_choice.type"),
        ({"tools": [TOOL] * 5}, "tools.4.cache_control"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1_000}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 4_000}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "hard"}}, "thinking.type"),
        ({"output_config": {"effort": "none"}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"n": 2}, "n"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(changes: dict[str, Any], param: str) -> None:
    error = refusal(anthropic_messages.read, {**ASK, **changes})
    assert error.param == param
    document = anthropic_messages.error_document(error, "req_1")
    assert document["error"]["type"] == "invalid_request_error"
    assert document["error"]["message"].startswith(f"{param}: ")


@given(ANY_JSON)
@settings(max_examples=15, deadline=None)
def test_any_json_is_read_or_refused(body: Any) -> None:
    reads_or_refuses(anthropic_messages.read, body)


def test_anything_odd_in_any_place_is_read_or_refused() -> None:
    for body in with_something_odd(FULL):
        reads_or_refuses(anthropic_messages.read, body)
