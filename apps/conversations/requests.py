"""What a caller may ask, checked once for every door."""

import hashlib
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from apps.conversations import ceilings
from apps.conversations.contracts import NO_CEILINGS, Ceilings
from apps.conversations.errors import InvalidMessage
from apps.routing.contracts import CacheUse
from apps.tenants import instructions
from apps.tenants.errors import InvalidInstructions

MAX_LANES = 8
MAX_MESSAGE_BYTES = 512 * 1024
MAX_IDEMPOTENCY_KEY = 255
MAX_MODEL_NAME = 120
# More than any model gives; a larger number is a slip.
MOST_OUTPUT_TOKENS = 1_000_000


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """A question for 1 to 8 models. `conversation_id` None opens a new conversation.

    No model named means the conversation's own choice or, in a new one, the first model on offer. `digest` stands for
    the request as it came in. `max_output_tokens` bounds each answer, beside what its model and the workspace allow;
    `ceilings` bound its price, and its delay. `instructions` are what the models of a new conversation are told.
    """

    message: str
    models: tuple[str, ...]
    conversation_id: UUID | None
    idempotency_key: str | None
    digest: bytes = b""
    max_output_tokens: int | None = None
    cache: CacheUse = CacheUse.USE
    ceilings: Ceilings = NO_CEILINGS
    instructions: str = ""


def _digest(*asked: object) -> bytes:
    """SHA-256 of what was asked, as it was asked: tells a repeat from another request under the same key."""
    return hashlib.sha256(orjson.dumps(asked)).digest()


def turn_request(body: dict[str, Any], idempotency_key: str | None, cache_control: str = "") -> TurnRequest:
    """Check a request's body; `cache_control` is its header, which `cache` in the body outweighs.

    Raises `InvalidMessage` naming each bad field, all at once.
    """
    problems: dict[str, list[str]] = {}
    message = _message(body.get("message"), problems)
    models = _models(body, problems)
    conversation_id = _conversation(body.get("conversation_id"), problems)
    max_output_tokens = _output_tokens(body.get("max_output_tokens"), problems)
    cache = _cache(body.get("cache"), cache_control, problems)
    limits = ceilings.read(body, problems)
    told = _instructions(body.get("instructions"), body.get("conversation_id"), problems)
    if idempotency_key is not None and not (
        0 < len(idempotency_key) <= MAX_IDEMPOTENCY_KEY and idempotency_key.isprintable()
    ):
        problems["Idempotency-Key"] = [f"Use 1 to {MAX_IDEMPOTENCY_KEY} printable characters."]
    if problems:
        detail = "; ".join(f"{name}: {' '.join(texts)}" for name, texts in problems.items())
        raise InvalidMessage(detail, fields=problems)
    bounds: tuple[object, ...] = () if max_output_tokens is None else (max_output_tokens,)
    # Not what a header says: browsers add it by themselves, to one sending of a question and not to the next.
    bounds += () if body.get("cache") in (None, CacheUse.USE) else (cache,)
    bounds += (limits.document,) if limits.document else ()
    bounds += ({"instructions": told},) if told else ()
    digest = _digest(message, models, conversation_id, *bounds)
    return TurnRequest(
        message, models, conversation_id, idempotency_key, digest, max_output_tokens, cache, limits, told
    )


def _message(value: Any, problems: dict[str, list[str]]) -> str:
    if not isinstance(value, str):
        problems["message"] = ["Send the question as text."]
        return ""
    try:
        size_bytes = len(value.encode())
    except UnicodeEncodeError:
        problems["message"] = ["The text contains half of a surrogate pair; send valid Unicode."]
        return ""
    if not value.strip():
        problems["message"] = ["Write a question first."]
    elif "\x00" in value:
        problems["message"] = ["The text contains a NUL character; remove it."]
    elif size_bytes > MAX_MESSAGE_BYTES:
        problems["message"] = [f"The text has {size_bytes:,} bytes; {MAX_MESSAGE_BYTES:,} are allowed."]
    return value


def _models(body: dict[str, Any], problems: dict[str, list[str]]) -> tuple[str, ...]:
    many, one = body.get("models"), body.get("model")
    if many is not None and one is not None:
        problems["models"] = ["Name either `model` or `models`, not both."]
        return ()
    chosen = many if many is not None else one
    if isinstance(chosen, str):
        chosen = [name.strip() for name in chosen.split(",")]
    if chosen is None:
        return ()
    if not isinstance(chosen, list) or not all(isinstance(name, str) for name in chosen):
        problems["models"] = ["Name the models to ask, as a list of texts."]
        return ()
    if not 1 <= len(chosen) <= MAX_LANES:
        problems["models"] = [f"Choose 1 to {MAX_LANES} models; {len(chosen)} were named."]
        return ()
    if any(not 0 < len(name) <= MAX_MODEL_NAME or not name.isprintable() for name in chosen):
        problems["models"] = [f"A model's name has 1 to {MAX_MODEL_NAME} printable characters."]
        return ()
    return tuple(chosen)


def _output_tokens(value: Any, problems: dict[str, list[str]]) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST_OUTPUT_TOKENS:
        problems["max_output_tokens"] = [f"Send a whole number from 1 to {MOST_OUTPUT_TOKENS:,}."]
        return None
    return value


def _instructions(value: Any, conversation_id: Any, problems: dict[str, list[str]]) -> str:
    if value is None:
        return ""
    if conversation_id is not None:
        problems["instructions"] = ["Only a new conversation takes these; change those of this one by themselves."]
        return ""
    try:
        return instructions.checked(value)
    except InvalidInstructions as refusal:
        problems["instructions"] = [refusal.detail]
        return ""


def _conversation(value: Any, problems: dict[str, list[str]]) -> UUID | None:
    if value is None:
        return None
    try:
        return UUID(value) if isinstance(value, str) else _refuse()
    except ValueError:
        problems["conversation_id"] = ["This is not the id of a conversation."]
        return None


def _cache(value: Any, cache_control: str, problems: dict[str, list[str]]) -> CacheUse:
    """What the caller wants of the answer caches, in the field's own words or as HTTP says it."""
    if value is not None:
        try:
            return CacheUse(value)
        except ValueError:
            problems["cache"] = [f"Send one of {', '.join(CacheUse)}."]
            return CacheUse.USE
    return CacheUse.of_header(cache_control)


def _refuse() -> UUID:
    raise ValueError
