"""What an answer may cost and how soon it should begin, as callers write it."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from apps.conversations.contracts import Ceilings

_NANOUSD_PER_USD = 1_000_000_000
MOST_USD = 1_000
LONGEST_FIRST_TOKEN_MS = 600_000


def read(body: Mapping[str, Any], problems: dict[str, list[str]]) -> Ceilings:
    """What a body says in `max_cost_usd` and `max_first_token_ms`; what is wrong with them goes to `problems`."""
    return Ceilings(_cost(body.get("max_cost_usd"), problems), _first_token(body.get("max_first_token_ms"), problems))


def _cost(value: Any, problems: dict[str, list[str]]) -> int | None:
    if value is None:
        return None
    try:
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise InvalidOperation
        # A JSON number's shortest text says what its sender wrote.
        nanousd = Decimal(str(value)) * _NANOUSD_PER_USD
        if not nanousd.is_finite() or not 1 <= nanousd <= MOST_USD * _NANOUSD_PER_USD:
            raise InvalidOperation
    except InvalidOperation:
        problems["max_cost_usd"] = [f"Send US dollars above 0, up to {MOST_USD:,}, like 0.02."]
        return None
    return int(nanousd)


def _first_token(value: Any, problems: dict[str, list[str]]) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LONGEST_FIRST_TOKEN_MS:
        problems["max_first_token_ms"] = [f"Send a whole number from 1 to {LONGEST_FIRST_TOKEN_MS:,}."]
        return None
    return value
