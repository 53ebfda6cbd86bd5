"""What providers say was used, in each dialect that they say it in: each token is counted once, and charged once."""

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import orjson
import pytest

from apps.routing.contracts import PriceVersion, Usage
from apps.routing.errors import ProviderFailed
from apps.routing.providers import litellm
from apps.routing.providers.anthropic_events import EventReader
from apps.routing.providers.base import Progress
from apps.routing.providers.chat_chunks import ChunkReader
from apps.routing.wire import usage as said

# One nano-dollar for a token, of another decimal place for each kind: the sum tells how many there were of which.
PRICE = PriceVersion(uuid4(), 10**6, 10**10, 10**14, 10**18, 10**22, False)


def _openai(**usage: Any) -> list[dict[str, Any]]:
    return [{"choices": [], "usage": usage}]


def _anthropic(start: dict[str, Any], end: dict[str, Any]) -> list[dict[str, Any]]:
    delta = {"stop_reason": "end_turn"}
    return [
        {"type": "message_start", "message": {"usage": start}},
        {"type": "message_delta", "delta": delta, "usage": end},
    ]


def _by_litellm(**usage: Any) -> list[dict[str, Any]]:
    return [{"choices": [], "usage": litellm._usage(SimpleNamespace(model_dump=lambda **options: usage))}]


def _failure(error: Any) -> ProviderFailed:
    raise AssertionError(error)


def _read(events: list[dict[str, Any]]) -> Usage:
    progress = Progress()
    reader: Any = (EventReader if "type" in events[0] else ChunkReader)(progress, _failure)
    for event in events:
        reader.take(orjson.dumps(event))
    assert progress.usage is not None and progress.usage_is_final
    return progress.usage


# What was told; then fresh, read from the cache, written to it, spoken, thought.
TOLD: dict[str, tuple[list[dict[str, Any]], tuple[int, int, int, int, int]]] = {
    "OpenAI": (
        _openai(
            prompt_tokens=1_000,
            completion_tokens=200,
            total_tokens=1_200,
            prompt_tokens_details={"cached_tokens": 600, "audio_tokens": 0},
            completion_tokens_details={"reasoning_tokens": 120, "audio_tokens": 0, "rejected_prediction_tokens": 0},
        ),
        (400, 600, 0, 80, 120),
    ),
    "OpenAI, with what was written to the cache": (
        _openai(
            prompt_tokens=1_000,
            completion_tokens=200,
            total_tokens=1_200,
            prompt_tokens_details={"cached_tokens": 600, "cache_write_tokens": 100},
        ),
        (300, 600, 100, 200, 0),
    ),
    "OpenAI-compatible, the least": (_openai(prompt_tokens=7, completion_tokens=3), (7, 0, 0, 3, 0)),
    "DeepSeek": (
        _openai(
            prompt_tokens=1_000,
            completion_tokens=200,
            total_tokens=1_200,
            prompt_cache_hit_tokens=600,
            prompt_cache_miss_tokens=400,
            completion_tokens_details={"reasoning_tokens": 120},
        ),
        (400, 600, 0, 80, 120),
    ),
    "xAI, which counts thoughts apart": (
        _openai(
            prompt_tokens=1_000,
            completion_tokens=80,
            total_tokens=1_200,
            completion_tokens_details={"reasoning_tokens": 120},
        ),
        (1_000, 0, 0, 80, 120),
    ),
    "Gemini in OpenAI's form": (
        _openai(
            prompt_tokens=1_000,
            completion_tokens=80,
            total_tokens=1_200,
            prompt_tokens_details={"cached_tokens": 600},
        ),
        (400, 600, 0, 200, 0),
    ),
    "Gemini in OpenAI's form, thoughts alone": (
        _openai(
            prompt_tokens=21, completion_tokens=0, total_tokens=81, completion_tokens_details={"reasoning_tokens": 60}
        ),
        (21, 0, 0, 0, 60),
    ),
    "Gemini through litellm": (
        _by_litellm(
            prompt_tokens=1_000,
            completion_tokens=200,
            total_tokens=1_200,
            completion_tokens_details={"reasoning_tokens": 120, "text_tokens": 80},
            prompt_tokens_details={"cached_tokens": 600, "text_tokens": 400},
            cache_read_input_tokens=600,
        ),
        (400, 600, 0, 80, 120),
    ),
    "Bedrock through litellm": (
        _by_litellm(
            prompt_tokens=1_000,
            completion_tokens=50,
            total_tokens=1_050,
            completion_tokens_details={"reasoning_tokens": 0, "text_tokens": 50},
            prompt_tokens_details={
                "cache_write_tokens": 100,
                "cached_tokens": 600,
                "text_tokens": 300,
                "cache_creation_tokens": 100,
            },
            cache_creation_input_tokens=100,
            cache_read_input_tokens=600,
        ),
        (300, 600, 100, 50, 0),
    ),
    "Bedrock through litellm, without a cache": (
        _by_litellm(
            prompt_tokens=300,
            completion_tokens=50,
            total_tokens=350,
            completion_tokens_details={"reasoning_tokens": 0, "text_tokens": 50},
            prompt_tokens_details={"cached_tokens": 0, "text_tokens": 300, "cache_creation_tokens": 0},
        ),
        (300, 0, 0, 50, 0),
    ),
    "Anthropic": (
        _anthropic(
            {
                "input_tokens": 300,
                "cache_creation_input_tokens": 100,
                "cache_read_input_tokens": 600,
                "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 0},
                "output_tokens": 1,
                "service_tier": "standard",
            },
            {"output_tokens": 50},
        ),
        (300, 600, 100, 50, 0),
    ),
    "Anthropic, with thoughts and a correction": (
        _anthropic(
            {"input_tokens": 1, "output_tokens": 1},
            {
                "input_tokens": 400,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 600,
                "output_tokens": 200,
                "output_tokens_details": {"thinking_tokens": 120},
            },
        ),
        (400, 600, 0, 80, 120),
    ),
}
CASES = pytest.mark.parametrize(("told", "parts"), TOLD.values(), ids=TOLD.keys())
Parts = tuple[int, int, int, int, int]


@CASES
def test_every_dialect_is_read_as_the_same_parts(told: list[dict[str, Any]], parts: Parts) -> None:
    fresh, read, written, spoken, thought = parts
    assert _read(told) == Usage(
        input_tokens=fresh + read + written,
        output_tokens=spoken + thought,
        cached_tokens=read,
        reasoning_tokens=thought,
        cache_write_tokens=written,
    )


@CASES
def test_each_token_is_charged_once_and_as_what_it_is(told: list[dict[str, Any]], parts: Parts) -> None:
    assert PRICE.amount_nanousd(_read(told)) == sum(count * 10_000**place for place, count in enumerate(parts))


@CASES
def test_openais_form_adds_up(told: list[dict[str, Any]], parts: Parts) -> None:
    fresh, read, written, spoken, thought = parts
    document = said.openai_chat(_read(told))
    assert document["prompt_tokens"] == fresh + read + written
    assert document["prompt_tokens_details"]["cached_tokens"] == read
    assert document["prompt_tokens_details"]["cache_write_tokens"] == written
    assert document["completion_tokens"] == spoken + thought
    assert document["completion_tokens_details"]["reasoning_tokens"] == thought
    assert document["total_tokens"] == sum(parts)


@CASES
def test_the_parts_of_anthropics_form_do_not_overlap(told: list[dict[str, Any]], parts: Parts) -> None:
    fresh, read, written, spoken, thought = parts
    document = said.anthropic(_read(told))
    assert (document["input_tokens"], document["cache_read_input_tokens"]) == (fresh, read)
    assert document["cache_creation_input_tokens"] == written
    assert document["output_tokens"] == spoken + thought
    assert document["output_tokens_details"]["thinking_tokens"] == thought


@CASES
def test_what_we_say_is_read_as_what_we_read(told: list[dict[str, Any]], parts: Parts) -> None:
    """An installation may stand before another one."""
    usage = _read(told)
    assert _read(_openai(**said.openai_chat(usage))) == usage
    assert _read(_anthropic(said.anthropic(Usage(0, 0)), said.anthropic_end(usage))) == usage


def test_the_sum_of_several_answers() -> None:
    one, other = Usage(10, 5, 4, 3, False, 2), Usage(1, 1, estimated=True)
    assert said.together([one, other]) == Usage(11, 6, 4, 3, True, 2)
    assert said.together([one]) is one
