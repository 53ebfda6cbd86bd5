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


@dataclass(frozen=True, slots=True)
class Facts:
    """What is published about one chat model."""

    price: NewPrice
    context_tokens: int
    max_output_tokens: int
    reasoning: bool


def openai_facts(upstream_model: str) -> Facts | None:
    """OpenAI's own price and limits; None for what is no chat model of OpenAI's, or has no published price."""
    return _facts(upstream_model, "openai")


def anthropic_facts(upstream_model: str) -> Facts | None:
    """The same of Anthropic's. A name with a date that is not in the table is looked for without it."""
    return _facts(upstream_model, "anthropic") or _facts(_DATED.sub("", upstream_model), "anthropic")


def _facts(upstream_model: str, owner: str) -> Facts | None:
    entry = _table().get(upstream_model)
    if not isinstance(entry, dict) or entry.get("litellm_provider") != owner or entry.get("mode") != "chat":
        return None
    input_cost, output_cost = entry.get("input_cost_per_token"), entry.get("output_cost_per_token")
    context, longest = entry.get("max_input_tokens"), entry.get("max_output_tokens")
    if not input_cost or not output_cost or not context or not longest:
        return None
    cached_cost, write_cost = entry.get("cache_read_input_token_cost"), entry.get("cache_creation_input_token_cost")
    return Facts(
        price=NewPrice(
            input_nanousd_per_mtok=_nanousd(input_cost),
            output_nanousd_per_mtok=_nanousd(output_cost),
            cached_input_nanousd_per_mtok=None if cached_cost is None else _nanousd(cached_cost),
            cache_write_nanousd_per_mtok=None if write_cost is None else _nanousd(write_cost),
        ),
        context_tokens=int(context),
        max_output_tokens=int(longest),
        reasoning=bool(entry.get("supports_reasoning")),
    )


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
