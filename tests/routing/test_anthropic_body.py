"""What Anthropic is sent for a prompt in OpenAI's form."""

from typing import Any

import orjson
import pytest

from apps.routing.contracts import Prompt
from apps.routing.errors import ProviderRejected
from apps.routing.providers.anthropic_body import body_of
from tests.routing.reception import request

EPHEMERAL = {"type": "ephemeral"}
ASK = {"role": "user", "content": "Why?"}


def _body(
    *messages: dict[str, Any], model: str = "claude-haiku-4-5", bound: int = 4_096, **parameters: Any
) -> dict[str, Any]:
    asked = request("http://h/v1", model, bound=bound, prompt=Prompt(list(messages) or [ASK], parameters))
    body, _ = body_of(asked)
    read: dict[str, Any] = orjson.loads(body)
    return read


def _text(text: str, *, marked: bool = False) -> dict[str, Any]:
    return {"type": "text", "text": text, **({"cache_control": EPHEMERAL} if marked else {})}


def test_the_plain_case() -> None:
    body = _body({"role": "system", "content": "Be brief."}, ASK, user="u-17", metadata={"user_id": "u"}, n=3, seed=1)
    assert body == {
        "model": "claude-haiku-4-5",
        "max_tokens": 4_096,
        "stream": True,
        "system": [_text("Be brief.", marked=True)],
        "messages": [{"role": "user", "content": [_text("Why?")]}],
    }, "and nothing of who asks"


def test_system_messages_are_gathered_wherever_they_stand() -> None:
    body = _body({"role": "system", "content": "One."}, ASK, {"role": "developer", "content": [_text("Two.")]})
    assert body["system"] == [_text("One.", marked=True), _text("Two.", marked=True)]


def test_no_more_parts_are_marked_than_are_allowed() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    talk = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}] * 5
    systems = [{"role": "system", "content": text} for text in ("Be brief.", "Of old.", "In short.")]
    body = _body(*systems, *talk, ASK, tools=[tool, tool])
    assert orjson.dumps(body).count(b"cache_control") == 4
    assert "cache_control" not in orjson.dumps(body["messages"][-1]).decode()


def test_who_marks_what_is_to_be_cached_gets_no_other_marks() -> None:
    mark = {"cache_control": EPHEMERAL}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    talk = [ASK, {"role": "assistant", "content": "So."}]
    picture = {"type": "image_url", "image_url": {"url": "https://a.org/b.png"}, **mark}
    body = _body(
        {"role": "system", "content": "Be brief."}, *talk, {"role": "user", "content": [picture]}, tools=[tool]
    )
    assert orjson.dumps(body).count(b"cache_control") == 1
    assert body["messages"][-1]["content"][0]["cache_control"] == EPHEMERAL
    by_tool = _body(*talk, ASK, tools=[{**tool, **mark}, tool])
    assert [("cache_control" in one) for one in by_tool["tools"]] == [True, False]
    assert orjson.dumps(by_tool).count(b"cache_control") == 1
    of_message = _body(*talk, {**ASK, **mark})
    assert of_message["messages"][-1]["content"] == [_text("Why?", marked=True)]


def test_a_result_of_a_tool_can_be_marked_and_its_parts_cannot() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    asked = {"role": "assistant", "content": None, "tool_calls": [call]}
    result = {"role": "tool", "tool_call_id": "a", "content": [_text("No", marked=True)], "is_error": True}
    told = _body(ASK, asked, result)["messages"][-1]["content"]
    assert told == [
        {
            "type": "tool_result",
            "tool_use_id": "a",
            "is_error": True,
            "content": [_text("No")],
            "cache_control": EPHEMERAL,
        }
    ]


def test_an_older_model_that_was_just_answered_by_a_tool_is_not_told_to_think() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    talk = [ASK, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "a", "content": "No"}]
    assert "thinking" not in _body(*talk, reasoning_effort="low")
    assert "thinking" in _body(*talk, ASK, reasoning_effort="low", model="claude-sonnet-5")


def test_a_callers_budget_goes_before_that_of_an_effort() -> None:
    budget = {"type": "enabled", "budget_tokens": 1_500}
    assert _body(reasoning_effort="high", thinking=budget)["thinking"] == budget
    assert "thinking" not in _body(reasoning_effort="high", thinking=budget, bound=1_500), "no room for the answer"


def test_the_history_before_the_newest_question_is_marked_and_the_question_is_not() -> None:
    body = _body(ASK, {"role": "assistant", "content": "So."}, {"role": "user", "content": "And?"})
    assert body["messages"] == [
        {"role": "user", "content": [_text("Why?")]},
        {"role": "assistant", "content": [_text("So.", marked=True)]},
        {"role": "user", "content": [_text("And?")]},
    ]


def test_images_and_documents() -> None:
    parts = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBOR"}},
        {"type": "image_url", "image_url": {"url": "https://h.example/cat.png", "detail": "low"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
    ]
    [turn] = _body({"role": "user", "content": parts})["messages"]
    assert turn["content"] == [
        _text("What is it?"),
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBOR"}},
        {"type": "image", "source": {"type": "url", "url": "https://h.example/cat.png"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}},
    ]


@pytest.mark.parametrize(
    "part", [{"type": "input_audio", "input_audio": {}}, {"type": "image_url", "image_url": {"url": "file:///etc/x"}}]
)
def test_a_part_without_a_word_for_it_is_refused(part: dict[str, Any]) -> None:
    with pytest.raises(ProviderRejected):
        _body({"role": "user", "content": [part]})


def test_tool_calls_and_their_results_become_two_turns() -> None:
    calls = [
        {"id": "call.1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}},
        {"id": "call_2", "type": "function", "function": {"name": "time", "arguments": ""}},
        {"id": "call_3", "type": "function", "function": {"name": "cut", "arguments": '{"a":'}},
    ]
    body = _body(
        ASK,
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "call.1", "content": "Rain"},
        {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "Noon"}]},
        {"role": "tool", "tool_call_id": "call_3", "content": ""},
        {"role": "user", "content": "Well?"},
    )
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    assert body["messages"][1]["content"] == [
        {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Oslo"}},
        {"type": "tool_use", "id": "call_2", "name": "time", "input": {}},
        {
            "type": "tool_use",
            "id": "call_3",
            "name": "cut",
            "input": {"arguments": '{"a":'},
            "cache_control": EPHEMERAL,
        },
    ]
    assert body["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "call_1", "content": [_text("Rain")]},
        {"type": "tool_result", "tool_use_id": "call_2", "content": [_text("Noon")]},
        {"type": "tool_result", "tool_use_id": "call_3"},
        _text("Well?"),
    ]


def test_turns_alternate_and_begin_with_the_user() -> None:
    body = _body(
        {"role": "assistant", "content": "Welcome."},
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": " "},
        {"role": "user", "content": "Two"},
    )
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    assert body["messages"][2]["content"] == [_text("One"), _text("Two")]


def test_a_last_message_of_the_assistant_begins_the_answer() -> None:
    body = _body(ASK, {"role": "assistant", "content": "Because \n"}, reasoning_effort="high")
    assert body["messages"][-1] == {"role": "assistant", "content": [_text("Because")]}
    assert "thinking" not in body
    assert _body(ASK, {"role": "assistant", "content": " \n"})["messages"][-1]["role"] == "user"


FUNCTION = {"name": "weather", "description": "The weather", "parameters": {"type": "object", "properties": {"c": {}}}}
TOOLS = [{"type": "function", "function": {"name": "time"}}, {"type": "function", "function": FUNCTION}]


def test_tools() -> None:
    body = _body(tools=TOOLS)
    assert body["tools"] == [
        {"name": "time", "input_schema": {"type": "object", "properties": {}}},
        {
            "name": "weather",
            "description": "The weather",
            "input_schema": FUNCTION["parameters"],
            "cache_control": EPHEMERAL,
        },
    ]
    assert "tool_choice" not in body


@pytest.mark.parametrize(
    ("parameters", "choice"),
    [
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
        ({"tool_choice": {"type": "function", "function": {"name": "time"}}}, {"type": "tool", "name": "time"}),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
    ],
)
def test_the_choice_of_a_tool(parameters: dict[str, Any], choice: dict[str, Any]) -> None:
    assert _body(tools=TOOLS, **parameters)["tool_choice"] == choice


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"temperature": 0.3}, {"temperature": 0.3}),
        ({"temperature": 1.7}, {"temperature": 1.0}),
        ({"temperature": 0.3, "top_p": 0.9}, {"temperature": 0.3}),
        ({"top_p": 0.9}, {"top_p": 0.9}),
        ({"stop": "END"}, {"stop_sequences": ["END"]}),
        ({"stop": ["A", "\n", "B"]}, {"stop_sequences": ["A", "B"]}),
        ({"stop": None, "presence_penalty": 1, "logprobs": True}, {}),
        ({"reasoning_effort": "medium"}, {"thinking": {"type": "enabled", "budget_tokens": 2_048}}),
        ({"reasoning_effort": "low"}, {"thinking": {"type": "enabled", "budget_tokens": 1_024}}),
        ({"reasoning_effort": "high", "temperature": 0.3}, {"thinking": {"type": "enabled", "budget_tokens": 3_276}}),
        ({"reasoning_effort": "none"}, {}),
    ],
)
def test_parameters(given: dict[str, Any], sent: dict[str, Any]) -> None:
    plain = _body()
    assert {key: value for key, value in _body(**given).items() if key not in plain} == sent


def test_thoughts_leave_room_for_the_answer_and_for_a_forced_tool() -> None:
    assert "thinking" not in _body(bound=1_024, reasoning_effort="low")
    assert "thinking" not in _body(tools=TOOLS, tool_choice="required", reasoning_effort="high")


@pytest.mark.parametrize("model", ["claude-opus-4-7-20260416", "claude-sonnet-5", "claude-haiku-5-5", "claude-new"])
def test_newer_models_are_told_an_effort_and_no_temperature(model: str) -> None:
    body = _body(model=model, reasoning_effort="minimal", temperature=0.2)
    assert body["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert body["output_config"] == {"effort": "low"}
    assert "temperature" not in body
    assert "temperature" not in _body(model=model, temperature=0.2)


SCHEMA = {
    "type": "object",
    "properties": {
        "maximum": {"type": "integer", "maximum": 5},
        "tags": {"type": "array", "maxItems": 3, "items": {"type": "object", "properties": {"t": {"enum": ["a"]}}}},
    },
    "required": ["maximum"],
}
CLOSED = {
    "type": "object",
    "properties": {
        "maximum": {"type": "integer"},
        "tags": {
            "type": "array",
            "items": {"type": "object", "properties": {"t": {"enum": ["a"]}}, "additionalProperties": False},
        },
    },
    "required": ["maximum"],
    "additionalProperties": False,
}
WANTED = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": SCHEMA, "strict": True}}


def test_a_schema_is_closed_and_rid_of_what_is_refused() -> None:
    body = _body(response_format=WANTED)
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": CLOSED}}


def test_an_older_model_gives_its_json_as_the_input_of_a_tool() -> None:
    asked = request("http://h/v1", "claude-3-5-haiku-20241022", prompt=Prompt([ASK], {"response_format": WANTED}))
    body, text_tool = body_of(asked)
    sent = orjson.loads(body)
    assert text_tool == "verdict"
    assert sent["tool_choice"] == {"type": "tool", "name": "verdict"}
    assert [(tool["name"], tool["input_schema"]) for tool in sent["tools"]] == [("verdict", CLOSED)]


def test_json_without_a_schema_is_asked_for_in_words() -> None:
    body = _body({"role": "system", "content": "Be brief."}, ASK, response_format={"type": "json_object"})
    assert len(body["system"]) == 2
    assert "JSON object" in body["system"][1]["text"]


def test_the_beginning_stays_the_same_from_turn_to_turn() -> None:
    """What a prompt cache compares: everything up to the mark, byte by byte, but for the marks themselves."""
    history: list[dict[str, Any]] = [{"role": "system", "content": "Be brief."}, ASK]
    first = _body(*history, tools=TOOLS)
    second = _body(*history, {"role": "assistant", "content": "So."}, {"role": "user", "content": "And?"}, tools=TOOLS)
    assert second["tools"] == first["tools"]
    assert second["system"] == first["system"]
    assert second["messages"][0] == first["messages"][0]
