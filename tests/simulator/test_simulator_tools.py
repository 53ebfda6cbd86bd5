"""Tool calls: asked for, streamed piece by piece, and answered from their results."""

from __future__ import annotations

import orjson
import pytest

from tests.simulator.client import FAST, Client

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather of a city",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                "days": {"type": "integer", "minimum": 1, "maximum": 7},
            },
            "required": ["city"],
        },
    },
}
CLOCK = {
    "type": "function",
    "function": {"name": "clock", "description": "Local hour", "parameters": {"type": "object", "properties": {}}},
}
QUESTION = [{"role": "user", "content": "What is the weather in New York in fahrenheit for 3 days?"}]
EXPECTED = {"city": "New York", "unit": "fahrenheit", "days": 3}


async def test_a_matching_tool_is_called_with_arguments_from_the_question(simulator: Client) -> None:
    answer = await simulator.chat(f"demo-swift+{FAST}", messages=QUESTION, tools=[CLOCK, WEATHER])
    [choice] = answer["choices"]
    [call] = choice["message"]["tool_calls"]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    assert call["function"]["name"] == "get_weather"
    assert orjson.loads(call["function"]["arguments"]) == EXPECTED


async def test_arguments_arrive_in_pieces_after_the_name(simulator: Client) -> None:
    reading = await simulator.stream(f"demo-swift+{FAST}+chunk=1", messages=QUESTION, tools=[WEATHER])
    parts = [c["delta"]["tool_calls"][0] for e in reading.events for c in e["choices"] if "tool_calls" in c["delta"]]
    first, *rest = parts
    assert first["type"] == "function"
    assert first["id"].startswith("call_")
    assert first["function"] == {"name": "get_weather", "arguments": ""}
    assert len(rest) > 5
    assert all(set(part) == {"index", "function"} for part in rest)
    assert orjson.loads("".join(part["function"]["arguments"] for part in rest)) == EXPECTED
    assert reading.finish_reasons == ["tool_calls"]


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("none", []),
        ("auto", []),
        ("required", ["get_weather"]),
        ({"type": "function", "function": {"name": "clock"}}, ["clock"]),
    ],
)
async def test_tool_choice_is_obeyed(simulator: Client, choice: object, called: list[str]) -> None:
    answer = await simulator.chat(
        f"demo-swift+{FAST}",
        messages=[{"role": "user", "content": "Explain recursion"}],
        tools=[WEATHER, CLOCK],
        tool_choice=choice,
    )
    calls = answer["choices"][0]["message"].get("tool_calls", [])
    assert [call["function"]["name"] for call in calls] == called


async def test_parallel_calls_can_be_forbidden(simulator: Client) -> None:
    messages = [{"role": "user", "content": "Weather of the city and the local hour, please"}]
    for allowed, count in ((True, 2), (False, 1)):
        answer = await simulator.chat(
            f"demo-swift+{FAST}", messages=messages, tools=[WEATHER, CLOCK], parallel_tool_calls=allowed
        )
        assert len(answer["choices"][0]["message"]["tool_calls"]) == count


async def test_a_result_is_used_instead_of_asking_again(simulator: Client) -> None:
    first = await simulator.chat(f"demo-swift+{FAST}", messages=QUESTION, tools=[WEATHER])
    message = first["choices"][0]["message"]
    call_id = message["tool_calls"][0]["id"]
    messages = [*QUESTION, message, {"role": "tool", "tool_call_id": call_id, "content": "Rain, 41 F"}]
    answer = await simulator.content(f"demo-swift+{FAST}", messages=messages, tools=[WEATHER])
    assert answer == "`get_weather` says:\n\n> Rain, 41 F"
