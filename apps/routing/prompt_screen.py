"""What is sent to a model, screened by a workspace's rules before anything is called."""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from apps.routing.contracts import Prompt, SafetySettings, Verdict, merged, verdicts_of
from apps.routing.errors import PromptBlocked
from apps.routing.json_screen import screened_json
from apps.safety import Action, Direction, Limits, Placeholders, Ruling, redact, rule_on, rules_for, scan

# What was found in texts that come again with every question of a chat: places and rules, never the text.
_REMEMBERED = 4096
_known: OrderedDict[tuple[bytes, tuple[Any, ...]], tuple[Ruling, ...]] = OrderedDict()
_guard = threading.Lock()

# What is blocked, and what a person can do about it.
NEW = ("Your workspace blocks something in this message.", "Take it out and send the message again.")
EARLIER = ("Your workspace blocks something in an earlier message of this chat.", "Go on in a new chat.")
SYSTEM = ("Your workspace blocks something in the instructions before this chat.", "Take it out of them and ask again.")

Opening = tuple[str, str]


def screen_prompt(
    prompt: Prompt, settings: SafetySettings, placeholders: Placeholders
) -> tuple[Prompt, tuple[Verdict, ...]]:
    """The prompt as it may be sent, and what was found in it. CPU only. Raises `PromptBlocked`."""
    limits = settings.limits(Direction.PROMPT)
    verdicts: list[Verdict] = []
    messages: list[Mapping[str, Any]] = []
    newest = max((place for place, one in enumerate(prompt.messages) if one.get("role") == "user"), default=-1)
    for place, message in enumerate(prompt.messages):
        opening = SYSTEM if message.get("role") == "system" else NEW if place >= newest else EARLIER
        screened = dict(message)
        if "content" in message:
            screened["content"] = _content(message["content"], limits, placeholders, verdicts, opening)
        if message.get("tool_calls"):
            screened["tool_calls"] = [
                _call(one, limits, placeholders, verdicts, opening) for one in message["tool_calls"]
            ]
        messages.append(screened)
    return replace(prompt, messages=messages), merged(verdicts)


def screen_text(text: str, settings: SafetySettings) -> tuple[str, tuple[Verdict, ...]]:
    """A question as it may be sent, and what was found in it, before it is accepted. Raises `PromptBlocked`."""
    verdicts: list[Verdict] = []
    screened = _text(text, settings.limits(Direction.PROMPT), Placeholders(), verdicts, NEW)
    return screened, merged(verdicts)


def _content(
    content: Any, limits: Limits, placeholders: Placeholders, verdicts: list[Verdict], opening: Opening
) -> Any:
    """A message's content: text, or parts of which some are text."""
    if isinstance(content, str):
        return _text(content, limits, placeholders, verdicts, opening)
    if not isinstance(content, Sequence):
        return content
    return [
        {**part, "text": _text(part["text"], limits, placeholders, verdicts, opening)}
        if isinstance(part, Mapping) and isinstance(part.get("text"), str)
        else part
        for part in content
    ]


def _call(
    call: Mapping[str, Any], limits: Limits, placeholders: Placeholders, verdicts: list[Verdict], opening: Opening
) -> Mapping[str, Any]:
    """A tool call that a model made earlier: its arguments are text, too."""
    function = call.get("function")
    if not isinstance(function, Mapping) or not isinstance(function.get("arguments"), str):
        return call

    def screen(text: str) -> str:
        return _text(text, limits, placeholders, verdicts, opening)

    arguments = screened_json(function["arguments"], screen)
    return {**call, "function": {**function, "arguments": arguments}}


def _text(text: str, limits: Limits, placeholders: Placeholders, verdicts: list[Verdict], opening: Opening) -> str:
    """The text as it may be sent. Raises `PromptBlocked`, with all that was found so far."""
    rulings = _ruled(text, limits)
    if not rulings:
        return text
    found = verdicts_of(rulings, Direction.PROMPT)
    verdicts += found
    blocked = next((one for one in found if one.action is Action.BLOCK), None)
    if blocked is not None:
        raise PromptBlocked(told(blocked, opening), merged(verdicts))
    return redact(text, rulings, placeholders)


def told(verdict: Verdict, opening: Opening) -> str:
    """Why nothing was sent to a model, without the passage itself."""
    what, now = opening
    score = f"{verdict.category}, score {verdict.score}, blocked from {verdict.threshold} on"
    return f"{what} {verdict.explanation.removesuffix('.')} ({score}). {now}"


def _ruled(text: str, limits: Limits) -> tuple[Ruling, ...]:
    key = (sha256(text.encode("utf-8", "surrogatepass")).digest(), tuple(sorted(limits.items())))
    with _guard:
        if key in _known:
            _known.move_to_end(key)
            return _known[key]
    rulings = tuple(rule_on(scan(text, rules_for(limits, Direction.PROMPT)), limits))
    with _guard:
        _known[key] = rulings
        while len(_known) > _REMEMBERED:
            _known.popitem(last=False)
    return rulings
