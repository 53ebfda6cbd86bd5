"""A conversation as the official clients hold it: what they send is read, and answers go back as they came."""

from collections.abc import Callable
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import orjson
from pydantic import BaseModel

from apps.routing.contracts import Chunk, Prompt, ReasoningDelta, TextDelta
from apps.routing.wire import anthropic_messages, openai_chat, openai_responses
from apps.routing.wire.asked import Asked
from tests.routing.wire.chunks import called, finished, streamed

ANSWER: list[Chunk] = [
    ReasoningDelta("Hm"),
    TextDelta("One moment."),
    *called("call_1", "Weather", '{"city":"Oslo"}'),
    finished("tool_calls"),
]
CALL = {"id": "call_1", "type": "function", "function": {"name": "Weather", "arguments": '{"city":"Oslo"}'}}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "Rain"}


class Weather(BaseModel):
    """Tells the weather."""

    city: str


class House:
    """Reads what a client sends, and answers as a model would that calls a tool. `asked` is what was read last."""

    def __init__(self, dialect: Any) -> None:
        self._dialect = dialect
        self.asked: Asked

    def answer(self, sent: bytes) -> tuple[bytes, str]:
        self.asked = self._dialect.read(orjson.loads(sent))
        writer = self._dialect.Writer(self.asked, call_id="1", created=1_700_000_000)
        said = streamed(writer, ANSWER)
        if self.asked.stream:
            return said, "text/event-stream"
        return orjson.dumps(writer.document()), "application/json"

    @property
    def prompt(self) -> Prompt:
        return self.asked.prompt


def _openai(house: House) -> openai.OpenAI:
    def answer(request: httpx.Request) -> httpx.Response:
        content, kind = house.answer(request.content)
        return httpx.Response(200, content=content, headers={"content-type": kind})

    http = httpx.Client(transport=httpx.MockTransport(answer))
    return openai.OpenAI(api_key="k", base_url="http://x/v1", max_retries=0, http_client=http)


def _anthropic(house: House) -> anthropic.Anthropic:
    def answer(request: httpx2.Request) -> httpx2.Response:
        content, kind = house.answer(request.content)
        return httpx2.Response(200, content=content, headers={"content-type": kind})

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    return anthropic.Anthropic(api_key="k", base_url="http://x", max_retries=0, http_client=http)


def test_chat_completions() -> None:
    house = House(openai_chat)
    client, messages = _openai(house), [{"role": "user", "content": "Weather?"}]
    asks: list[Callable[..., Any]] = [client.chat.completions.create, client.chat.completions.parse]
    for ask in asks:
        tool = openai.pydantic_function_tool(Weather)
        message = ask(model="m", messages=messages, tools=[tool]).choices[0].message
        ask(model="m", messages=[*messages, message, RESULT], tools=[tool])
        assert house.prompt.messages == [
            *messages,
            {"role": "assistant", "content": "One moment.", "tool_calls": [CALL]},
            RESULT,
        ]
        assert house.prompt.parameters["tools"][0]["function"]["name"] == "Weather"


def test_chat_completions_that_are_streamed_and_parsed() -> None:
    house = House(openai_chat)
    client, messages = _openai(house), [{"role": "user", "content": "Weather?"}]
    tool = openai.pydantic_function_tool(Weather)
    with client.chat.completions.stream(model="m", messages=messages, tools=[tool]) as stream:  # type: ignore[arg-type]
        message = stream.get_final_completion().choices[0].message
    assert message.tool_calls is not None
    assert message.tool_calls[0].function.parsed_arguments == Weather(city="Oslo")
    client.chat.completions.create(model="m", messages=[*messages, message, RESULT], tools=[tool])  # type: ignore[list-item]
    assert house.prompt.messages[1] == {"role": "assistant", "content": "One moment.", "tool_calls": [CALL]}


def test_a_schema_of_the_answer() -> None:
    house = House(openai_chat)
    messages: Any = [{"role": "user", "content": "Which city?"}]
    request = {"model": "m", "messages": messages, "response_format": Weather}
    with _openai(house).chat.completions.stream(**request) as stream:
        for _ in stream:
            break
    assert house.asked.needs.json_schema
    assert house.prompt.parameters["response_format"]["json_schema"]["schema"]["required"] == ["city"]


def test_responses() -> None:
    house = House(openai_responses)
    client, first = _openai(house), {"role": "user", "content": "Weather?"}
    tool: Any = {"type": "function", "name": "Weather", "parameters": Weather.model_json_schema(), "strict": None}
    whole = client.responses.create(model="m", input=[first], tools=[tool])  # type: ignore[list-item]
    with client.responses.stream(model="m", input=[first], tools=[tool]) as stream:  # type: ignore[list-item]
        told = stream.get_final_response()
    output: Any = {"type": "function_call_output", "call_id": "call_1", "output": "Rain"}
    for response in (whole, told):
        items: Any = [first, *response.output, output]
        client.responses.create(model="m", input=items, tools=[tool])
        assert house.prompt.messages == [
            first,
            {"role": "assistant", "content": [{"type": "text", "text": "One moment."}], "tool_calls": [CALL]},
            RESULT,
        ]


def test_messages() -> None:
    house = House(anthropic_messages)
    client, first = _anthropic(house), {"role": "user", "content": "Weather?"}
    tool = {"name": "Weather", "description": "d", "input_schema": Weather.model_json_schema()}
    request: Any = {"model": "m", "max_tokens": 9, "tools": [tool], "system": "Be kind."}
    whole = client.messages.create(messages=[first], **request)
    with client.messages.stream(messages=[first], **request) as stream:
        told = stream.get_final_message()
    result = {"type": "tool_result", "tool_use_id": "call_1", "content": "Rain"}
    for message in (whole, told):
        turns: Any = [first, {"role": "assistant", "content": message.content}, {"role": "user", "content": [result]}]
        client.messages.create(messages=turns, **request)
        assert house.prompt.messages == [
            {"role": "system", "content": "Be kind."},
            first,
            {"role": "assistant", "content": [{"type": "text", "text": "One moment."}], "tool_calls": [CALL]},
            RESULT,
        ]
