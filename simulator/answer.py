"""Decides what a model answers: prose of its voice, JSON, tool calls, or text of an exact length."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import orjson

from simulator.catalogue import Model
from simulator.corpus import filler, question, voices
from simulator.options import Options
from simulator.request import ChatRequest, Tool
from simulator.schema import Filler
from simulator.tokens import tokenize

_BENCH_TOKENS = 128
_COMMON_WORDS = frozenset(
    "the and for with from that this what which when where your you are can how get set use into about of to in is "  # noqa: SIM905
    "a an it me my on at by or be do please tell give find show returns return given value string name".split()
)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool; its arguments are a JSON text, in tokens."""

    call_id: str
    name: str
    argument_tokens: list[str]


@dataclass(frozen=True, slots=True)
class Answer:
    """One choice of an answer, in tokens. `stopped_by` is the caller's text that would have come next."""

    reasoning_tokens: list[str]
    content_tokens: list[str]
    tool_calls: tuple[ToolCall, ...]
    finish_reason: str
    stopped_by: str | None = None

    @property
    def total_tokens(self) -> int:
        arguments = sum(len(call.argument_tokens) for call in self.tool_calls)
        return len(self.reasoning_tokens) + len(self.content_tokens) + arguments


def compose(model: Model, request: ChatRequest, options: Options, index: int) -> Answer:
    """The answer for choice `index`; the same for the same model, messages, seed and index."""
    source = orjson.dumps([model.slug, request.seed, index, request.messages])
    digest = blake2b(source, digest_size=8).hexdigest()
    asked = question.read(request.messages)
    dice = random.Random(digest)
    answer = _unlimited(model, request, options, asked, dice, digest)
    answer = _stopped(_continued(answer, request.prefill), request.stop)
    return _limited(answer, min(request.max_tokens or model.max_output_tokens, model.max_output_tokens))


def _unlimited(
    model: Model,
    request: ChatRequest,
    options: Options,
    asked: question.Question,
    dice: random.Random,
    digest: str,
) -> Answer:
    thoughts = filler.tokens(asked.topic, digest, options.reasoning or 0)
    if options.tokens is None:
        if tools := _tools_to_call(request, asked):
            return Answer(thoughts, [], tuple(_call(tool, asked, digest) for tool in tools), "tool_calls")
        if request.json_schema is not None:
            return Answer(thoughts, tokenize(_json_text(request.json_schema, asked)), (), "stop")
    if options.tokens is not None or model.voice == "filler":
        length = _BENCH_TOKENS if options.tokens is None else options.tokens
        return Answer(thoughts, filler.tokens(asked.topic, digest, length), (), "stop")
    reasoning, content = voices.speak(model.voice, asked, dice)
    if options.reasoning is None and request.thinks:
        thoughts = tokenize(reasoning)
    return Answer(thoughts, tokenize(content), (), "stop")


def _tools_to_call(request: ChatRequest, asked: question.Question) -> list[Tool]:
    if request.tool_choice == "none" or not request.tools:
        return []
    named = [tool for tool in request.tools if tool.name == request.tool_choice]
    if named:
        return named
    # Results are there: use them, rather than ask for the same again.
    if asked.tool_result is not None and request.tool_choice == "auto":
        return []
    words = question.words(asked.text) - _COMMON_WORDS
    scored = [(len(words & (_tool_words(tool) - _COMMON_WORDS)), -i, tool) for i, tool in enumerate(request.tools)]
    matching = [tool for score, _, tool in sorted(scored, key=lambda s: s[:2], reverse=True) if score]
    if not matching and request.tool_choice == "required":
        matching = [request.tools[0]]
    return matching[: 2 if request.parallel_tool_calls else 1]


def _tool_words(tool: Tool) -> set[str]:
    return question.words(f"{tool.name.replace('_', ' ')} {tool.description}")


def _call(tool: Tool, asked: question.Question, digest: str) -> ToolCall:
    arguments = Filler(asked.text, asked.topic, tool.parameters).value({"type": "object", **tool.parameters})
    call_id = "call_" + blake2b(f"{digest}{tool.name}".encode(), digest_size=12).hexdigest()
    return ToolCall(call_id, tool.name, tokenize(orjson.dumps(arguments).decode()))


def _json_text(schema: dict[str, Any], asked: question.Question) -> str:
    if schema:
        value = Filler(asked.text, asked.topic, schema).value(schema)
    else:
        value = {"topic": asked.topic, "intent": asked.intent, "turn": asked.turn, "answer": asked.gist()}
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _continued(answer: Answer, prefill: str) -> Answer:
    """What follows the beginning that the caller wrote, or all, where the model would have begun otherwise."""
    text = "".join(answer.content_tokens)
    if not prefill or not text.startswith(prefill):
        return answer
    return replace(answer, content_tokens=tokenize(text[len(prefill) :]))


def _stopped(answer: Answer, stops: tuple[str, ...]) -> Answer:
    if not stops:
        return answer
    text = "".join(answer.content_tokens)
    places = [(place, stop) for stop in stops if (place := text.find(stop)) >= 0]
    if not places:
        return answer
    place, stop = min(places)
    return replace(answer, content_tokens=tokenize(text[:place]), finish_reason="stop", stopped_by=stop)


def _limited(answer: Answer, limit_tokens: int) -> Answer:
    if answer.total_tokens <= limit_tokens:
        return answer
    left = limit_tokens - len(answer.reasoning_tokens[:limit_tokens])
    content = answer.content_tokens[:left]
    left -= len(content)
    calls = []
    for call in answer.tool_calls:
        if left > 0:
            calls.append(replace(call, argument_tokens=call.argument_tokens[:left]))
            left -= len(call.argument_tokens)
    return Answer(answer.reasoning_tokens[:limit_tokens], content, tuple(calls), "length")
