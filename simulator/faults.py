"""Faults: what they are called, and the board that decides which call gets one.

A fault comes from the model's name (`+fault=die@50`) or from a rule on the board (`POST /control/faults`).

| kind | parameter | what the caller sees |
|---|---|---|
| `400` ... `529` | | that status with an error body; `502` carries an HTML page, as a proxy would send |
| `context_length` | | 400 `context_length_exceeded` |
| `reset` | | connection reset before any header |
| `hang` | | no header, ever; the connection stays open |
| `slow` | seconds (10) | headers at once, the first token late |
| `die` | token (0), or `last` | connection reset after that many tokens |
| `silence` | token (middle) | nothing more after that many tokens; the connection stays open |
| `malformed` | token (middle) | one event cut in the middle of its JSON |
| `error_event` | token (middle) | status 200, then an error event, then a clean end |
| `no_usage` | | usage is left out although asked for |
| `no_done` | | finish reason, then a clean end without `[DONE]` |
| `no_finish` | token (all) | clean end with neither finish reason nor `[DONE]` |
| `content_filter` | token (middle) | finish reason `content_filter` after that many tokens |
| `drip` | bytes per second (1) | the body byte by byte |
| `keepalive` | seconds apart (1) | headers, then comments only |
"""

from __future__ import annotations

import random
import re
import time
from dataclasses import dataclass, field
from typing import Any, ClassVar

_DEFAULTS: dict[str, float | None] = {
    "context_length": None,
    "reset": None,
    "hang": None,
    "slow": 10.0,
    "die": 0.0,
    "silence": None,
    "malformed": None,
    "error_event": None,
    "no_usage": None,
    "no_done": None,
    "no_finish": None,
    "content_filter": None,
    "drip": 1.0,
    "keepalive": 1.0,
}
STATUSES = frozenset({400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529})
LAST_TOKEN = float("inf")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `at` is its parameter in the unit its kind uses; None = the kind's natural place."""

    kind: str
    at: float | None = None
    status: int = 0
    retry_after_seconds: float | None = None
    retry_date_seconds: float | None = None

    KINDS: ClassVar[tuple[str, ...]] = (*_DEFAULTS, *map(str, sorted(STATUSES)))

    @classmethod
    def parse(cls, text: str, *, retry_after: float | None = None, retry_date: float | None = None) -> Fault:
        """A fault from `KIND` or `KIND@PARAMETER`. Raises ValueError."""
        kind, _, parameter = text.partition("@")
        if kind not in cls.KINDS:
            raise ValueError(f"Unknown fault `{kind}`. Known: {', '.join(cls.KINDS)}.")
        at = _DEFAULTS.get(kind)
        if parameter:
            try:
                at = LAST_TOKEN if parameter == "last" else float(parameter)
            except ValueError:
                raise ValueError(f"The parameter of fault `{text}` must be a number or `last`.") from None
            if not at >= 0 or (kind in {"drip", "keepalive"} and at == 0):
                raise ValueError(f"The parameter of fault `{text}` must be positive.")
        status = int(kind) if kind.isdigit() else 0
        return cls(kind, at, status, retry_after, retry_date)

    def token(self, total_tokens: int, *, otherwise: int | None = None) -> int:
        """After how many of the answer's tokens it strikes."""
        if self.at is None:
            return total_tokens // 2 if otherwise is None else otherwise
        return int(min(self.at, total_tokens))

    @property
    def label(self) -> str:
        if self.at is None:
            return self.kind
        return f"{self.kind}@{'last' if self.at == LAST_TOKEN else format(self.at, 'g')}"


@dataclass(slots=True)
class Rule:
    """A fault for the calls of some models, limited in number, time or by chance."""

    rule: int
    model: str
    fault: Fault
    pattern: re.Pattern[str]
    times: int | None
    probability: float
    after: int
    expires_at: float | None  # monotonic seconds
    chance: random.Random
    seen: int = 0
    fired: int = 0

    def strikes(self, names: tuple[str, str]) -> bool:
        """Whether this call, known by its full and its bare model name, is hit. Counts it as seen."""
        if self.is_expired or not any(map(self.pattern.fullmatch, names)):
            return False
        self.seen += 1
        if self.seen <= self.after or (self.times is not None and self.fired >= self.times):
            return False
        if self.probability < 1 and self.chance.random() >= self.probability:
            return False
        self.fired += 1
        return True

    @property
    def is_expired(self) -> bool:
        return self.expires_at is not None and time.monotonic() >= self.expires_at

    def describe(self) -> dict[str, Any]:
        left = None if self.expires_at is None else round(max(0.0, self.expires_at - time.monotonic()), 3)
        return {
            "id": self.rule,
            "model": self.model,
            "kind": self.fault.label,
            "times": self.times,
            "probability": self.probability,
            "after": self.after,
            "retry_after": self.fault.retry_after_seconds,
            "retry_date": self.fault.retry_date_seconds,
            "seconds_left": left,
            "seen": self.seen,
            "fired": self.fired,
        }


_RULE_FIELDS = frozenset(
    {
        "model",
        "kind",
        "at",
        "times",
        "probability",
        "seed",
        "after",
        "retry_after",
        "retry_date",
        "until_seconds",
    }
)


def _number(body: dict[str, Any], key: str, default: float | None) -> float | None:
    value = body.get(key, default)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
        raise ValueError(f"`{key}` must be a number that is not negative.")
    return value


@dataclass(slots=True)
class FaultBoard:
    """The rules in force, oldest first; the first that strikes decides."""

    rules: list[Rule] = field(default_factory=list)
    _next: int = 1

    def post(self, body: dict[str, Any]) -> Rule:
        """Adds a rule from the body of `POST /control/faults`. Raises ValueError with what is wrong."""
        if unknown := set(body) - _RULE_FIELDS:
            raise ValueError(f"Unknown fields: {', '.join(sorted(unknown))}.")
        model, kind = str(body.get("model", "*")), str(body.get("kind", ""))
        if body.get("at") is not None:
            kind = f"{kind}@{body['at']}"
        try:
            pattern = re.compile(".*" if model == "*" else model)
        except re.error as error:
            raise ValueError(f"`model` is not a regular expression: {error}.") from None
        times, until = _number(body, "times", None), _number(body, "until_seconds", None)
        rule = Rule(
            rule=self._next,
            model=model,
            fault=Fault.parse(
                kind,
                retry_after=_number(body, "retry_after", None),
                retry_date=_number(body, "retry_date", None),
            ),
            pattern=pattern,
            times=None if times is None else int(times),
            probability=float(_number(body, "probability", 1.0) or 0.0),
            after=int(_number(body, "after", 0) or 0),
            expires_at=None if until is None else time.monotonic() + until,
            chance=random.Random(int(_number(body, "seed", 0) or 0)),
        )
        self._next += 1
        self.rules.append(rule)
        return rule

    def clear(self, rule: int | None = None) -> int:
        """Removes one rule, or all; says how many went."""
        before = len(self.rules)
        self.rules = [] if rule is None else [kept for kept in self.rules if kept.rule != rule]
        return before - len(self.rules)

    def draw(self, requested: str, slug: str) -> Fault | None:
        """The fault this call gets, if any."""
        if not self.rules:
            return None
        self.rules = [rule for rule in self.rules if not rule.is_expired]
        return next((rule.fault for rule in self.rules if rule.strikes((requested, slug))), None)
