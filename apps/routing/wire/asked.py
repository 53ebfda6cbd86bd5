"""What a caller of a stateless door wants, whatever dialect it was said in."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from apps.routing.contracts import Needs, Prompt
from apps.routing.wire.errors import WireError

# What one picture is counted for at most by the models in use, whatever its bytes; its size is not known here.
PICTURE_TOKENS = 4_096


@dataclass(frozen=True, slots=True)
class Asked:
    """One checked request. `n` answers are `n` calls.

    `prompt_bytes` is what `contracts.Call` wants: messages, tools and schema as JSON, with a fixed allowance for each
    picture in the place of its bytes. `details` is what only the dialect's own writer needs to know.
    """

    model: str
    prompt: Prompt
    needs: Needs
    max_output_tokens: int | None
    stream: bool
    n: int = 1
    include_usage: bool = False
    prompt_bytes: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Seen:
    """What reading the messages brought to light. `picture_bytes` are inside of them."""

    pictures: int = 0
    picture_bytes: int = 0


def bytes_of(messages: Sequence[Mapping[str, Any]], parameters: Mapping[str, Any], seen: Seen) -> int:
    """What `Asked.prompt_bytes` says. Raises `WireError` for what is no JSON that could be passed on."""
    parts: Iterable[Any] = (messages, parameters.get("tools"), parameters.get("response_format"))
    try:
        size = sum(len(orjson.dumps(part)) for part in parts if part)
    except TypeError as error:
        raise WireError(None, "The request holds text that is not valid Unicode, or a number out of range.") from error
    return size - seen.picture_bytes + seen.pictures * PICTURE_TOKENS
