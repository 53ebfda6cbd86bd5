"""What a provider's wire format is made of. One module speaks each: `openai_wire`, `anthropic_wire`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from simulator.answer import Answer
from simulator.catalogue import Model
from simulator.deltas import Delta
from simulator.errors import ApiError
from simulator.request import ChatRequest


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of a call. `cached` (read from the cache) and `written` (to it) are part of `prompt`, `reasoning` of
    `completion`."""

    prompt: int
    completion: int
    reasoning: int = 0
    cached: int = 0
    written: int = 0


class Writing(Protocol):
    """One answer in the provider's form. `keep_alive` is what it sends while nothing happens, `final` ends a stream."""

    keep_alive: bytes
    final: bytes

    def opening(self, answers: Sequence[Answer], usage: Usage | None) -> bytes:
        """What comes before the first token."""
        ...

    def before(self, delta: Delta) -> bytes:
        """What must be said before this delta."""
        ...

    def event(self, delta: Delta) -> bytes:
        """One delta as one event."""
        ...

    def ending(self, reasons: Sequence[str], answers: Sequence[Answer], usage: Usage | None) -> bytes:
        """The finish reasons of all choices, and the usage where it was asked for; without `final`."""
        ...

    def error_event(self) -> bytes:
        """An error in the middle of a stream."""
        ...

    def whole(self, answers: Sequence[Answer], reasons: Sequence[str | None], usage: Usage | None) -> dict[str, Any]:
        """The answer as one body. A reason of None is left out."""
        ...


class Wire(Protocol):
    """A provider's way to ask, to refuse and to answer."""

    def key(self, headers: Mapping[str, str]) -> str:
        """The caller's key. Raises Unauthenticated, and InvalidRequest for other headers that are missing."""
        ...

    def request(self, body: dict[str, Any]) -> ChatRequest:
        """The checked request. Raises InvalidRequest naming the field."""
        ...

    def writing(self, call: int, asked: ChatRequest, model: Model) -> Writing: ...

    def refusal(self, error: ApiError) -> dict[str, Any]:
        """The body of a refusal."""
        ...

    def failure(self, status: int) -> dict[str, Any]:
        """The body of a simulated failure with that status."""
        ...

    def stream_error(self) -> dict[str, Any]:
        """The error object of a stream that breaks off."""
        ...

    def models(self, listed: Sequence[Model]) -> dict[str, Any]: ...

    def card(self, model: Model) -> dict[str, Any]: ...
