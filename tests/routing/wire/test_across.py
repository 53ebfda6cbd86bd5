"""What is asked in any dialect can be answered by a provider of any other: the simulator checks requests as they do."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import orjson
import pytest

from apps.routing.providers import anthropic_body, openai_compatible
from apps.routing.wire import anthropic_messages, openai_chat, openai_responses
from simulator.anthropic_request import parse_messages
from simulator.openai_request import parse_chat
from simulator.request import ChatRequest
from tests.routing.reception import request
from tests.routing.wire import test_anthropic_read, test_openai_chat_read, test_responses_read

DIALECTS = pytest.mark.parametrize(
    ("dialect", "full"),
    [
        (openai_chat, test_openai_chat_read.FULL),
        (anthropic_messages, test_anthropic_read.FULL),
        (openai_responses, test_responses_read.FULL),
    ],
    ids=["chat", "messages", "responses"],
)


def _to_openai(prompt: Any) -> ChatRequest:
    return parse_chat(orjson.loads(openai_compatible.body_of(request("http://h/v1", "m", prompt=prompt))))


def _to_anthropic(prompt: Any) -> ChatRequest:
    body, _ = anthropic_body.body_of(request("http://h/v1", "claude-sonnet-4-5", bound=4_096, prompt=prompt))
    return parse_messages(orjson.loads(body))


def _words(value: Any) -> str:
    return orjson.dumps(value).decode()


@DIALECTS
@pytest.mark.parametrize("sent", [_to_openai, _to_anthropic])
def test_everything_there_is_is_accepted(
    dialect: ModuleType, full: dict[str, Any], sent: Callable[[Any], ChatRequest]
) -> None:
    received = sent(dialect.read(full).prompt)
    assert [tool.name for tool in received.tools] == ["look_up"]
    assert received.tool_choice == "look_up"
    assert not received.parallel_tool_calls
    assert received.json_schema is not None
    said = _words(received.messages)
    assert "Be kind." in said and "look_up" in said and "?" in said


@DIALECTS
def test_nothing_of_anthropics_own_reaches_others(dialect: ModuleType, full: dict[str, Any]) -> None:
    body = openai_compatible.body_of(request("http://h/v1", "m", prompt=dialect.read(full).prompt))
    for name in (b"cache_control", b"is_error", b"budget_tokens", b"top_k", b"tool_use"):
        assert name not in body, name
