"""What a body of OpenAI's chat completions is read as, and what is refused in which words."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings

from apps.routing.contracts import Needs
from apps.routing.tokens import PICTURE_TOKENS, prompt_bytes
from apps.routing.wire import fields, openai_chat
from apps.routing.wire.fields import NOT_FOR_CALLERS
from tests.routing.wire.bodies import ANY_JSON, PICTURE, reads_or_refuses, refusal, with_something_odd

ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "city", "schema": {"type": "object"}, "strict": True}}
FULL: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}]},
        {
            "role": "user",
            "content": [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": PICTURE}}],
        },
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "[]"},
        {"role": "user", "content": [{"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERg=="}}]},
    ],
    "max_completion_tokens": 50,
    "temperature": 0.5,
    "top_p": 1,
    "frequency_penalty": -1,
    "presence_penalty": 2,
    "seed": 7,
    "stop": ["a", "b"],
    "logit_bias": {"50256": -100},
    "logprobs": True,
    "top_logprobs": 2,
    "reasoning_effort": "low",
    "verbosity": "low",
    "response_format": SCHEMA,
    "tools": [TOOL],
    "tool_choice": {"type": "function", "function": {"name": "look_up"}},
    "parallel_tool_calls": False,
    "stream": True,
    "stream_options": {"include_usage": True},
    "n": 2,
    "user": "u",
    "metadata": {"a": "b"},
    "store": False,
    "service_tier": "auto",
    "modalities": ["text"],
}
_NOT_PASSED_ON = {
    "model", "messages", "max_completion_tokens", "stream", "stream_options", "n",
    "user", "metadata", "store", "service_tier", "modalities",
}  # fmt: skip


def test_the_least_there_is() -> None:
    asked = openai_chat.read(ASK)
    assert (asked.model, asked.prompt.messages, asked.prompt.parameters) == ("m", ASK["messages"], {})
    assert (asked.max_output_tokens, asked.stream, asked.n, asked.include_usage) == (None, False, 1, False)
    assert asked.needs == Needs()
    assert asked.prompt_bytes == prompt_bytes(ASK["messages"])


def test_everything_there_is() -> None:
    asked = openai_chat.read(FULL)
    assert asked.prompt.messages == FULL["messages"]
    assert asked.prompt.parameters == {name: FULL[name] for name in FULL if name not in _NOT_PASSED_ON}
    assert asked.needs == Needs(tools=True, vision=True, json_schema=True)
    assert (asked.max_output_tokens, asked.stream, asked.n, asked.include_usage) == (50, True, 2, True)


def test_what_is_left_out_and_what_is_null_are_the_same() -> None:
    nulls = dict.fromkeys(FULL.keys() - ASK.keys(), None)
    assert openai_chat.read({**ASK, **nulls}) == openai_chat.read(ASK)


def test_a_picture_counts_for_what_it_is_and_not_for_its_bytes() -> None:
    large = "data:image/png;base64," + "A" * 3_000_000
    said = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": large, "detail": "high"}}]}]
    counted = openai_chat.read({**ASK, "messages": said}).prompt_bytes
    assert PICTURE_TOKENS < counted < PICTURE_TOKENS + 200


def test_a_schema_is_part_of_what_a_model_reads() -> None:
    with_schema = openai_chat.read({**ASK, "response_format": SCHEMA}).prompt_bytes
    assert with_schema - openai_chat.read(ASK).prompt_bytes == len(orjson.dumps(SCHEMA))


def test_an_answer_of_ours_can_be_sent_back() -> None:
    answer = {
        "role": "assistant", "content": "Well.", "refusal": None, "annotations": [], "reasoning_content": "Hm",
        "audio": None, "function_call": None, "tool_calls": None,
    }  # fmt: skip
    asked = openai_chat.read({**ASK, "messages": [*ASK["messages"], answer, *ASK["messages"]]})
    assert asked.prompt.messages[1] == {"role": "assistant", "content": "Well."}


@pytest.mark.parametrize(
    ("message", "content"),
    [
        ({"content": None, "refusal": "No."}, "No."),
        ({"content": [{"type": "refusal", "refusal": "No."}]}, [{"type": "text", "text": "No."}]),
        ({"content": "Well.", "refusal": None}, "Well."),
    ],
)
def test_a_refusal_is_what_the_model_said(message: dict[str, Any], content: Any) -> None:
    """Where the safety rules of a workspace look for texts."""
    (read,) = openai_chat.read({**ASK, "messages": [{"role": "assistant", **message}]}).prompt.messages
    assert read == {"role": "assistant", "content": content}


def test_the_mark_of_a_prompt_cache_is_always_that_of_the_short_time() -> None:
    message = {"role": "user", "content": "Hi", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    (read,) = openai_chat.read({**ASK, "messages": [message]}).prompt.messages
    assert read == {"role": "user", "content": "Hi", "cache_control": {"type": "ephemeral"}}


@pytest.mark.parametrize("without_tools", [{"tool_choice": "auto"}, {"tool_choice": "none"}, {"tools": []}])
def test_what_says_nothing_without_tools_is_left_out(without_tools: dict[str, Any]) -> None:
    assert openai_chat.read({**ASK, **without_tools}).prompt.parameters == {}


def test_where_a_call_goes_is_not_for_callers() -> None:
    for name in (*NOT_FOR_CALLERS, "aws_secret_access_key", "vertex_x", "x-api-key"):
        error = refusal(openai_chat.read, {**ASK, name: "https://example.org"})
        assert error.param == name and "administrator" in error.detail


def _said(*messages: Any) -> dict[str, Any]:
    return {"messages": list(messages)}


def _user(content: Any) -> dict[str, Any]:
    return _said({"role": "user", "content": content})


def _picture(url: str, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **more}}


_ASKED_TOOL = {"role": "assistant", "content": None, "tool_calls": [CALL]}
_RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "[]"}


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"model": "a\nb"}, "model"),
        ({"model": ["m"]}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "Hi"}, "messages"),
        (_said("Hi"), "messages.0"),
        (_said({"content": "Hi"}), "messages.0.role"),
        (_said({"role": "function", "name": "f", "content": "1"}), "messages.0.role"),
        (_said({"role": "king", "content": "Hi"}), "messages.0.role"),
        (_said({"role": {}, "content": "Hi"}), "messages.0.role"),
        (_said(*ASK["messages"], {"role": "user"}), "messages.1.content"),
        (_user(None), "messages.0.content"),
        (_user([]), "messages.0.content"),
        (_user(3), "messages.0.content"),
        (_user("a\x00b"), "messages.0.content"),
        (_user("x" * (fields.MAX_TEXT_BYTES + 1)), "messages.0.content"),
        (_user("é" * (fields.MAX_TEXT_BYTES // 2 + 1)), "messages.0.content"),
        (_user(["Hi"]), "messages.0.content.0"),
        (_user([{"type": "text"}]), "messages.0.content.0.text"),
        (_user([{"type": "text", "text": "a"}, {"type": "input_audio"}]), "messages.0.content.1.type"),
        (_user([{"type": "hologram"}]), "messages.0.content.0.type"),
        (_user([{"type": "image_url", "image_url": PICTURE}]), "messages.0.content.0.image_url"),
        (_user([_picture(PICTURE, detail="x")]), "messages.0.content.0.image_url.detail"),
        (_user([{"type": "file", "file": {"file_id": "file-1"}}]), "messages.0.content.0.file.file_id"),
        (_said({"role": "system", "content": [_picture(PICTURE)]}), "messages.0.content.0.type"),
        (_said({"role": "user", "content": "Hi", "headers": {}}), "messages.0.headers"),
        (_said({"role": "assistant", "content": None}), "messages.0.content"),
        (_said({"role": "assistant", "content": "a", "audio": {"id": "1"}}), "messages.0.audio"),
        (_said(_RESULT), "messages.0.tool_call_id"),
        (_said(_ASKED_TOOL, _RESULT, _RESULT), "messages.2.tool_call_id"),
        (_said(_ASKED_TOOL, {**_RESULT, "tool_call_id": None}), "messages.1.tool_call_id"),
        (_said(_ASKED_TOOL, {**_RESULT, "tool_call_id": []}), "messages.1.tool_call_id"),
        (_said(_ASKED_TOOL, *ASK["messages"]), "messages.1"),
        (_said(_ASKED_TOOL), "messages"),
        (_said({**_ASKED_TOOL, "tool_calls": [{**CALL, "type": "custom"}]}), "messages.0.tool_calls.0.type"),
        (_said({**_ASKED_TOOL, "tool_calls": [{**CALL, "id": 1}]}), "messages.0.tool_calls.0.id"),
        (_said({**_ASKED_TOOL, "tool_calls": [{"id": "a"}]}), "messages.0.tool_calls.0.function"),
        ({"n": 0}, "n"),
        ({"n": 9}, "n"),
        ({"n": 10**30}, "n"),
        ({"n": 1.5}, "n"),
        ({"n": True}, "n"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens"),
        ({"seed": 2**63}, "seed"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stop": ""}, "stop"),
        ({"stop": {"a": 1}}, "stop"),
        ({"logit_bias": {"hello": 1}}, "logit_bias"),
        ({"logit_bias": {"5": 101}}, "logit_bias.5"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort"),
        ({"reasoning_effort": ["low"]}, "reasoning_effort"),
        ({"service_tier": "priority"}, "service_tier"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"prediction": {"type": "content", "content": "x"}}, "prediction"),
        ({"tools": {}}, "tools"),
        ({"tools": [TOOL] * 129}, "tools"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"tools": [{"type": "function", "function": {"name": "no spaces"}}]}, "tools.0.function.name"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": 3}}]}, "tools.0.function.parameters"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": "any"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {**TOOL, "function": {"name": "g"}}}, "tool_choice.function.name"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {**SCHEMA, "json_schema": {"name": "a"}}}, "response_format.json_schema.schema"),
        ({"colour": "red"}, "colour"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_its_path(changes: dict[str, Any], param: str) -> None:
    error = refusal(openai_chat.read, {**ASK, **changes})
    assert error.param == param
    document = openai_chat.error_document(error, "r")["error"]
    assert (document["type"], document["param"]) == ("invalid_request_error", param)


@pytest.mark.parametrize(
    "url",
    [
        "http://a.org/b.png",
        "file:///etc/passwd",
        "https://user:secret@a.org/b.png",
        "https://a.org/b c.png",
        "data:image/svg+xml;base64,PHN2Zz4=",
        "data:image/png;base64,",
        "data:image/png,abc",
        "https://a.org/" + "x" * 9_000,
        "b.png",
        "",
        "https://127.0.0.1/b.png",
        "https://169.254.169.254/latest/meta-data/",
        "https://10.1.2.3/b.png",
        "https://2130706433/b.png",
        "https://0x7f.1/b.png",
        "https://[::1]/b.png",
        "https://[::ffff:10.0.0.1]/b.png",
        "https://[fd00::1]/b.png",
        "https://１２７.0.0.1/b.png",
        "https://localhost/b.png",
        "https://printer?b.png",
        "https://metadata.google.internal./b.png",
        "https://a.svc.cluster.local/b.png",
        "https://a.org:5432/b.png",
        "https:///b.png",
    ],
)
def test_pictures_are_given_by_a_safe_address_or_in_the_request(url: str) -> None:
    error = refusal(openai_chat.read, {**ASK, **_user([_picture(url)])})
    assert error.param == "messages.0.content.0.image_url.url"


@pytest.mark.parametrize(
    "url", ["https://a.org/b?c=http://10.0.0.1/", "https://[2606:4700::1111]/b", "https://A.ORG:443"]
)
def test_pictures_of_the_internet_are_passed_on(url: str) -> None:
    message = openai_chat.read({**ASK, **_user([_picture(url)])}).prompt.messages[0]
    assert message["content"][0]["image_url"]["url"] == url


@pytest.mark.parametrize("body", [None, [], "{}", 3])
def test_a_body_that_is_no_object(body: Any) -> None:
    assert refusal(openai_chat.read, body).param is None


def test_a_schema_that_is_nested_too_deep_for_those_who_read_it() -> None:
    schema: Any = {}
    for _ in range(900):
        schema = {"items": schema}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    assert refusal(openai_chat.read, {**ASK, "tools": [tool]}).param == "tools.0.function.parameters"


def test_half_of_a_surrogate_pair_is_refused() -> None:
    assert refusal(openai_chat.read, {**ASK, **_user("\ud800")}).param is None


@given(ANY_JSON)
@settings(max_examples=15, deadline=None)
def test_any_json_is_read_or_refused(body: Any) -> None:
    reads_or_refuses(openai_chat.read, body)


def test_anything_odd_in_any_place_is_read_or_refused() -> None:
    for body in with_something_odd(FULL):
        reads_or_refuses(openai_chat.read, body)
