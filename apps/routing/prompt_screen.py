"""What is sent to a model, screened by a workspace's rules before anything is called."""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from apps.routing.contracts import Prompt, SafetySettings, Verdict, merged, verdicts_of
from apps.routing.errors import PromptBlocked
from apps.routing.file_screen import screened_file
from apps.routing.json_screen import Screen, screened_json, screened_value, texts
from apps.safety import Action, Direction, Limits, Placeholders, Ruling, redact, rule_on, rules_for, scan

# What was found in texts that come again with every question of a chat: places and rules, never the text.
_REMEMBERED = 4096
_known: OrderedDict[tuple[bytes, tuple[Any, ...]], tuple[Ruling, ...]] = OrderedDict()
_guard = threading.Lock()

# Of what stands beside the messages. Each costs a look of its own.
_MOST_SUSPECTS = 100
# No rule looks across it.
_BETWEEN = "\n\n\x00\n\n"

# What is blocked, and what a person can do about it.
NEW = ("Your workspace blocks something in this message.", "Take it out and send the message again.")
EARLIER = ("Your workspace blocks something in an earlier message of this chat.", "Go on in a new chat.")
SYSTEM = ("Your workspace blocks something in the instructions before this chat.", "Take it out of them and ask again.")
BESIDE = ("Your workspace blocks something in the tools of this request, or beside them.", "Take it out and ask again.")

Opening = tuple[str, str]


def screen_prompt(
    prompt: Prompt, settings: SafetySettings, placeholders: Placeholders
) -> tuple[Prompt, tuple[Verdict, ...]]:
    """The prompt as it may be sent, and what was found in it. CPU only. Raises `PromptBlocked`.

    What stands beside the messages is read by models too: tools, the form of the answer, texts that end it.
    """
    reading = _Reading(settings.limits(Direction.PROMPT), placeholders)
    messages: list[Mapping[str, Any]] = []
    newest = max((place for place, one in enumerate(prompt.messages) if one.get("role") == "user"), default=-1)
    for place, message in enumerate(prompt.messages):
        reading.opening = SYSTEM if message.get("role") == "system" else NEW if place >= newest else EARLIER
        messages.append(_message(message, reading))
    reading.opening = BESIDE
    parameters = reading.values(prompt.parameters)
    return replace(prompt, messages=messages, parameters=parameters), merged(reading.verdicts)


def screen_text(text: str, settings: SafetySettings) -> tuple[str, tuple[Verdict, ...]]:
    """A question as it may be sent, and what was found in it, before it is accepted. Raises `PromptBlocked`."""
    reading = _Reading(settings.limits(Direction.PROMPT), Placeholders())
    return reading.text(text), merged(reading.verdicts)


class _Reading:
    """The texts of one prompt, one after the other, and what was found in them so far."""

    def __init__(self, limits: Limits, placeholders: Placeholders) -> None:
        self.opening = NEW
        self.verdicts: list[Verdict] = []
        self._limits = limits
        self._placeholders = placeholders

    def text(self, text: str) -> str:
        """The text as it may be sent. Raises `PromptBlocked`, with all that was found so far."""
        rulings = _ruled(text, self._limits)
        if not rulings:
            return text
        self._note(verdicts_of(rulings, Direction.PROMPT))
        return redact(text, rulings, self._placeholders)

    def check(self, text: str) -> None:
        """As `text`, for what cannot be replaced: what would have to be is blocked."""
        if rulings := _ruled(text, self._limits):
            found = verdicts_of(rulings, Direction.PROMPT)
            self._note(replace(one, action=Action.BLOCK) if one.action is Action.REDACT else one for one in found)

    def values(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """The parameters as they may be sent. A schema has thousands of short texts, so they are looked at together
        first, and one by one where something is found."""
        suspects = set(self._suspects(list(dict.fromkeys(texts(list(parameters.values()))))))
        if not suspects:
            return parameters

        def text(one: str) -> str:
            return self.text(one) if one in suspects else one

        def check(one: str) -> None:
            if one in suspects:
                self.check(one)

        return {name: screened_value(value, text, check) for name, value in parameters.items()}

    def _suspects(self, all_texts: Sequence[str]) -> Sequence[str]:
        """Those of the texts in which something is found. There are few, or nothing is sent."""
        suspects: list[str] = []
        todo = [all_texts] if all_texts else []
        while todo:
            some = todo.pop()
            rulings = _ruled(_BETWEEN.join(some), self._limits)
            if rulings and len(some) > 1:
                middle = len(some) // 2
                todo += (some[:middle], some[middle:])
            elif rulings:
                suspects += some
                if len(suspects) > _MOST_SUSPECTS:
                    self._note(replace(one, action=Action.BLOCK) for one in verdicts_of(rulings, Direction.PROMPT))
        return suspects

    def _note(self, found: Iterable[Verdict]) -> None:
        found = tuple(found)
        self.verdicts += found
        blocked = next((one for one in found if one.action is Action.BLOCK), None)
        if blocked is not None:
            raise PromptBlocked(told(blocked, self.opening), merged(self.verdicts))


def _message(message: Mapping[str, Any], reading: _Reading) -> Mapping[str, Any]:
    screened = dict(message)
    if isinstance(message.get("name"), str):
        reading.check(message["name"])
    if "content" in message:
        screened["content"] = _content(message["content"], reading.text)
    if message.get("tool_calls"):
        screened["tool_calls"] = [_call(one, reading) for one in message["tool_calls"]]
    return screened


def _content(content: Any, screen: Screen) -> Any:
    """A message's content: text, or parts of which some are text, and some are files of text."""
    if isinstance(content, str):
        return screen(content)
    if not isinstance(content, Sequence):
        return content
    return [_part(part, screen) if isinstance(part, Mapping) else part for part in content]


def _part(part: Mapping[str, Any], screen: Screen) -> Mapping[str, Any]:
    if isinstance(part.get("text"), str):
        return {**part, "text": screen(part["text"])}
    if isinstance(part.get("file"), Mapping):
        return {**part, "file": screened_file(part["file"], screen)}
    return part


def _call(call: Mapping[str, Any], reading: _Reading) -> Mapping[str, Any]:
    """A tool call that a model made earlier: its arguments are text, too."""
    function = call.get("function")
    if not isinstance(function, Mapping):
        return call
    if isinstance(function.get("name"), str):
        reading.check(function["name"])
    if not isinstance(function.get("arguments"), str):
        return call
    return {**call, "function": {**function, "arguments": screened_json(function["arguments"], reading.text)}}


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
