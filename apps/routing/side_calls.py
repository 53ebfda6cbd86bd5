"""Calls beside the answer: a text's embedding, and what a moderation model thinks of it.

They pass the same gate as the answer, so each has its row and its ledger line, within what was set aside for it. One
that fails raises; whether the answer can do without it is for the caller to say.
"""

import asyncio
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

import structlog

from apps.billing.contracts import Admission
from apps.observability import metrics
from apps.routing import breaker, fleet, tokens
from apps.routing.access import access_to
from apps.routing.contracts import AttemptEnd, AttemptState, Candidate, Gate, SideCall, Usage
from apps.routing.errors import BreakersOpen, MalformedStream, NoCandidates, ProviderFailed
from apps.routing.providers import side_http
from apps.routing.providers.base import token_count

# The form these calls have. No other adapter knows them.
_SPOKEN_BY = "openai_compatible"
# A category's name is shown and stored as the provider wrote it, as far as it is a name.
_CATEGORY = re.compile(r"[^\w /.:-]+")
_CATEGORY_CHARACTERS = 60

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Asked(Generic[T]):
    """What is posted where about which text, and how the answer is read."""

    path: str
    body: Mapping[str, Any]
    text: str
    read: Callable[[Mapping[str, Any]], T]


async def embed(
    side: SideCall, admission: Admission, gate: Gate, text: str, *, timeout_seconds: float
) -> Sequence[float]:
    """The text's embedding, as the model gives it. Raises a `ProviderFailed`, `BreakersOpen` or `NoCandidates`."""
    body = {"model": side.candidate.upstream_model, "input": [text], "encoding_format": "float"}
    return await _asked(side.candidate, admission, gate, _Asked("embeddings", body, text, _vector), timeout_seconds)


async def vectors(
    candidate: Candidate,
    admission: Admission,
    gate: Gate,
    body: Mapping[str, Any],
    texts: Sequence[str],
    count: int,
    *,
    timeout_seconds: float,
) -> Sequence[Sequence[float]]:
    """`count` vectors of equal length for what `body` asks, in its order; `texts` is what a guess at its use goes by.

    Raises a `ProviderFailed`, `BreakersOpen` or `NoCandidates`.
    """

    def read(document: Mapping[str, Any]) -> Sequence[Sequence[float]]:
        told = sorted(document["data"], key=lambda one: int(one["index"]))
        found = [_floats(one["embedding"]) for one in told]
        if [int(one["index"]) for one in told] != list(range(count)) or len({len(one) for one in found}) != 1:
            raise ValueError("not a vector for each text")
        return found

    return await _asked(candidate, admission, gate, _Asked("embeddings", body, "".join(texts), read), timeout_seconds)


async def moderate(
    side: SideCall, admission: Admission, gate: Gate, texts: Sequence[str], *, timeout_seconds: float
) -> Mapping[str, float]:
    """The highest score of any of the texts, between 0 and 1, by the model's categories.

    Raises a `ProviderFailed`, `BreakersOpen` or `NoCandidates`.
    """
    body = {"model": side.candidate.upstream_model, "input": texts[0] if len(texts) == 1 else texts}

    def read(document: Mapping[str, Any]) -> Mapping[str, float]:
        return _scores(document, len(texts))

    asked = _Asked("moderations", body, "".join(texts), read)
    return await _asked(side.candidate, admission, gate, asked, timeout_seconds)


async def _asked(
    candidate: Candidate,
    admission: Admission,
    gate: Gate,
    asked: _Asked[T],
    timeout_seconds: float,
) -> T:
    """One call, from the gate to the ledger."""
    ends_at = time.monotonic() + timeout_seconds
    access = await access_to(admission.tenant_id, candidate, ends_at)
    if access is None or candidate.adapter != _SPOKEN_BY:
        raise NoCandidates(f"{candidate.model_name} cannot be asked on the side.")
    known = fleet.current()
    ticket = await breaker.enter(known, candidate, admission.tenant_id, lone=False)
    if ticket is None:
        raise BreakersOpen(candidate.model_name, breaker.retry_after_seconds(known, [candidate]))
    call = _Call(candidate)
    try:
        call.attempt_id = await gate.begin(candidate)
    except BaseException:
        ticket.left()
        raise
    try:
        left_seconds = max(0.0, ends_at - time.monotonic())
        document = await side_http.post(
            access, candidate.provider_name, asked.path, asked.body, call.attempt_id, timeout_seconds=left_seconds
        )
        call.usage = _usage(document, asked.text, candidate)
        answer = _read(asked, document, candidate.provider_name)
    except ProviderFailed as error:
        ticket.failed(error)
        gate.ended(call.end(AttemptState.FAILED, error.code))
        raise
    except asyncio.CancelledError:
        ticket.left()
        call.usage = _guess(asked.text, candidate)
        gate.ended(call.end(AttemptState.CANCELLED))
        raise
    except BaseException:
        ticket.left()
        gate.ended(call.end(AttemptState.FAILED, "internal_error"))
        raise
    ticket.won(None, 0, call.seconds)
    gate.ended(call.end(AttemptState.WON))
    return answer


class _Call:
    """One call that is being made, for the gate's record."""

    def __init__(self, candidate: Candidate) -> None:
        self.attempt_id: UUID
        self.usage = Usage(0, 0)
        self._candidate = candidate
        self._began_at = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began_at

    def end(self, state: AttemptState, error_code: str | None = None) -> AttemptEnd:
        """How it ended, said once in the log and the counters too."""
        metrics.tokens_used(self.usage.input_tokens, 0, 0, 0)
        log.info(
            "side_call.ended",
            attempt_id=str(self.attempt_id),
            kind=self._candidate.kind.value,
            provider=self._candidate.provider,
            model=self._candidate.model,
            state=state.value,
            error_code=error_code,
            duration_ms=round(self.seconds * 1000),
            input_tokens=self.usage.input_tokens,
        )
        return AttemptEnd(self.attempt_id, self._candidate, 1, state, self.usage, error_code, None, self.seconds)


def _read(asked: _Asked[T], document: Mapping[str, Any], provider: str) -> T:
    try:
        return asked.read(document)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise MalformedStream(f"What {provider} answered cannot be read.") from error


def _usage(document: Mapping[str, Any], text: str, candidate: Candidate) -> Usage:
    """The provider's count; where it tells none, as moderation does, a guess."""
    told = document.get("usage")
    try:
        if not told:
            return _guess(text, candidate)
        return tokens.believed(Usage(token_count(told["prompt_tokens"]), 0), candidate.input_tokens_bound, 0)
    except (KeyError, TypeError, ValueError):
        return _guess(text, candidate)


def _guess(text: str, candidate: Candidate) -> Usage:
    likely = tokens.likely_input(len(text.encode()))
    return Usage(min(likely, candidate.input_tokens_bound), 0, estimated=True)


def _vector(document: Mapping[str, Any]) -> Sequence[float]:
    return _floats(document["data"][0]["embedding"])


def _floats(told: Sequence[Any]) -> Sequence[float]:
    vector = [float(one) for one in told]
    if not any(vector) or not all(map(math.isfinite, vector)):
        raise ValueError("no vector")  # nor one that points nowhere
    return vector


def _scores(document: Mapping[str, Any], texts: int) -> Mapping[str, float]:
    """Raises where a text was not judged: an empty reply must not pass for a good one."""
    results = document["results"]
    if len(results) != texts:
        raise ValueError("not every text was judged")
    highest: dict[str, float] = {}
    for result in results:
        scores = {str(name): float(score) for name, score in result["category_scores"].items()}
        if not scores or not all(0 <= score <= 1 for score in scores.values()):
            raise ValueError("no scores")
        for name, score in scores.items():
            word = _CATEGORY.sub(" ", name)[:_CATEGORY_CHARACTERS]
            highest[word] = max(score, highest.get(word, 0.0))
    return highest
