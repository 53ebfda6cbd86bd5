"""What a caller of a stateless door wants, whatever dialect it was said in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from apps.routing.contracts import Needs, Prompt
from apps.routing.tokens import prompt_bytes
from apps.routing.wire.errors import WireError


@dataclass(frozen=True, slots=True)
class Asked:
    """One checked request. `n` answers are `n` calls.

    `prompt_bytes` is what `contracts.Call` wants, with the schema of the answer in it. `details` is what only the
    dialect's own writer needs to know.
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
    """What reading the messages brought to light."""

    pictures: int = 0
    marks: int = 0


def bytes_of(messages: Sequence[Mapping[str, Any]], parameters: Mapping[str, Any]) -> int:
    """What `Asked.prompt_bytes` says. Raises `WireError` for what is no JSON that could be passed on."""
    schema = parameters.get("response_format")
    try:
        return prompt_bytes(messages, parameters.get("tools") or ()) + (len(orjson.dumps(schema)) if schema else 0)
    except TypeError as error:
        raise WireError(None, "The request holds text that is not valid Unicode, or a number out of range.") from error
