"""What an answer may cost and how soon it should begin, as callers write it."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from apps.conversations.contracts import Ceilings
from apps.tenants.contracts import DOLLARS, LONGEST_FIRST_TOKEN_MS, MOST_USD, NANOUSD_PER_USD


def read(body: Mapping[str, Any], problems: dict[str, list[str]]) -> Ceilings:
    """What a body says in `max_cost_usd` and `max_first_token_ms`; what is wrong with them goes to `problems`."""
    return Ceilings(_cost(body.get("max_cost_usd"), problems), _first_token(body.get("max_first_token_ms"), problems))


def _cost(value: Any, problems: dict[str, list[str]]) -> int | None:
    if value is None:
        return None
    if isinstance(value, str) and re.fullmatch(DOLLARS, value):
        return int(Decimal(value) * NANOUSD_PER_USD)
    if isinstance(value, int | float) and not isinstance(value, bool):
        # A JSON number's shortest text says what its sender wrote.
        nanousd = Decimal(str(value)) * NANOUSD_PER_USD
        if nanousd.is_finite() and 1 <= nanousd <= MOST_USD * NANOUSD_PER_USD:
            return int(nanousd)
    problems["max_cost_usd"] = [f"Send US dollars above 0, up to {MOST_USD:,}, like 0.02."]
    return None


def _first_token(value: Any, problems: dict[str, list[str]]) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LONGEST_FIRST_TOKEN_MS:
        problems["max_first_token_ms"] = [f"Send a whole number from 1 to {LONGEST_FIRST_TOKEN_MS:,}."]
        return None
    return value
