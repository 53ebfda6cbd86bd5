"""Published prices and limits of well-known models, from the table that the litellm package carries.

Only its JSON file is read: importing the package takes seconds.
"""

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from apps.routing.contracts import NewPrice

_FILE = "model_prices_and_context_window_backup.json"
_NANOUSD_PER_MTOK = Decimal(10) ** 15  # of one US dollar per token
_DATED = re.compile(r"-\d{8}$")
_ABOVE = re.compile(r"(?:input|output)_cost_per_token_above_(\d+)k_tokens")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is published about one chat model. `context_tokens` is as much as the price holds for: some providers ask
    for more where a prompt is longer, and a price here is one price."""

    price: NewPrice
    context_tokens: int
    max_output_tokens: int
    reasoning: bool
    tools: bool = False
    vision: bool = False
    json_schema: bool = False
    prefill: bool = False


def openai_facts(upstream_model: str) -> Facts | None:
    """OpenAI's own price and limits; None for what is no chat model of OpenAI's, or has no published price."""
    return _facts(upstream_model, "openai")


def anthropic_facts(upstream_model: str) -> Facts | None:
    """The same of Anthropic's. A name with a date that is not in the table is looked for without it."""
    return _facts(upstream_model, "anthropic") or _facts(_DATED.sub("", upstream_model), "anthropic")


def _facts(upstream_model: str, owner: str) -> Facts | None:
    entry = _table().get(upstream_model)
    if not isinstance(entry, dict) or entry.get("litellm_provider") != owner:
        return None
    return published_facts(upstream_model)


def published_facts(name: str) -> Facts | None:
    """Facts by the table's own name of a model (`azure/gpt-5`); None where it has no chat model with a price."""
    entry = _table().get(name)
    if not isinstance(entry, dict) or entry.get("mode") != "chat":
        return None
    input_cost, output_cost = entry.get("input_cost_per_token"), entry.get("output_cost_per_token")
    context, longest = entry.get("max_input_tokens"), entry.get("max_output_tokens")
    if not input_cost or not output_cost or not context or not longest:
        return None
    return Facts(
        price=NewPrice(
            input_nanousd_per_mtok=_nanousd(input_cost),
            output_nanousd_per_mtok=_nanousd(output_cost),
            cached_input_nanousd_per_mtok=_optional(entry.get("cache_read_input_token_cost")),
            cache_write_nanousd_per_mtok=_optional(entry.get("cache_creation_input_token_cost")),
            reasoning_nanousd_per_mtok=_optional(entry.get("output_cost_per_reasoning_token")),
        ),
        context_tokens=min([int(context), *_dearer_from(entry)]),
        max_output_tokens=int(longest),
        reasoning=bool(entry.get("supports_reasoning")),
        tools=bool(entry.get("supports_function_calling")),
        vision=bool(entry.get("supports_vision")),
        json_schema=bool(entry.get("supports_response_schema")),
        prefill=bool(entry.get("supports_assistant_prefill")),
    )


def _dearer_from(entry: dict[str, Any]) -> list[int]:
    """Lengths of prompts, in tokens, above which another price holds."""
    return [int(found[1]) * 1_000 for name in entry if (found := _ABOVE.fullmatch(name))]


def _optional(cost_per_token: Any) -> int | None:
    return None if cost_per_token is None else _nanousd(cost_per_token)


def _nanousd(cost_per_token: Any) -> int:
    return int((Decimal(cost_per_token) * _NANOUSD_PER_MTOK).to_integral_value())


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    """The whole table; empty where the package is not installed."""
    spec = find_spec("litellm")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / _FILE
        if path.is_file():
            table: dict[str, Any] = json.loads(path.read_bytes(), parse_float=Decimal)
            return table
    return {}
